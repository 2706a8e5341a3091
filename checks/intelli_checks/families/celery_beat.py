"""Does the scheduler tick, and is there only one?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from intelli_checks.context import Context
from intelli_checks.families.beat_due import Overdue, overdue
from intelli_checks.families.wording import ago, celery_command, count, listed
from intelli_checks.model import Finding, Skip, fail, info, warn
from intelli_checks.probes.beat import BeatFacts
from intelli_checks.probes.processes import Process, is_celery
from intelli_checks.registry import check
from intelli_checks.text import safe

QUIET = 600.0
"""Seconds without a write to the schedule file after which a scheduler does not run: it writes every 180."""


@check("celery.beat", needs=["redis.broker"], timeout=6.0)
def beat(ctx: Context) -> Iterator[Finding]:
    """One scheduler ticks.

    Cause: beat was not started, or was stopped; or it runs twice, because it was scaled like a worker or several
    workers have `-B`; or it is there and hangs (a schedule in a database that does not answer).

    Shows as: periodic tasks that never run, or that all run twice. Beat leaves no trace in Redis; what it owes is read
    off its consumers: a task that is due every ten seconds and that no worker has started for minutes was not sent.
    Where nothing is due that often, a scheduler on another machine cannot be told from none: then this check says so
    and passes.

    Fix: one `celery beat`, supervised; since Celery 5.7 `--enable-remote-control` lets it answer.
    """
    entries = ctx.project.beat if ctx.project else {}
    if not entries and not database_scheduler(ctx):
        raise Skip("nothing is scheduled")
    seen = ctx.beats
    yield from _several(seen)
    if frozen := [process for process in seen.processes if process.stopped]:
        yield fail(
            f"the scheduler, process {frozen[0].pid}, is stopped",
            hint=f"kill -CONT {frozen[0].pid}",
            subject="beat",
        )
    elif owed := overdue(ctx):
        yield _owed(ctx, seen, owed)
    elif database_scheduler(ctx) and (other := _other_scheduler(seen)):
        yield _unread(ctx, *other)
    elif seen.answering or seen.processes:
        yield from _alive(seen)
    elif entries:
        yield missing(ctx, seen, len(entries))
    else:
        yield info("the schedule is in the database: celery.beat_database looks at it", subject="beat")


def database_scheduler(ctx: Context) -> bool:
    """Whether the schedule is read from the database, by the setting or by the option of a scheduler here."""
    declared = ctx.project is not None and "django_celery_beat" in str(ctx.project.conf.get("beat_scheduler"))
    return declared or any(of_database(told_scheduler(process)) for process in ctx.beats.processes)


def told_scheduler(process: Process) -> str:
    """What the command line tells to read the schedule with; a worker's `-S` is its state file."""
    option = "--scheduler" if is_celery(process.command.split(), "worker") else "-S|--scheduler"
    told = re.search(rf"\s(?:{option})[= ]?(\S+)", process.command)
    return told[1] if told else ""


def of_database(scheduler: str) -> bool:
    """Whether a scheduler, by its class or by its short name `django`, reads django-celery-beat's rows."""
    return "django" in scheduler.lower() or "database" in scheduler.lower()


def _other_scheduler(seen: BeatFacts) -> tuple[int, str] | None:
    """The process that was told on its command line to read no database, and what it reads with."""
    told = ((process.pid, told_scheduler(process)) for process in seen.processes)
    return next(((pid, scheduler) for pid, scheduler in told if scheduler and not of_database(scheduler)), None)


def _unread(ctx: Context, pid: int, scheduler: str) -> Finding:
    """The option wins over CELERY_BEAT_SCHEDULER, and what is scheduled in the admin is never sent."""
    return fail(
        f"the scheduler, process {pid}, was started with {safe(scheduler)}: it does not read the database",
        hint=celery_command(ctx, "beat -S django_celery_beat.schedulers:DatabaseScheduler"),
        subject="beat",
        pid=pid,
    )


