"""Is Redis quick, does it have connections to spare, and what did it refuse lately?"""

from __future__ import annotations

from collections.abc import Iterator

from intelli_checks.context import Context
from intelli_checks.families.redis_seen import Server, servers
from intelli_checks.model import Finding, Stage, info, warn
from intelli_checks.registry import check

SLOW_PING_MS = 50.0
"""A publish takes several round trips: from here on they dominate a request."""
BLOCKING = 0.1
"""Seconds of one command that everybody else waits for, and notices."""
_RECENT = 600
_ROOM = 1_000_000
"""Bytes a subscriber must be able to fall behind: a worker's own answers have tens of kilobytes."""
_NEARLY_ALL = 0.8
_DAY = 86_400

_REFUSALS = {
    "OOM": "memory was full: publishes failed and workers exited",
    "MISCONF": "saving to disk failed: publishes failed and workers exited",
    "READONLY": "this was a replica, or became one: publishes failed and workers exited",
    "NOPERM": "a user was denied a command, a key or a channel; ACL LOG names both",
    "WRONGPASS": "somebody logs in with a wrong password; ACL LOG names the user",
}  # not ERR and NOSCRIPT, which grow on healthy systems, nor NOAUTH, which every monitoring probe without login adds to


@check("redis.latency", stage=Stage.READY, needs=["redis.broker"])
def latency(ctx: Context) -> Iterator[Finding]:
    """Redis answers quickly.

    Redis runs one command at a time: a slow one (KEYS on a large database, a big LRANGE, FLUSHDB, a Lua script)
    holds up every worker and every request for as long. The slow log names it.

    Replace KEYS by SCAN, keep large values elsewhere, give caches a Redis of their own; a server in another region
    belongs next to the workers.
    """
    for server in servers(ctx):
        yield _ping(server)
        yield from _slow(server)


@check("redis.clients", stage=Stage.READY, needs=["redis.broker"])
def clients(ctx: Context) -> Iterator[Finding]:
    """Redis has connections to spare.

    A prefork worker holds 10 to 14 connections, each web process a pool. At `maxclients` nobody new gets in: no worker
    starts, requests fail now and then, and no probe can look.

    A subscriber that does not read as fast as is published is cut off at `client-output-buffer-limit pubsub`: remote
    control, results that are waited for, and the sockets of a pub/sub channel layer.

    Raise `maxclients` and the open files limit, or lower `broker_pool_limit` and `redis_max_connections`.
    """
    for server in servers(ctx):
        yield from _connections(server)
        yield from _subscribers(server)


@check("redis.errors", stage=Stage.READY, needs=["redis.broker"])
def errors(ctx: Context) -> Iterator[Finding]:
    """Redis refused nothing that matters since it started.

    `INFO errorstats` (Redis 6.2) counts error replies by kind. OOM, MISCONF and READONLY end Celery workers: a worker
    that vanished without a trace may have met one of them.
    """
    for server in servers(ctx):
        for code, meaning in _REFUSALS.items():
            if count := server.facts.counter(f"errorstat_{code}"):
                yield _refused(server, code, count, meaning)


def _ping(server: Server) -> Finding:
    milliseconds = server.facts.ping_ms
    if milliseconds < SLOW_PING_MS:
        return info(f"PING takes {milliseconds:.1f} ms", subject=server.subject, ping_ms=milliseconds)
    return warn(
        f"PING takes {milliseconds:.0f} ms: far away, or busy",
        hint=f"{server.facts.cli} --latency   # and: {server.facts.cli} SLOWLOG GET 10",
        subject=server.subject,
        ping_ms=milliseconds,
    )


def _slow(server: Server) -> Iterator[Finding]:
    facts = server.facts
    now = facts.server_time or 0.0
    recent = [slow for slow in facts.slow if now - slow.at < _RECENT and slow.seconds >= BLOCKING]
    if not recent:
        return
    worst = max(recent, key=lambda slow: slow.seconds)
    yield warn(
        f"{worst.command!r} held everybody up for {worst.seconds:.2f} s, {now - worst.at:.0f} s ago "
        f"({len(recent)} such commands in {_RECENT // 60} minutes)",
        hint=f"{facts.cli} SLOWLOG GET 10   # KEYS: use SCAN; large values: store them elsewhere",
        subject=server.subject,
        command=worst.command,
        seconds=worst.seconds,
    )


def _connections(server: Server) -> Iterator[Finding]:
    facts = server.facts
    connected, blocked = facts.number("connected_clients"), facts.number("blocked_clients")
    limit = facts.number("maxclients") or facts.setting("maxclients")
    rejected = facts.number("rejected_connections") or 0
    if connected is None:
        return
    told = {"connected": connected, "maxclients": limit, "blocked": blocked, "rejected": rejected}
    cure = (
        f"{facts.cli} CLIENT LIST   # who holds them? then: {facts.cli} CONFIG SET maxclients {2 * (limit or 10_000)}"
    )
    if limit and connected >= _NEARLY_ALL * limit:
        yield warn(f"{connected} of {limit} connections are taken", hint=cure, subject=server.subject, **told)
    elif rejected:
        message = f"{rejected} connections were refused since the server started (maxclients {limit})"
        yield warn(message, hint=cure, subject=server.subject, **told)
    else:
        yield info(f"{connected} of {limit or '?'} connections are taken", subject=server.subject, **told)


def _subscribers(server: Server) -> Iterator[Finding]:
    """Whoever listens to channels is disconnected when more than so many bytes wait for him; 0 is no limit."""
    facts = server.facts
    _, _, rest = facts.config.get("client-output-buffer-limit", "").partition("pubsub ")
    hard, soft = [int(word) if word.isdigit() else 0 for word in (*rest.split(), "", "")[:2]]
    cut = facts.number("client_output_buffer_limit_disconnections") or 0
    least = min(filter(None, (hard, soft)), default=0)
    cure = f"{facts.cli} CONFIG SET client-output-buffer-limit 'pubsub 33554432 8388608 60'   # and CONFIG REWRITE"
    if least and least < _ROOM:
        yield warn(
            f"a subscriber is cut off when {least} bytes wait for him (client-output-buffer-limit pubsub): one burst "
            "of events, or one long answer of a worker, ends his connection",
            hint=cure,
            subject=server.subject,
            bytes=least,
        )
    elif cut:
        yield warn(
            f"{cut} clients were cut off at client-output-buffer-limit: they read slower than they were sent",
            hint=f"{facts.cli} CLIENT LIST   # omem= says who lags; then find what holds that process up",
            subject=server.subject,
            cut=cut,
        )


def _refused(server: Server, code: str, count: int, meaning: str) -> Finding:
    """Yesterday's refusals explain what is missing today; those of a server up for months explain nothing."""
    uptime = server.facts.uptime or 0
    message = f"{code} was answered {count} times since the server started: {meaning}"
    ours = code == "NOPERM" and not server.facts.config  # our own CONFIG was refused, and is counted here
    if uptime >= _DAY or ours:
        return info(message, subject=server.subject, code=code, count=count)
    hint = f"{server.facts.cli} INFO errorstats   # still growing? then restart workers that exited"
    return warn(message, hint=hint, subject=server.subject, code=code, count=count)
