"""Groups, members and backlog of a channel layer, read from its Redis.

Key names as channels_redis.core 4 writes them: `PREFIX:group:NAME` is a sorted set of channel names by the time they
joined; `PREFIXspecific.PROCESS!` is the one queue of a process, a sorted set of messages by the time they were sent;
`PREFIXNAME` is the same for a channel with a name, which `manage.py runworker NAME` reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from intelli_checks.model import Unavailable
from intelli_checks.probes import clients
from intelli_checks.probes.redis import Endpoint
from intelli_checks.probes.resp import Connection, DialError, Reply, ReplyError
from intelli_checks.probes.survey import LayerDecl
from intelli_checks.text import safe

PAGES, PAGE = 20, 1000
MAX_DETAILS = 500
"""Groups and channels looked into; more are counted only."""
GROUP, SPECIFIC = ":group:", "specific."
OWN = ":group:intelli-ops."
"""Groups of our own round trips."""
CAPACITY = 100
"""Messages a queue holds, channels_redis's default."""
_MEMBERS = 50


@dataclass(frozen=True, slots=True)
class Group:
    """A group with its members."""

    name: str
    prefix: str
    database: int
    members: int
    channels: tuple[str, ...] = ()
    """The members that joined last, at most fifty."""
    seconds: float | None = None
    """Since the oldest member joined."""

    @property
    def processes(self) -> frozenset[str]:
        """The processes the members live in."""
        return frozenset(channel.partition("!")[0] for channel in self.channels)


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits for one process, or in one channel with a name."""

    key: str
    prefix: str
    waiting: int
    seconds: float | None = None
    """Since the oldest of it was sent."""

    @property
    def channel(self) -> str:
        """The channel's name; of a process `specific.PROCESS!`."""
        return self.key.removeprefix(self.prefix)

    @property
    def named(self) -> bool:
        """Whether it is a channel with a name, which no web process reads."""
        return not self.channel.startswith(SPECIFIC)


@dataclass(frozen=True, slots=True)
class LayerState:
    """One Redis database as a channel layer."""

    address: str
    database: int
    groups: tuple[Group, ...] = ()
    backlogs: tuple[Backlog, ...] = ()
    group_count: int = 0
    readers: int | None = None
    """Connections that wait for messages right now; None where CLIENT LIST is not allowed."""
    stalled: tuple[int, ...] = ()
    """Seconds since connections that took a message last asked for the next one, above two."""
    complete: bool = True
    """Whether every key was seen."""

    @property
    def name(self) -> str:
        return f"{self.address}/{self.database}"

    @property
    def prefixes(self) -> frozenset[str]:
        return frozenset(group.prefix for group in self.groups)


def gather(
    endpoint: Endpoint, timeout: float, databases: Sequence[int] = (), prefixes: Sequence[str] = ()
) -> tuple[LayerState, ...]:
    """The layer's own database, or each of `databases`; raises Unavailable when the server does not answer.

    Channels with a name are looked for below `prefixes`: nothing else tells their keys from other people's.
    """
    try:
        with Connection.open(endpoint.dsn, timeout, tls=endpoint.tls, via=endpoint.via).patient() as connection:
            numbers = databases or (endpoint.dsn.database,)
            states = []
            for number in numbers:
                if numbers != (endpoint.dsn.database,):  # where it is connected to; an ACL may forbid SELECT
                    connection.call("SELECT", number)
                states.append(_look(connection, endpoint, number, prefixes))
            return tuple(states)
    except (DialError, ReplyError) as error:
        raise Unavailable(
            f"the channel layer's Redis broke off at {safe(error)}",
            hint="intelli-ops check redis.channels",
            subject=endpoint.subject,
        ) from error


def databases(endpoint: Endpoint, timeout: float) -> tuple[int, ...]:
    """The numbers of all databases of the server that hold keys."""
    try:
        with Connection.open(endpoint.dsn, timeout, tls=endpoint.tls, via=endpoint.via).patient() as connection:
            told = connection.call("INFO", "keyspace")
    except (DialError, ReplyError):
        return (endpoint.dsn.database,)
    lines = told.decode("utf-8", "replace").splitlines() if isinstance(told, bytes) else []
    found = {int(line[2:].partition(":")[0]) for line in lines if line.startswith("db") and line[2:3].isdigit()}
    return tuple(sorted(found | {endpoint.dsn.database}))


