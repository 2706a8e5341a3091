"""What would a restart, a failover or a flush of Redis cost, and has one happened?"""

from __future__ import annotations

from collections.abc import Iterator

from intelli_checks.context import Context
from intelli_checks.families.declared import caches_on
from intelli_checks.families.redis_seen import Server, servers
from intelli_checks.families.wording import listed
from intelli_checks.model import Finding, Skip, Stage, Unavailable, fail, info, warn
from intelli_checks.registry import check

_YOUNG = 600
"""Seconds after a start during which its consequences are what one is looking for."""


_STARTED_TOGETHER = 5
"""Seconds by which a worker may be older than a Redis that was started at the same time."""


@check("redis.persistence", stage=Stage.READY, needs=["redis.broker"])
def persistence(ctx: Context) -> Iterator[Finding]:
    """The queue survives a restart of Redis.

    Without an append-only file or RDB save points a restart loses every queued and every running task, and nobody gets
    an error. When saving *fails*, Redis refuses all writes (MISCONF) unless told otherwise, and loses the data at the
    next restart if it was told so.

    `CONFIG SET appendonly yes` and the same in redis.conf, on a volume that outlives the container.
    """
    for server in servers(ctx):
        yield from _kept(server)


@check("redis.restart", stage=Stage.READY, needs=["redis.broker"])
def restart(ctx: Context) -> Iterator[Finding]:
    """Redis was neither restarted nor flushed lately.

    A restart without persistence empties the queues while workers answer ping; with persistence it leaves prefetched
    tasks in `unacked` until the visibility timeout, and running tasks end as FAILURE. `FLUSHDB` (also Django's
    `cache.clear()` on the same database) and `FLUSHALL` delete every queued task.

    Look for jobs older than the restart that are still PENDING, and send them again.
    """
    for server in servers(ctx):
        yield from _young(server)
        yield from _flushed(server, caches_on(ctx.project, server.facts.address, server.facts.database))
        if (server.facts.uptime or _YOUNG) < _YOUNG:
            if server.is_broker and server.facts.persistent is False:
                yield from _under_workers(ctx, server)
            if "channels" in server.roles:
                yield from _under_sockets(ctx, server)


@check("redis.replication", stage=Stage.READY, needs=["redis.broker"])
def replication(ctx: Context) -> Iterator[Finding]:
    """The link between primary and replica holds.

    A replica without its primary serves old data; a primary whose replicas are gone loses everything acknowledged since
    with the next failover.
    """
    for server in servers(ctx):
        yield from _linked(server)


def _kept(server: Server) -> Iterator[Finding]:
    facts = server.facts
    broken = {
        name: facts.info[name]
        for name in ("rdb_last_bgsave_status", "aof_last_write_status", "aof_last_bgrewrite_status")
        if facts.info.get(name, "ok") != "ok"
    }
    if broken:
        yield fail(
            f"saving to disk fails ({', '.join(broken)}: err): what is queued now is lost at the next restart",
            hint=f"df -h {facts.config.get('dir', '')}; ls -ld {facts.config.get('dir', '.')}; then {facts.cli} BGSAVE",
            subject=server.subject,
            **broken,
        )
    elif facts.persistent is False:
        yield _volatile(server)
    elif facts.persistent:
        aof = facts.info.get("aof_enabled") == "1"
        yield info("append-only file on" if aof else f"RDB saves: {facts.config.get('save')}", subject=server.subject)


def _volatile(server: Server) -> Finding:
    message = "persistence is off: a restart loses every queued and running task"
    if server.facts.info.get("role") == "master" and (server.facts.number("connected_slaves") or 0) > 0:
        return info("persistence is off here; replicas hold a copy", subject=server.subject)
    if not server.is_broker:
        return info("persistence is off", subject=server.subject)
    return warn(
        message,
        hint=f"{server.facts.cli} CONFIG SET appendonly yes   # and in redis.conf, on a volume that stays",
        subject=server.subject,
    )


def _young(server: Server) -> Iterator[Finding]:
    uptime = server.facts.uptime
    if uptime is None:
        return
    since = f"started {_ago(uptime)}"
    if server.is_broker and uptime < _YOUNG and server.facts.persistent is False:
        since += ", without persistence: what was queued before is gone"
    yield info(since, subject=server.subject, uptime_seconds=uptime, run_id=server.facts.info.get("run_id", ""))


def _older_workers(ctx: Context, uptime: int) -> list[str]:
    """Workers that ran before a server started, so that it must have been restarted under them."""
    try:
        return [node.name for node in ctx.fleet.nodes if node.uptime and node.uptime > uptime + _STARTED_TOGETHER]
    except (Skip, Unavailable):  # then the check of the workers tells
        return []


def _under_sockets(ctx: Context, server: Server) -> Iterator[Finding]:
    """channels_redis.core forgets who is in which group, and each consumer that waited for a message ended."""
    survey = ctx.project
    core = survey and any(layer.backend.endswith("core.RedisChannelLayer") for layer in survey.layers)
    uptime = server.facts.uptime or 0
    if core and _older_workers(ctx, uptime):
        yield warn(
            f"the channel layer's Redis restarted {_ago(uptime)} in a running system: every socket that was open "
            "closed with 1011, and only those that came back are in their groups",
            hint="let browsers connect again by themselves; send the state when they do, layers keep nothing",
            subject=server.subject,
            uptime_seconds=uptime,
        )


def _under_workers(ctx: Context, server: Server) -> Iterator[Finding]:
    """A worker older than its broker saw it restart: what was queued and running then was lost."""
    uptime = server.facts.uptime or 0
    if older := _older_workers(ctx, uptime):
        yield warn(
            f"Redis restarted {_ago(uptime)} under {len(older)} running workers, without persistence: "
            "what was queued or running then is lost",
            hint=f"send unfinished jobs again; {server.facts.cli} CONFIG SET appendonly yes",
            subject=server.subject,
            uptime_seconds=uptime,
            workers=older[:10],
        )


def _flushed(server: Server, caches: list[str]) -> Iterator[Finding]:
    facts = server.facts
    calls = {name: facts.counter(f"cmdstat_{name}", "calls") for name in ("flushdb", "flushall")}
    seen = [f"{name.upper()} {count} times" for name, count in calls.items() if count]
    if seen and server.is_broker:
        beside = f"; cache {listed(caches)} is in the broker's, and its clear() is a FLUSHDB" if caches else ""
        yield warn(
            f"{' and '.join(seen)} since the server started: each deletes every queued task of its database{beside}",
            hint="keep caches on another database or server (cache.clear() flushes), and deny it: "
            f"{facts.cli} ACL SETUSER NAME -flushdb -flushall",
            subject=server.subject,
            **calls,
        )


def _linked(server: Server) -> Iterator[Finding]:
    facts = server.facts
    role = facts.info.get("role")
    if role == "slave" and facts.info.get("master_link_status") == "down":
        yield fail(
            f"the link to the primary {facts.info.get('master_host')}:{facts.info.get('master_port')} is down "
            f"for {facts.info.get('master_link_down_since_seconds', '?')} s",
            hint=f"{facts.cli} INFO replication",
            subject=server.subject,
        )
    elif role == "master":
        count = facts.number("connected_slaves") or 0
        failover = facts.info.get("master_failover_state", "no-failover")
        if failover != "no-failover":
            yield warn(
                f"a failover is going on ({failover})", hint=f"{facts.cli} INFO replication", subject=server.subject
            )
        yield info(f"primary with {count} replicas", subject=server.subject, replicas=count)


def _ago(seconds: int) -> str:
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} seconds ago"
