"""Does what a task returns come back?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from intelli_checks.context import Context
from intelli_checks.dsn import Dsn
from intelli_checks.families.celery_started import locked_out, started_otherwise, started_with
from intelli_checks.families.celery_tasks import of_another_app
from intelli_checks.families.declared import spelt
from intelli_checks.families.neighbours import ours
from intelli_checks.families.wording import ago, count, listed
from intelli_checks.model import Finding, Skip, Unavailable, fail, info, warn
from intelli_checks.probes.results import stored_elsewhere
from intelli_checks.registry import check
from intelli_checks.text import safe

MANY = 10
"""Results that never expire before anybody is told."""
RECENT = 60.0
"""Seconds since a refused login that may be a worker's, which logs in anew for each result."""


@check("celery.results", needs=["celery.workers", "celery.canary", "redis.results"], timeout=8.0)
def results(ctx: Context) -> Iterator[Finding]:
    """Results are written where the project reads them.

    Cause: worker and web have different result backends, often only another database number.

    Shows as: the state stays PENDING in every process but the one that sent the task, which learns of the result over
    pub/sub, and pub/sub knows no database numbers: a smoke test inside one process passes.

    Fix: the same `CELERY_RESULT_BACKEND` everywhere.
    """
    if ctx.project and ctx.project.results is None:
        raise Skip("results are disabled")
    if ctx.project and any(of_another_app(node, ctx.project) for node in ctx.fleet.nodes):
        raise Skip("a worker runs another application", because="celery.tasks")
    proven = _proven(ctx)
    elsewhere = [
        node
        for node in ours(ctx)
        if ctx.project and stored_elsewhere(node, ctx.project.results) and node.conf["result_backend"] not in proven
    ]
    known = {node.name: _started_with(ctx, node.pid) for node in ours(ctx)}
    for node in elsewhere:
        where = Dsn(str(node.conf["result_backend"]))
        yield fail(
            f"{safe(node.name)} writes results to {where}, the project reads "
            f"{ctx.project.results if ctx.project else ''}{known[node.name]}",
            hint="give the worker the project's CELERY_RESULT_BACKEND",
            subject=safe(node.name),
        )
    if elsewhere or ctx.result_store is None:
        return
    if any(bird.result is False for bird in ctx.canaries) and locked_out(ctx):
        raise Skip("a worker cannot log in any more", because="celery.senders")
    neighbours = {node.name for node in ctx.fleet.nodes} - {node.name for node in ours(ctx)}
    for bird in ctx.canaries:
        if neighbours.issuperset(bird.workers) and neighbours:
            continue  # a neighbour's queue, a neighbour's result store
        if bird.outcome == "executed" and bird.result is False and not _ignored(ctx, bird.workers):
            yield fail(
                f"a task was executed and its result is not at {ctx.result_store.dsn}"
                + (next((known[name] for name in bird.workers if known.get(name)), "") or _refused_lately(ctx)),
                hint=f"compare the result_backend of {listed(bird.workers)} with the project's",
                subject=f"queue {safe(bird.queue)}",
            )
    if ctx.project is None:  # the workers named the store, and redis.results knows none
        with suppress(Skip):
            _ = ctx.result_sample


def _refused_lately(ctx: Context) -> str:
    """What Redis's log says of somebody who could not log in while we looked: a worker with a password of before."""
    with suppress(Skip, Unavailable):
        for denial in ctx.absence.denied:
            if denial.reason == "auth" and denial.age < RECENT:
                return f"; Redis refused a login of user {safe(denial.user)} {ago(denial.age)} ago: an old password?"
    return ""


def _proven(ctx: Context) -> set[str]:
    """Where workers write what the project reads: one server may have another name where they run."""
    written = [
        {str(node.conf.get("result_backend")) for node in ctx.fleet.nodes if node.name in bird.workers}
        for bird in ctx.canaries
        if bird.result
    ]
    return {place for places in written if len(places) == 1 for place in places}


