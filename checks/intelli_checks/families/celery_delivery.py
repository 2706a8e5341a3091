"""Is every message that was delivered in good hands, and only once?"""

from __future__ import annotations

from collections.abc import Iterator

from intelli_checks.context import Context
from intelli_checks.families.declared import spelt
from intelli_checks.families.wording import ago, celery_command, count, listed, which
from intelli_checks.model import Finding, fail, info, warn
from intelli_checks.probes.nodes import Node, Request
from intelli_checks.probes.queues import Delivered
from intelli_checks.probes.told import epoch
from intelli_checks.probes.watch import has_room
from intelli_checks.registry import check
from intelli_checks.text import safe

PATIENT = 300.0
"""Seconds a rate limit may hold tasks back before somebody asks where they are."""


@check("celery.unacked", needs=["celery.workers"], timeout=8.0)
def unacked(ctx: Context) -> Iterator[Finding]:
    """Every delivered message is held by a worker that is alive.

    Cause: the worker was killed before it could acknowledge or give back (`docker stop` without a grace period), or
    Redis restarted and the worker forgot what it had prefetched. The messages wait in `unacked` for the visibility
    timeout.

    Shows as: tasks that never run although the queue is empty and the workers idle; up to an hour later they do.

    Fix: a shorter `visibility_timeout` (longer than the longest task and ETA); let workers drain; re-enqueue by hand.
    """
    orphans = {suspect.name for suspect in ctx.watch.standing if suspect.kind == "orphan"}
    found = [delivered for delivered in ctx.watch.last.depths.unacked.oldest if delivered.message.id in orphans]
    if not found:
        if total := ctx.depths.unacked.count:
            untold = ", too large for the workers to be asked which they hold" if ctx.fleet.untold else ""
            yield info(f"{count(total, 'message')} delivered and not yet acknowledged{untold}", unacked=total)
        return
    if not ctx.watch.last.fleet.accounted:
        yield info(
            f"{count(len(found), 'delivered message')} in nobody's books; a worker that does not answer may have them"
        )
        return
    yield _orphaned(ctx, found)


def _orphaned(ctx: Context, found: list[Delivered]) -> Finding:
    now, timeout = ctx.depths.taken, ctx.layout.visibility_timeout
    oldest = min(delivered.score for delivered in found)
    restarted = ctx.depths.uptime is not None and ctx.depths.uptime < now - oldest
    cause = "Redis restarted after they were delivered" if restarted else "the worker that took them is gone"
    left = oldest + timeout - now
    when = f"come back in {ago(left)} at the earliest" if left > 0 else "are overdue for redelivery"
    repeated = [delivered for delivered in found if delivered.message.redelivered]
    again = "; delivered more than once, so it may be what ends its worker: " + which(repeated)
    return fail(
        f"{count(len(found), 'delivered message')} held by no worker, the oldest for {ago(now - oldest)}: "
        f"{cause}; they {when}" + (again if repeated else f": {which(found)}"),
        hint="restart the workers, and re-enqueue these tasks by id if they cannot wait (visibility_timeout is "
        f"{ago(timeout)})" + (_if_it_kills(ctx, repeated[0]) if repeated else ""),
        subject="unacked",
        ids=[delivered.message.id for delivered in found][:20],
        tasks=sorted({delivered.message.task for delivered in found}),
        unacked=ctx.depths.unacked.count,
    )


def _if_it_kills(ctx: Context, delivered: Delivered) -> str:
    """What keeps a message that ends its worker from coming back: revoked, it is acknowledged and dropped."""
    return f"; if it ends its worker again: {celery_command(ctx, f'control revoke {safe(delivered.message.id)}')}"


@check("celery.duplicates", needs=["celery.workers"])
def duplicates(ctx: Context) -> Iterator[Finding]:
    """No task is in two workers' hands.

    Cause: `visibility_timeout` is shorter than a late-acknowledged task runs or an ETA waits, so Redis delivers it
    again; or a connection dropped and its messages were given back while the pool still had them.

    Shows as: the same id active twice, double results, double e-mails.

    Fix: a `visibility_timeout` longer than the longest task and ETA; idempotent tasks.
    """
    for id_ in sorted(ctx.watch.still("twice")):
        holders = ctx.fleet.holders(id_)
        yield fail(
            f"{safe(holders[0][1].name)} is in {len(holders)} hands at once: "
            + listed(node.name for node, _ in holders),
            hint=f"raise visibility_timeout above the longest run and ETA (now {ago(ctx.layout.visibility_timeout)})",
            subject=f"task {safe(id_)}",
            holders=[node.name for node, _ in holders],
        )