def _several(seen: BeatFacts) -> Iterator[Finding]:
    if len(seen.processes) > 1:
        pids = [process.pid for process in seen.processes]
        yield fail(
            f"{len(pids)} schedulers run here (pids {', '.join(map(str, pids))}): everything is sent that often",
            hint=_but_one(seen.processes),
            subject="beat",
            pids=pids,
        )
    elif len(seen.answering) > 1:
        yield fail(
            f"{len(seen.answering)} schedulers answer: {listed(seen.answering)}: everything is sent that often",
            hint="stop all but one",
            subject="beat",
        )


def _but_one(processes: Sequence[Process]) -> str:
    """How to be left with one scheduler: a worker that is one, by `-B`, is not to be killed for it."""
    inside = [process.pid for process in processes if is_celery(process.command.split(), "worker")]
    apart = [str(process.pid) for process in processes if process.pid not in inside]
    if not inside:
        return f"kill {' '.join(apart[1:])}   # and start beat once"
    if apart:
        rest = f"\nkill {' '.join(apart[1:])}" if apart[1:] else ""
        return f"restart the worker without -B (pid {', '.join(map(str, inside))}){rest}"
    return f"restart the workers without -B, all but one (pids {', '.join(map(str, inside))}), and start beat once"


def _owed(ctx: Context, seen: BeatFacts, owed: list[Overdue]) -> Finding:
    """Tasks that were due and never came; whether that is certain depends on since when the scheduler is there."""
    worst = max(owed, key=lambda one: one.times)
    told = (
        f"{safe(worst.entry)} was due {worst.times} times in the last {ago(worst.seconds)} and no worker was sent it"
        + (f", as {len(owed) - 1} more" if len(owed) > 1 else "")
    )
    facts = {"entries": [safe(one.entry) for one in owed], "seconds": round(worst.seconds)}
    if seen.processes and all(process.age > worst.seconds for process in seen.processes):
        pid = seen.processes[0].pid
        return fail(
            f"the scheduler, process {pid}, does not tick: {told}",
            hint=f"py-spy dump --pid {pid}   # what does it wait for? Then restart it",
            subject="beat",
            **facts,
        )
    there = seen.processes or seen.answering
    return warn(
        ("the scheduler has just come up: " if seen.processes else "") + told,
        hint="look at the scheduler's log for 'Sending due task'"
        if there
        else f"celery -A {ctx.project.celery_app if ctx.project else 'APP'} beat",
        subject="beat",
        **facts,
    )


def _alive(seen: BeatFacts) -> Iterator[Finding]:
    quiet = seen.written is not None and seen.written > QUIET and all(p.age > QUIET for p in seen.processes)
    if quiet and not seen.answering:
        yield warn(
            f"the scheduler runs and has not written its schedule for {ago(seen.written or 0)}",
            hint="look at its log; restart it if it does not say 'Scheduler: Sending due task'",
            subject="beat",
            file=safe(seen.schedule),
        )
    elif seen.answering:
        yield info(f"{listed(seen.answering)} answers, so it ticks", subject="beat")
    else:
        yield info(f"runs as process {seen.processes[0].pid}", subject="beat")


def missing(ctx: Context, seen: BeatFacts, entries: int, options: str = "") -> Finding:
    here = bool(ctx.fleet.nodes) and all(node.pid in ctx.pools for node in ctx.fleet.nodes)
    command = celery_command(ctx, f"beat{options}")
    if here and seen.written is not None and seen.written > QUIET:
        return fail(
            f"no scheduler: its file was written {ago(seen.written)} ago, and {count(entries, 'scheduled task')} due",
            hint=command,
            subject="beat",
            file=safe(seen.schedule),
        )
    if here and seen.no_folder:
        return fail(
            f"no scheduler runs, and none will: it keeps its file in {safe(seen.no_folder)}, which does not exist; "
            f"{count(entries, 'scheduled task')} due",
            hint=f"mkdir -p {safe(seen.no_folder)} && {command}",
            subject="beat",
        )
    if here:
        return warn(
            f"all workers run here and no scheduler does: {count(entries, 'scheduled task')} will not be sent",
            hint=command,
            subject="beat",
        )
    return info("could not tell whether a scheduler runs: it answers only with --enable-remote-control", subject="beat")
