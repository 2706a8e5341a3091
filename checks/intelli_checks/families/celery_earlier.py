"""Is it the same fleet as at the last look?"""

from __future__ import annotations

from collections.abc import Iterator

from intelli_checks.context import Context
from intelli_checks.families.wording import ago, listed
from intelli_checks.model import Finding, Skip, info, warn
from intelli_checks.registry import check
from intelli_checks.text import safe

OFTEN = 3
"""Restarts within `SOON` that are no deployment any more."""
SOON = 900.0


@check("celery.restarts", needs=["celery.workers"])
def restarts(ctx: Context) -> Iterator[Finding]:
    """No worker was restarted over and over since the last look.

    Compares with what the last run on this machine saw: who answered, and since when. The first run only remembers.

    Cause: a worker that ends and is brought back by its supervisor each time: a message that kills it, a refused write
    (OOM, MISCONF), the kernel's OOM killer, a failing liveness probe.

    Shows as: a worker that answers whenever somebody looks, and tasks that start again and again.

    Fix: the log of the run before: `journalctl -u UNIT`, `kubectl logs --previous POD`, `docker logs`.
    """
    before, now = ctx.earlier, ctx.fleet
    if not before.taken:
        raise Skip("nothing is remembered of an earlier look: the next run compares with this one")
    since = ago(now.taken - before.taken)
    here = before.after(now).workers
    for node in now.nodes:
        starts = [start for start in here[node.name].starts if now.taken - start < SOON]
        fresh = (
            len(here[node.name].starts) - len(before.workers[node.name].starts) if node.name in before.workers else 0
        )
        if len(starts) >= OFTEN:
            yield warn(
                f"{safe(node.name)} was started {len(starts)} times in the last {ago(SOON)}, "
                f"the last time {ago(now.taken - starts[-1])} ago",
                hint="if that was not you, its log says why: journalctl -u UNIT, kubectl logs --previous",
                subject=safe(node.name),
                starts=[round(start) for start in starts],
            )
        elif fresh > 0:
            yield info(f"restarted since the last look {since} ago", subject=safe(node.name))
    names = {node.name for node in now.nodes}
    if gone := [name for name, seen in before.workers.items() if seen.last == before.taken and name not in names]:
        yield info(f"answered {since} ago and do not now: {listed(gone)}", subject="gone")
    if new := names - before.workers.keys():
        yield info(f"new since {since} ago: {listed(sorted(new))}", subject="new")
