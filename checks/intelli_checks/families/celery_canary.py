"""Is what goes into a queue executed?"""

from __future__ import annotations

from collections.abc import Iterator

from intelli_checks.context import Context
from intelli_checks.families.wording import count, listed
from intelli_checks.model import Finding, fail, info
from intelli_checks.probes.canary import Canary
from intelli_checks.registry import check
from intelli_checks.text import safe


@check("celery.canary", needs=["celery.workers", "celery.pool", "celery.consuming"], timeout=8.0)
def canary(ctx: Context) -> Iterator[Finding]:
    """A task sent to each consumed queue is executed.

    Sends Celery's own no-op `celery.accumulate` to every queue that has a worker with a free slot, and removes every
    trace of it. It is the one check that sees a frozen pool behind a healthy ping.

    Cause: the pool is stopped or hangs, or the worker has lost its connection to the queue without noticing.

    Shows as: `inspect ping` OK, tasks received and never executed.

    Fix: restart the worker; look at what its pool waits for first (py-spy dump).
    """
    for bird in ctx.canaries:
        yield _judge(ctx, bird)


def _judge(ctx: Context, bird: Canary) -> Finding:
    subject, who = f"queue {safe(bird.queue)}", listed(bird.workers)
    if bird.outcome == "unsent":
        return info(f"no canary sent: {bird.reason}", subject=subject)
    if bird.outcome in {"executed", "expired"}:
        return info(
            f"executed in {1000 * bird.seconds:.0f} ms", subject=subject, milliseconds=round(1000 * bird.seconds)
        )
    if ctx.fleet.silent and bird.outcome == "taken":
        return info("taken, not executed; a worker that does not answer may have it", subject=subject)
    if all(node.young for node in ctx.fleet.consumers(bird.queue)):
        return info("not executed yet; its workers have just come up", subject=subject)
    if bird.outcome == "taken":
        return fail(
            f"{who} took a no-op task and did not execute it within {bird.seconds:.1f} s: its pool does not work",
            hint=f"restart {who}; before that, see what its pool waits for: py-spy dump --pid PID",
            subject=subject,
            workers=list(bird.workers),
        )
    return fail(
        f"nobody took a no-op task within {bird.seconds:.1f} s, although {who} consumes this queue",
        hint=f"restart {who}: it has lost its connection to the queue",
        subject=subject,
        workers=list(bird.workers),
        consumers=count(len(bird.workers), "worker"),
    )
