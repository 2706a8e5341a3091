"""Is what goes into a queue executed?"""

from __future__ import annotations

from collections.abc import Iterator

from intelli_checks.context import Context
from intelli_checks.families.celery_pools import memory_limit
from intelli_checks.families.celery_started import locked_out
from intelli_checks.families.wording import ago, listed
from intelli_checks.model import Finding, Severity, Skip, fail, info
from intelli_checks.probes.canary import Canary
from intelli_checks.probes.nodes import Node
from intelli_checks.probes.results import stored_elsewhere
from intelli_checks.registry import check
from intelli_checks.text import safe

SKEW = 30.0
"""Seconds two clocks may differ: beyond, tasks with `expires` are dropped unseen."""


RENEWED = 5.0
"""Seconds below which every pool process must be old for the pool to be renewed all the time."""


@check(
    "celery.canary",
    needs=["celery.workers", "celery.nodenames", "celery.pool", "celery.consuming", "redis.results"],
    timeout=8.0,
)
def canary(ctx: Context) -> Iterator[Finding]:
    """A task sent to each consumed queue is executed.

    Sends Celery's own no-op `celery.accumulate` to every queue that has a worker with a free slot, and removes every
    trace of it. It is the one check that sees a frozen pool behind a healthy ping.

    Cause: the pool is stopped or hangs, or what runs around every task does (a `task_prerun` handler, a database or
    result store that does not answer), or the worker has lost its connection to the queue without noticing.

    Shows as: `inspect ping` OK, tasks received and never executed.

    Fix: restart the worker; look at what its pool waits for first (py-spy dump).
    """
    found = [_judge(ctx, bird) for bird in ctx.canaries]
    if any(one.severity is Severity.ERROR for one in found) and locked_out(ctx):
        raise Skip("a worker cannot log in any more", because="celery.senders")
    yield from found


def _judge(ctx: Context, bird: Canary) -> Finding:
    subject, who = f"queue {safe(bird.queue)}", listed(bird.workers)
    if bird.outcome not in {"begun", "taken", "waiting"}:
        return info(_word(bird), subject=subject, milliseconds=round(1000 * bird.seconds))
    if all(node.young for node in ctx.fleet.consumers(bird.queue)):
        return info("not executed yet; its workers have just come up", subject=subject)
    if bird.outcome == "begun":
        return _begun(ctx, bird, who)
    if bird.outcome == "taken" and ctx.fleet.silent:
        return info("taken, not executed; a worker that does not answer may have it", subject=subject)
    return _undone(ctx, bird, who)


def _undone(ctx: Context, bird: Canary, who: str) -> Finding:
    """What keeps the no-op task from its end, where nothing excuses it."""
    if (node := _renewing(ctx, bird)) is not None:
        said = (
            f"{safe(node.name)} replaces its pool process after each task (none is older than {RENEWED:.0f} s): what "
            f"one takes at rest is above its memory limit; a no-op task was not done within {bird.seconds:.1f} s"
        )
        hint = "a higher --max-memory-per-child, or worker_max_memory_per_child (kB): intelli-ops check celery.memory"
    elif bird.outcome == "taken":
        said = f"{who} took a no-op task and did not execute it within {bird.seconds:.1f} s: its pool does not work"
        hint = f"restart {who}; before that, see what its pool waits for: py-spy dump --pid PID"
    else:
        said = f"nobody took a no-op task within {bird.seconds:.1f} s, although {who} consumes this queue"
        hint = f"restart {who}: it has lost its connection to the queue"
    return fail(said, hint=hint, subject=f"queue {safe(bird.queue)}", workers=list(bird.workers))


def _renewing(ctx: Context, bird: Canary) -> Node | None:
    """A consumer with a memory limit whose every process is new, although it has been up for long."""
    for node in ctx.fleet.consumers(bird.queue):
        main = ctx.pools.get(node.pid)
        ages = [ctx.pools[pid].age for pid in node.processes if pid in ctx.pools and pid != node.pid]
        if main and memory_limit(node, main) and ages and max(ages) < RENEWED and not node.young:
            return node
    return None


def _begun(ctx: Context, bird: Canary, who: str) -> Finding:
    """The task itself does nothing: it is held by what a process does before and after each."""
    subject = f"queue {safe(bird.queue)}"
    if ctx.project and any(stored_elsewhere(node, ctx.project.results) for node in ctx.fleet.consumers(bird.queue)):
        return info("begun, not ended; its worker stores results elsewhere: see celery.results", subject=subject)
    return fail(
        f"{who} began a no-op task and has not ended it after {bird.seconds:.1f} s: what runs around every task hangs "
        "(a task_prerun or task_postrun handler, a database or result store that does not answer)",
        hint=f"py-spy dump --pid {bird.pid or 'PID'}   # what does the process wait for? Then restart {who}",
        subject=subject,
        workers=list(bird.workers),
        pid=bird.pid,
    )


def _word(bird: Canary) -> str:
    if bird.outcome == "unsent":
        return f"no canary sent: {bird.reason}"
    if bird.outcome == "behind":
        return "taken, and waits behind the running tasks of a worker whose every slot is busy"
    if bird.outcome == "expired":
        return "taken, and dropped as expired: clocks differ"
    return f"executed in {1000 * bird.seconds:.0f} ms"


@check("celery.clock", needs=["celery.workers", "celery.pool", "celery.consuming", "redis.results"], timeout=8.0)
def clock(ctx: Context) -> Iterator[Finding]:
    """The workers' clocks agree with Redis's.

    Cause: no time synchronisation on a host, or a virtual machine that was suspended.

    Shows as: tasks with `expires` are dropped at once, ETA tasks run early or late, "Substantial drift" in the log.

    Fix: chrony or systemd-timesyncd on every host.
    """
    now, latest = ctx.depths.taken, ctx.depths.unacked.latest
    skews = [("unacked", latest - now)] if latest is not None and latest > now else []
    skews += [(listed(bird.workers), _skew(bird)) for bird in ctx.canaries]
    skews += [
        (safe(n.name), r.started - now) for n in ctx.fleet.nodes for r in n.active if r.started and r.started > now
    ]
    worst: dict[str, float] = {}
    for who, seconds in skews:
        if now and abs(seconds) > abs(worst.get(who, SKEW)):
            worst[who] = seconds
    for who, seconds in worst.items():
        yield fail(
            f"the clock of {'a worker' if who == 'unacked' else who} is {ago(abs(seconds))} "
            f"{'ahead of' if seconds > 0 else 'behind'} Redis's",
            hint="timedatectl set-ntp true   # on the workers' hosts",
            subject="clock",
            seconds=round(seconds),
        )


def _skew(bird: Canary) -> float:
    """How far the worker's clock is ahead, by the time it wrote into the canary's result."""
    return bird.done_at - bird.sent_at - bird.seconds if bird.done_at and bird.sent_at else 0.0
