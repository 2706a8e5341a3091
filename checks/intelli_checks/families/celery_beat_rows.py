"""Can what the database schedules be done?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from intelli_checks.context import Context
from intelli_checks.families.celery_beat import database_scheduler, missing, told_scheduler
from intelli_checks.families.declared import close_to, spelt
from intelli_checks.families.wording import ago, listed, start_command
from intelli_checks.model import Finding, Skip, fail, warn
from intelli_checks.registry import check
from intelli_checks.text import safe

CELERYS = "celery.beat:"
"""Celery's own schedulers: they read the settings and keep their times in a file."""
AHEAD = 300.0
"""Seconds by which the clocks of the scheduler and of this machine may differ."""
RESET = (
    'python manage.py shell -c "from django_celery_beat.models import PeriodicTask as P, PeriodicTasks as T; '
    'P.objects.update(last_run_at=None); T.update_changed()"'
)
"""What django-celery-beat's manual says to do after a change of time zone."""


@check("celery.beat_database", needs=["celery.workers", "celery.beat"], after=["django.migrations"], timeout=60.0)
def beat_database(ctx: Context) -> Iterator[Finding]:
    """Whatever the database schedules is a known task, with a worker and a scheduler.

    django-celery-beat keeps the schedule in rows that nobody checks: a task that was renamed, a queue that is gone. And
    only its own scheduler reads them: `celery beat` needs `-S django` or the setting `beat_scheduler`. A row that last
    ran in the future, by a clock or time zone since corrected, is not due before that. A renamed entry of the settings
    leaves its old row behind, and the task runs twice.

    Shows as: "Received unregistered task of type ..." at every tick, a queue that only fills, or nothing at all.

    Fix: correct the row, in the admin or with the line shown.
    """
    ours = _rows(ctx)
    read = database_scheduler(ctx)
    if not read and (pid := _reads_a_file(ctx)):
        yield from _unread(ctx, pid, ours)
        return
    if not read and ctx.beats.answering:
        raise Skip("could not tell what the scheduler reads")
    yield from _judged(ctx, ours)
    yield from _twice(ctx, ours)
    if not (ctx.beats.answering or ctx.beats.processes):
        yield missing(ctx, ctx.beats, len(ours), "" if read else " -S django")


def _rows(ctx: Context) -> Mapping[str, Mapping[str, Any]]:
    """The entries that are switched on, without Celery's own; raises Skip where nobody is to read them."""
    if not database_scheduler(ctx) and not _meant(ctx):
        raise Skip("the schedule is not in the database")
    rows = next(iter(ctx.audits.values())).schedule
    ours = {name: row for name, row in rows.items() if not str(row["task"]).startswith("celery.")}
    if not ours:
        raise Skip("the database schedules nothing")
    return ours


def _meant(ctx: Context) -> bool:
    """Whether rows are the schedule though no setting says so: an option may, of a scheduler on another machine."""
    if ctx.project is None or not str(ctx.project.conf.get("beat_scheduler") or CELERYS).startswith(CELERYS):
        return False
    installed = any("django_celery_beat" in str(app) for app in ctx.project.django.get("INSTALLED_APPS") or ())
    return installed and (bool(ctx.beats.processes) or not ctx.project.beat)


def _reads_a_file(ctx: Context) -> int | None:
    """The scheduler here that was told nothing else than Celery's own way: entries of the settings, times in a file."""
    told = ((process.pid, told_scheduler(process)) for process in ctx.beats.processes)
    return next((pid for pid, scheduler in told if not scheduler or scheduler.startswith(CELERYS)), None)


def _unread(ctx: Context, pid: int, rows: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    """Rows of the settings' own entries are leftovers of a scheduler that read them; others may be, beside entries."""
    entries = ctx.project.beat if ctx.project else {}
    if names := [name for name in rows if name not in entries]:
        say, name = warn if entries else fail, spelt(ctx, "beat_scheduler")
        yield say(
            f"the database schedules {listed(names, 3)}, and the scheduler, process {pid}, does not read it: neither "
            f"{name} nor its command line names django-celery-beat's",
            hint=f'{name} = "django_celery_beat.schedulers:DatabaseScheduler"   # and restart it',
            subject="beat",
            pid=pid,
        )


def _judged(ctx: Context, ours: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    known = {task.name for task in ctx.project.tasks} if ctx.project else set()
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
        elif (ahead := row.get("ahead") or 0) > AHEAD:
            yield fail(
                f"{safe(name)} last ran {ago(ahead)} from now, by its row: it is not sent before that",
                hint=RESET,
                subject=safe(name),
                seconds=round(ahead),
            )


def _twice(ctx: Context, ours: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    """An entry of the settings that was renamed leaves its row behind, switched on; so does a row that was copied."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name, row in ours.items():
        groups[str(row.get("same") or name)].append(name)
    for names in groups.values():
        if len(names) > 1:
            declared = [name for name in names if ctx.project and name in ctx.project.beat]
            left = [name for name in names if name not in (declared or names[:1])]
            yield warn(
                f"{listed(names)} send {safe(ours[names[0]]['task'])} with the same arguments at the same times: "
                f"it runs {len(names)} times",
                hint=f"switch off {listed(left)} in the admin (django_celery_beat); a renamed entry leaves its old row",
                subject=safe(names[0]),
                entries=[safe(name) for name in names],
            )


def _unconsumed(ctx: Context, queue: str | None) -> bool:
    return bool(queue and ctx.fleet.nodes and not ctx.fleet.silent and not ctx.fleet.consumers(queue))