@check("celery.eta", needs=["celery.workers"])
def eta(ctx: Context) -> Iterator[Finding]:
    """No task waits for an ETA beyond the visibility timeout.

    Cause: a worker holds ETA and countdown tasks unacknowledged, and Redis delivers again what is not acknowledged
    within `visibility_timeout`: once more for each timeout that passes.

    Shows as: the task runs several times at its ETA.

    Fix: a longer `visibility_timeout`, or keep the schedule in the database.
    """
    timeout = ctx.layout.visibility_timeout
    late = [
        (due - ctx.fleet.taken, request.name)
        for node in ctx.fleet.nodes
        for request in node.scheduled
        if (due := epoch(request.eta)) is not None and due - ctx.fleet.taken > timeout
    ]
    if late:
        farthest, name = max(late)
        yield fail(
            f"{count(len(late), 'task')} with an ETA beyond the visibility timeout of {ago(timeout)}, the farthest in "
            f"{ago(farthest)} ({safe(name)}): each will be delivered several times",
            hint=f"{spelt(ctx, 'broker_transport_options')} = {{'visibility_timeout': {int(farthest * 1.5)}}}",
            subject="scheduled tasks",
            tasks=len(late),
        )


@check("celery.expired", needs=["celery.workers"])
def expired(ctx: Context) -> Iterator[Finding]:
    """No task expires while it waits for a worker.

    Cause: `expires` shorter than the time messages wait: too few workers, or none that is free.

    Shows as: the worker logs "Discarding revoked task", the result is REVOKED or nothing at all; no task ran and none
    failed.

    Fix: more workers for the queue, or a longer `expires`; a beat entry's default is to expire with its next run.
    """
    for name, queue in ctx.depths.queues.items():
        late = [
            (ctx.depths.taken - over, message.task)
            for message in queue.tail
            if (over := epoch(message.expires)) is not None and over < ctx.depths.taken
        ]
        if late:
            longest, task = max(late)
            yield warn(
                f"{len(late)} of the next {count(len(queue.tail), 'message')} expired while they waited, the first "
                f"{ago(longest)} ago ({safe(task)}): workers will drop them and say REVOKED",
                hint=f"more workers for {safe(name)}, or a longer expires; intelli-ops check celery.backlog",
                subject=f"queue {safe(name)}",
                tasks=len(late),
            )


@check("celery.redelivery", needs=["celery.pool"], timeout=8.0)
def redelivery(ctx: Context) -> Iterator[Finding]:
    """No task is delivered over and over.

    Cause: a task that kills its process (memory, a segfault) with `reject_on_worker_lost`: it is given back and kills
    the next one, without end.

    Shows as: one id again and again, `WorkerLostError` in the log, the numbers of the pool processes climb.

    Fix: count deliveries and give up; find why it dies.
    """
    later = {node.name: node for node in ctx.watch.last.fleet.nodes}
    for node in ctx.fleet.nodes:
        again = {request.id: request for request in later.get(node.name, node).active}
        for request in {**again, **{request.id: request for request in node.active}}.values():
            if request.redelivered:
                yield _redelivered(ctx, node, request, again.get(request.id))


def _redelivered(ctx: Context, node: Node, request: Request, again: Request | None) -> Finding:
    subject = f"task {safe(request.id)}"
    if not (why := _loses_processes(ctx, node, request, again)):
        return info(f"{safe(request.name)} was delivered again", subject=subject)
    return fail(
        f"{safe(request.name)} is delivered again and again: {why}",
        hint=f"see why it kills its process; to stop it: {celery_command(ctx, f'control revoke {safe(request.id)}')}",
        subject=subject,
        pid=request.pid,
    )