def _look(connection: Connection, endpoint: Endpoint, database: int, prefixes: Sequence[str]) -> LayerState:
    keys, complete = _scan(connection)
    now = _now(connection)
    groups = [key for key in keys if GROUP in key and OWN not in key]
    queues = [key for key in keys if SPECIFIC in key and key.endswith("!")]
    named = [(key, one) for key in keys for one in prefixes if _is_named(key, one)][:MAX_DETAILS]
    listed = clients.listing(connection)
    mine = [client for client in listed or () if client.database == database and client.command == "bzpopmin"]
    return LayerState(
        endpoint.dsn.address,
        database,
        tuple(_groups(connection, groups[:MAX_DETAILS], database, now)),
        (
            *_backlogs(connection, [(key, key.partition(SPECIFIC)[0]) for key in queues[:MAX_DETAILS]], now),
            *_backlogs(connection, _sorted_sets(connection, named), now),
        ),
        len(groups),
        None if listed is None else sum(client.blocked for client in mine),
        tuple(client.idle for client in mine if not client.blocked and client.idle > 2),
        complete,
    )


def _scan(connection: Connection) -> tuple[list[str], bool]:
    """At most twenty pages, so that a database of millions of keys costs what one of thousands does."""
    keys: list[str] = []
    cursor: Reply = b"0"
    for _ in range(PAGES):
        match connection.call("SCAN", cursor if isinstance(cursor, bytes) else b"0", "COUNT", PAGE):
            case [cursor, [*found]]:
                keys += [key.decode("utf-8", "replace") for key in found if isinstance(key, bytes)]
            case _:
                break
        if cursor == b"0":
            break
    return sorted(set(keys)), cursor == b"0"


def _now(connection: Connection) -> float:
    match connection.call("TIME"):
        case [bytes(seconds), bytes(micros)]:
            return int(seconds) + int(micros) / 1e6
    return 0.0


def _groups(connection: Connection, keys: Sequence[str], database: int, now: float) -> Iterator[Group]:
    replies = connection.pipeline(
        command
        for key in keys
        for command in (("ZCARD", key), ("ZREVRANGE", key, 0, _MEMBERS - 1), ("ZRANGE", key, 0, 0, "WITHSCORES"))
    )
    for key, count, newest, oldest in zip(keys, replies[::3], replies[1::3], replies[2::3], strict=True):
        prefix, _, name = key.partition(GROUP)
        if isinstance(count, int):
            channels = tuple(safe(one.decode("utf-8", "replace")) for one in _list(newest) if isinstance(one, bytes))
            yield Group(safe(name), safe(prefix), database, count, channels, _age(oldest, now))


def _is_named(key: str, prefix: str) -> bool:
    return key.startswith(prefix) and GROUP not in key and SPECIFIC not in key and not key.endswith("$inflight")


def _sorted_sets(connection: Connection, keys: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those of the keys that can be a channel: anybody else's key may begin so, too."""
    kinds = connection.pipeline(("TYPE", key) for key, _ in keys)
    return [key for key, kind in zip(keys, kinds, strict=True) if kind in {"zset", b"zset"}]


def _backlogs(connection: Connection, keys: Sequence[tuple[str, str]], now: float) -> Iterator[Backlog]:
    """Of keys and their prefixes."""
    replies = connection.pipeline(
        command for key, _ in keys for command in (("ZCARD", key), ("ZRANGE", key, 0, 0, "WITHSCORES"))
    )
    for (key, prefix), count, oldest in zip(keys, replies[::2], replies[1::2], strict=True):
        if isinstance(count, int) and count:
            yield Backlog(safe(key), safe(prefix), count, _age(oldest, now))


def _list(reply: Reply) -> list[Reply]:
    return reply if isinstance(reply, list) else []


def _age(oldest: Reply, now: float) -> float | None:
    match oldest:
        case [_, bytes(score)]:
            return max(0.0, round(now - float(score), 1))
    return None


def limit_of(layers: Iterable[LayerDecl], one: Backlog) -> int:
    """The capacity declared for this queue."""
    for layer in layers:
        if layer.prefix == one.prefix:
            special: Mapping[str, int] = layer.config.get("channel_capacity") or {}
            fitting = [int(size) for pattern, size in special.items() if fnmatchcase(one.channel, str(pattern))]
            return fitting[0] if fitting else int(layer.config.get("capacity") or CAPACITY)
    return CAPACITY
