"""Can what the database schedules be done?"""

from __future__ import annotations

from collections.abc import Iterator

from intelli_checks.context import Context
from intelli_checks.families.celery_beat import database_scheduler, missing
from intelli_checks.families.declared import close_to
from intelli_checks.families.wording import start_command
from intelli_checks.model import Finding, Skip, fail
from intelli_checks.registry import check
from intelli_checks.text import safe


@check("celery.beat_database", needs=["celery.workers", "celery.beat"], after=["django.migrations"], timeout=60.0)
def beat_database(ctx: Context) -> Iterator[Finding]:
    """Whatever the database schedules is a known task, with a worker and a scheduler.

    django-celery-beat keeps the schedule in rows that nobody checks: a task that was renamed, a queue that is gone.

    Shows as: "Received unregistered task of type ..." at every tick, or a queue that only fills.

    Fix: correct the row, in the admin or with the line shown.
    """
    if ctx.project is None or not database_scheduler(ctx):
        raise Skip("the schedule is not in the database")
    rows = next(iter(ctx.audits.values())).schedule
    ours = {name: row for name, row in rows.items() if not str(row["task"]).startswith("celery.")}
    if not ours:
        raise Skip("the database schedules nothing")
    known = {task.name for task in ctx.project.tasks}
    told = ctx.watch.still("unconsumed")  # by celery.queues
    for name, row in ours.items():
        if known and row["task"] not in known:
            yield fail(
                f"the database schedules {safe(row['task'])}, a task nobody registers{close_to(row['task'], known)}",
                hint=f"correct or switch off the periodic task {safe(name)!r} in the admin (django_celery_beat)",
                subject=safe(name),
            )
        elif _unconsumed(ctx, row["queue"]) and row["queue"] not in told:
            yield fail(
                f"the database sends {safe(row['task'])} to queue {safe(row['queue'])}, which no worker consumes",
                hint=start_command(ctx, [row["queue"]]),
                subject=safe(name),
            )
    if not (ctx.beats.answering or ctx.beats.processes):
        yield missing(ctx, ctx.beats, len(ours))


def _unconsumed(ctx: Context, queue: str | None) -> bool:
    return bool(queue and ctx.fleet.nodes and not ctx.fleet.silent and not ctx.fleet.consumers(queue))
