"""Which commands, keys and channels this user may use: rehearsed inside MULTI, then discarded.

Redis checks rights, memory, disk and role of the server when a command is *queued* in a transaction ("Transactions",
"ACL", redis.io docs), so a transaction that is always discarded asks about LPUSH on the real queue without touching it,
and needs no permission for ACL DRYRUN.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

from intelli_checks.probes.redis_facts import Refusal, refusal
from intelli_checks.probes.resp import Connection, ReplyError

Rehearsal: TypeAlias = "tuple[Sequence[str | int], ...]"

_NO_SCRIPT = "0" * 40
_ASKED = frozenset({"NOPERM", "OOM", "MISCONF", "READONLY", "MOVED", "CROSSSLOT", "CLUSTERDOWN", "NOREPLICAS"})


def rehearse(connection: Connection, commands: Rehearsal, key: str) -> tuple[Refusal, ...]:
    """Every command of `commands` the server would refuse; none is executed.

    `key` is one of our own: a harmless GET on it must be answered QUEUED before anything else is sent, since a proxy
    that does not know MULTI would execute what follows.
    """
    if not commands:
        return ()
    opened, queued = connection.pipeline([["MULTI"], ["GET", key]])
    if isinstance(opened, ReplyError):
        denied = refusal("MULTI", opened)
        return (denied,) if denied and denied.code == "NOPERM" else ()
    if queued != b"QUEUED" and not (isinstance(queued, ReplyError) and queued.code == "NOPERM"):
        connection.pipeline([["DISCARD"]])
        return ()
    *replies, _ = connection.pipeline([*commands, ["DISCARD"]])
    found = (refusal(_name(command), reply) for command, reply in zip(commands, replies, strict=True))
    return tuple(_lacking(denied) for denied in found if denied and (denied.code in _ASKED or _unknown(denied)))


def _unknown(denied: Refusal) -> bool:
    return "unknown command" in denied.text


def _lacking(denied: Refusal) -> Refusal:
    """An unknown command has no code of its own: too old a server, or a command renamed away."""
    return replace(denied, code="UNKNOWN") if _unknown(denied) else denied


def _name(command: Sequence[str | int]) -> str:
    return f"{command[0]} {command[1]}" if len(command) > 1 else str(command[0])


def broker(queues: Sequence[str], database: int, prefix: str = "") -> Rehearsal:
    """What a Celery worker and a producer do on their broker (kombu.transport.redis)."""
    unacked, index, mutex = f"{prefix}unacked", f"{prefix}unacked_index", f"{prefix}unacked_mutex"
    binding, channel = f"{prefix}_kombu.binding.celery", f"{prefix}/{database}.celery.pidbox"
    per_queue = [
        command
        for queue in queues
        for command in (
            ("LPUSH", f"{prefix}{queue}", "x"),
            ("RPUSH", f"{prefix}{queue}", "x"),
            ("BRPOP", f"{prefix}{queue}", 1),
            ("LLEN", f"{prefix}{queue}"),
        )
    ]
    return (
        *per_queue,
        ("SADD", binding, "x"),
        ("SREM", binding, "x"),
        ("SMEMBERS", binding),
        ("HSET", unacked, "x", "x"),
        ("HGET", unacked, "x"),
        ("HDEL", unacked, "x"),
        ("ZADD", index, 0, "x"),
        ("ZREM", index, "x"),
        ("ZRANGE", index, 0, 0),
        ("SET", mutex, "x", "NX", "EX", 1),
        ("EVALSHA", _NO_SCRIPT, 1, mutex, "x"),
        ("SCRIPT", "LOAD", "return 1"),  # the first release of the lock (redis.commands.core.Script)
        ("PUBLISH", channel, "x"),
        ("PSUBSCRIBE", channel),
    )


def mingle(replies: str) -> Rehearsal:
    """What a worker does before it is ready, unless it was started with `--without-mingle`: it asks the others."""
    return (("LLEN", replies), ("LPUSH", replies, "x"), ("DEL", replies))


def results(prefix: str = "") -> Rehearsal:
    """What storing and awaiting a result takes (celery.backends.redis)."""
    key = f"{prefix}celery-task-meta-intelli-ops-probe"
    return (
        ("SETEX", key, 1, "x"),
        ("GET", key),
        ("MGET", key),
        ("DEL", key),
        ("EXPIRE", key, 1),
        ("PUBLISH", key, "x"),
        ("SUBSCRIBE", key),
    )


def channels_core(prefix: str = "asgi") -> Rehearsal:
    """What channels_redis.core.RedisChannelLayer does."""
    channel, group = f"{prefix}specific.intelli-ops!", f"{prefix}:group:intelli-ops"
    return (
        ("ZADD", channel, 0, "x"),
        ("ZREMRANGEBYSCORE", channel, 0, 0),
        ("ZCOUNT", channel, "-inf", "+inf"),
        ("BZPOPMIN", channel, 1),
        ("ZPOPMIN", channel),
        ("EXPIRE", channel, 1),
        ("ZADD", group, 0, "x"),
        ("ZRANGE", group, 0, -1),
        ("ZREM", group, "x"),
        ("EVAL", "return 1", 1, channel),
    )


def channels_pubsub(prefix: str = "asgi") -> Rehearsal:
    """What channels_redis.pubsub.RedisPubSubChannelLayer does."""
    return (("PUBLISH", f"{prefix}__group__intelli-ops", "x"), ("SUBSCRIBE", f"{prefix}__group__intelli-ops"))