def _loses_processes(ctx: Context, node: Node, request: Request, again: Request | None) -> str:
    """What tells that this is not one repetition but a loop; empty where nothing does."""
    if again is not None and again.pid != request.pid:
        return "its process was lost while we looked"
    child = ctx.pools.get(request.pid or 0)
    if node.pool == "prefork" and node.pid in ctx.pools and request.pid in node.processes and child is None:
        return "the process that ran it is dead"  # the pool takes some seconds to notice
    if child is not None and child.status == "zombie":
        return "the process that ran it is dead"
    if child is not None and node.uptime is not None and child.age < min(20.0, node.uptime / 2):
        return "its process has just replaced one that was lost"
    return ""


@check("celery.rate_limits", needs=["celery.workers"])
def rate_limits(ctx: Context) -> Iterator[Finding]:
    """Rate limits do not hold up other work.

    Cause: a worker prefetches tasks it may start only slowly (`rate_limit`, or `control rate_limit` sent by somebody);
    while they fill its prefetch window it takes nothing else, from no queue.

    Shows as: `inspect ping` OK, the worker idle, the queue grows; the held tasks are in `unacked` and in no book.

    Fix: a queue and a worker of their own for tasks with a rate limit; `celery -A APP control rate_limit TASK 0`.
    """
    for node in ctx.fleet.nodes:
        for name, rate in node.limited.items():
            parked = sum(delivered.message.task == name for delivered in ctx.watch.last.parked)
            if parked:
                yield _held_back(ctx, node, name, rate, parked)


def _held_back(ctx: Context, node: Node, name: str, rate: str, parked: int) -> Finding:
    queues = [ctx.depths.queues[queue] for queue in node.queues if queue in ctx.depths.queues]
    behind = [message.task for queue in queues for message in queue.tail]
    full = not has_room(node, parked)
    others = sum(task != name for task in behind) if full else 0
    same = parked + behind.count(name)
    speed = per_second(rate)
    seconds = same / speed if speed else 0.0
    message = f"{count(same, 'task')} {safe(name)} held back by the rate limit {rate}, for {ago(seconds)} at least"
    if full and (others or len(node.queues) > 1):
        message += f": {safe(node.name)} takes nothing else meanwhile, from {listed(map(safe, node.queues), 3)}"
        message += f"; {count(others, 'message')} of other tasks waiting" if others else ""
    elif seconds < PATIENT:
        return info(message, subject=safe(node.name))
    said = next((task.rate_limit for task in ctx.project.tasks if task.name == name), rate) if ctx.project else rate
    if foreign := str(said) != rate:
        message += f"; the project sets {said or 'none'}: sent by control rate_limit, or older code"
    return (fail if foreign or (full and seconds > PATIENT and (others or len(node.queues) > 1)) else warn)(
        message,
        hint=f"{celery_command(ctx, f'control rate_limit {safe(name)} 0')}   # then give it a queue of its own",
        subject=safe(node.name),
        task=name,
        rate=rate,
        parked=parked,
        behind=others,
    )


def per_second(rate: str) -> float:
    """Celery's `10/m` as a number; 0 where it cannot be read."""
    number, _, unit = rate.partition("/")
    try:
        return float(number) / {"h": 3600.0, "m": 60.0}.get(unit, 1.0)
    except ValueError:
        return 0.0


@check("celery.prefetch", needs=["celery.workers"])
def prefetch(ctx: Context) -> Iterator[Finding]:
    """No worker hoards tasks another could run.

    Cause: `worker_prefetch_multiplier` above 1 with long tasks: a busy worker reserves what an idle one could start.

    Shows as: tasks wait although a worker of the same queue is idle and the queue is empty.

    Fix: multiplier 1 and acks_late for long tasks.
    """
    for queue in sorted(ctx.fleet.queues):
        consumers = ctx.fleet.consumers(queue)
        idle = [node for node in consumers if not node.active and not node.reserved]
        hoarding = [node for node in consumers if node.busy and any(r.queue == queue for r in node.reserved)]
        if idle and hoarding and not ctx.depths.depth(queue):
            waiting = sum(len(node.reserved) for node in hoarding)
            yield warn(
                f"{listed(n.name for n in hoarding)} holds {count(waiting, 'waiting task')} while "
                f"{listed(n.name for n in idle)} is idle",
                hint="worker_prefetch_multiplier = 1 and acks_late for the long tasks",
                subject=f"queue {safe(queue)}",
                waiting=waiting,
            )
