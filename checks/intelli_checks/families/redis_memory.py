"""Does Redis have room, and what does it throw away when it has not?"""

from __future__ import annotations

from collections.abc import Iterator

from intelli_checks.context import Context
from intelli_checks.families.redis_seen import Server, servers
from intelli_checks.model import Finding, Stage, fail, info, warn
from intelli_checks.registry import check

NEARLY_FULL = 0.9
"""Share of maxmemory from which a burst of results is enough to fill it."""
_MANY_FREE = 1.5
"""mem_fragmentation_ratio above which a restart or active defragmentation gives memory back."""
_WORTH_IT = 512 * 1024 * 1024


@check("redis.memory", stage=Stage.READY, needs=["redis.broker"])
def memory(ctx: Context) -> Iterator[Finding]:
    """Redis has memory left.

    With `maxmemory` reached and the policy `noeviction` every publish and every stored result is refused with OOM, and
    Celery workers exit on that reply. Results that never expire, unread results and channel messages fill it.

    Raise `maxmemory`, shorten `result_expires`, keep large results elsewhere.
    """
    for server in servers(ctx):
        yield from _room(server)


@check("redis.eviction", stage=Stage.READY, needs=["redis.broker"])
def eviction(ctx: Context) -> Iterator[Finding]:
    """Redis never evicts queued messages.

    A queue is one key. Under an `allkeys-*` policy Redis drops whole keys when memory is short: all tasks of a queue at
    once, without an error anywhere, and the jobs stay PENDING for ever. `volatile-*` spares queues, which have no
    lifetime, and drops results and channel messages, which have one.

    Set `noeviction` for the broker and give caches a Redis of their own.
    """
    for server in servers(ctx):
        yield from _evicts(server)


def _room(server: Server) -> Iterator[Finding]:
    facts, limit, used = server.facts, server.facts.maxmemory, server.facts.number("used_memory")
    if used is None:
        return
    if not limit:
        yield info(f"{_human(used)} used, no limit", subject=server.subject, used=used, maxmemory=0)
    elif _full(used, limit):
        yield warn(
            f"{used / limit:.0%} of maxmemory used ({_human(used)} of {_human(limit)}), policy {facts.policy}",
            hint=f"{facts.cli} --bigkeys   # then: {facts.cli} CONFIG SET maxmemory {2 * limit}",
            subject=server.subject,
            used=used,
            maxmemory=limit,
        )
    else:
        yield info(f"{used / limit:.0%} of maxmemory used", subject=server.subject, used=used, maxmemory=limit)
    ratio = float(facts.info.get("mem_fragmentation_ratio") or 0)
    if used > _WORTH_IT and ratio > _MANY_FREE:
        yield info(f"memory is fragmented: {ratio:.1f} times what the data needs", subject=server.subject, ratio=ratio)


def _full(used: float | None, limit: int) -> bool:
    return used is not None and used >= NEARLY_FULL * limit


def _evicts(server: Server) -> Iterator[Finding]:
    facts, policy = server.facts, server.facts.policy
    evicted = facts.number("evicted_keys") or 0
    if policy is None:
        return
    cure = f"{facts.cli} CONFIG SET maxmemory-policy noeviction   # and in redis.conf"
    if facts.maxmemory and _full(facts.number("used_memory"), facts.maxmemory):  # else every write is refused then
        cure = f"{facts.cli} CONFIG SET maxmemory {2 * facts.maxmemory}\n{cure}"
    told = {"policy": policy, "evicted_keys": evicted, "maxmemory": facts.maxmemory}
    if evicted and policy.startswith("allkeys"):
        message = (
            f"{evicted} keys were evicted since the server started ({policy}): a queue is one key, its tasks are gone"
        )
        yield _blame(server, message, cure, **told)
    elif evicted:
        message = f"{evicted} keys were evicted since the server started ({policy}): results or messages are missing"
        yield warn(message, hint=cure, subject=server.subject, **told)
    elif policy.startswith("allkeys") and facts.maxmemory:
        yield _blame(server, f"maxmemory-policy is {policy}: queues are dropped when memory runs short", cure, **told)
    elif policy.startswith("allkeys"):
        message = f"maxmemory-policy is {policy}; harmless only as long as maxmemory stays unlimited"
        yield warn(message, hint=cure, subject=server.subject, **told)
    else:
        yield info(f"maxmemory-policy is {policy}", subject=server.subject, **told)


def _blame(server: Server, message: str, hint: str, **told: object) -> Finding:
    """An error where tasks are at stake; what channels and results lose is a warning."""
    return (fail if server.is_broker else warn)(message, hint=hint, subject=server.subject, **told)


def _human(size: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TB"