def _started_with(ctx: Context, pid: int) -> str:
    """What made a worker on this machine store results elsewhere, where that is seen."""
    if (sender := started_otherwise(ctx).get(pid)) is None:
        return ""
    name, value = (sender.results_variable, sender.results) if sender.results else (sender.config, sender.module)
    return f": the worker (pid {pid}) was started with {started_with(name, value)}" if name else ""


def _ignored(ctx: Context, names: tuple[str, ...]) -> bool:
    """Whether these workers store no results by configuration."""
    here = bool(ctx.project and ctx.project.conf.get("task_ignore_result"))
    return here or any(node.conf.get("task_ignore_result") for node in ctx.fleet.nodes if node.name in names)


@check("celery.expiry", needs=["celery.workers", "redis.results"])
def expiry(ctx: Context) -> Iterator[Finding]:
    """Stored results expire.

    Cause: `result_expires` is None or 0.

    Shows as: Redis's memory grows with every task that ever ran.

    Fix: `CELERY_RESULT_EXPIRES = 3600`; delete the old ones.
    """
    seen = ctx.result_sample
    if seen.eternal >= MANY or (seen.eternal and seen.eternal == seen.looked_at):
        yield warn(
            f"{seen.eternal} of {count(seen.looked_at, 'result')} looked at never expire",
            hint=f"{spelt(ctx, 'result_expires')} = 3600",
            subject="results",
            eternal=seen.eternal,
        )


@check("celery.json", needs=["celery.workers", "redis.results"])
def json_results(ctx: Context) -> Iterator[Finding]:
    """Stored results are JSON that everybody can read.

    Cause: a task returned NaN or Infinity; Python writes them into JSON, where they do not exist.

    Shows as: `JSON.parse` fails in the browser.

    Fix: replace them by None before returning.
    """
    if bad := ctx.result_sample.not_json:
        yield warn(
            f"{count(len(bad), 'result')} holds NaN or Infinity: {listed(bad, 2)}",
            hint="return None instead: math.isfinite(x)",
            subject="results",
            ids=list(bad)[:20],
        )


@check("celery.lost", needs=["celery.workers", "redis.results"], timeout=8.0)
def lost(ctx: Context) -> Iterator[Finding]:
    """Every task that says STARTED is running somewhere.

    Cause: its worker was killed (a deploy without a grace period, out of memory) after it had acknowledged the message
    early, as Celery does by default: nothing will run the task again.

    Shows as: RUNNING for ever.

    Fix: re-enqueue them; `acks_late=True` with tasks that may run twice.
    """
    ids = ctx.lost_tasks
    if ids:
        nodes = sorted({ctx.result_sample.started.get(id_, "") for id_ in ids} - {""})
        yield fail(
            f"{count(len(ids), 'task')} began on {listed(nodes) or 'a worker'} and is in nobody's hands any more",
            hint="enqueue again what they were doing; acks_late=True keeps this from happening",
            subject=f"task {safe(ids[0])}",
            ids=list(ids)[:20],
        )


@check("celery.chords", needs=["celery.queues", "redis.results"], timeout=8.0)
def chords(ctx: Context) -> Iterator[Finding]:
    """Every chord that waits has tasks that are still to finish.

    Cause: a task of its header was lost, or sits in a queue nobody consumes.

    Shows as: the callback never runs and nothing says why.

    Fix: find the lost task; give header tasks a time limit and retries.
    """
    waiting = ctx.result_sample.chords
    last = ctx.watch.last
    at_work = bool(last.fleet.held or last.depths.waiting or last.depths.unacked.count) or not last.fleet.accounted
    for chord in waiting:
        message = f"chord {safe(chord.id)} has {chord.done} of {chord.size} results"
        if at_work:
            yield info(message)
        else:
            yield fail(
                f"{message}, and nothing is waiting or running that could complete it",
                hint=f"enqueue its missing tasks; to give up: redis-cli DEL celery-taskset-meta-{safe(chord.id)}.j",
                subject=f"chord {safe(chord.id)}",
                done=chord.done,
                size=chord.size,
            )
