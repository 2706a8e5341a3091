"""Where results are kept, and what lies there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from intelli_checks.dsn import Dsn
from intelli_checks.probes import workers
from intelli_checks.probes.broker import opened
from intelli_checks.probes.keyspace import CHORD, Keyspace
from intelli_checks.probes.keyspace import RESULT as META
from intelli_checks.probes.layout import Layout
from intelli_checks.probes.nodes import Node
from intelli_checks.probes.redis import Endpoint
from intelli_checks.probes.resp import Connection
from intelli_checks.probes.survey import Survey
from intelli_checks.probes.workers import WorkerFleet
from intelli_checks.target import Place

HEAD = 600
"""Bytes read of each result: status, worker and the beginning of the value come first."""
MESSAGE = 200
"""Characters of an exception's message."""
MAX_CHORDS = 50
_NOT_JSON = re.compile(r"[:\[,] *(NaN|-?Infinity) *[,\]}]")


@dataclass(frozen=True, slots=True)
class ResultStore:
    """The Redis that keeps results."""

    dsn: Dsn
    prefix: str = ""
    """`global_keyprefix` of the result backend."""
    tls: Mapping[str, str] = field(default_factory=dict)
    via: Place | None = None

    def key(self, id_: str) -> str:
        return f"{self.prefix}{META}{id_}"


def store(endpoint: Endpoint | None, project: Survey | None, fleet: WorkerFleet, broker: Dsn) -> ResultStore | None:
    """Where the project looks for results; without a project, where its workers say they write them."""
    if endpoint is None:
        told = None if project else _told(fleet, broker)
        return ResultStore(told, tls=_trusting(told)) if told and not _prefixed(fleet) else None
    options = (project.conf.get("result_backend_transport_options") if project else None) or {}
    return ResultStore(endpoint.dsn, str(options.get("global_keyprefix") or ""), endpoint.tls, endpoint.via)


def _trusting(dsn: Dsn) -> Mapping[str, str]:
    """Which authority the project trusts is not told either; no password is sent that the broker was not sent."""
    return {"ssl_cert_reqs": "none"} if dsn.tls else {}


def _prefixed(fleet: WorkerFleet) -> bool:
    """Whether results are kept under a prefix: which one workers do not tell, a name with `key` in it is masked."""
    options = [node.conf.get("result_backend_transport_options") for node in fleet.nodes]
    return any(isinstance(told, Mapping) and bool(told.get("global_keyprefix")) for told in options)


def _told(fleet: WorkerFleet, broker: Dsn) -> Dsn | None:
    """The one result backend of all workers; they mask its password, which is the broker's when both are one server."""
    urls = {str(node.conf["result_backend"]) for node in fleet.nodes if node.conf.get("result_backend")}
    dsn = Dsn(urls.pop()) if len(urls) == 1 else None
    if dsn is None or not dsn.is_redis or dsn.unix_path:  # a socket's database is an option, which workers leave out
        return None
    if (dsn.host, dsn.port, dsn.unix_path) == (broker.host, broker.port, broker.unix_path):
        return broker.on_database(dsn.database)
    return dsn if "**" not in dsn.raw else None


@dataclass(frozen=True, slots=True)
class Chord:
    """A chord that waits for its header's tasks."""

    id: str
    size: int
    done: int


@dataclass(frozen=True, slots=True)
class Failure:
    """A task that ended with an exception."""

    id: str
    exception: str
    """The exception's class."""
    message: str
    """The beginning of its message, as JSON has it; may hold anybody's data, so it is looked at and never shown."""
    ttl: int
    """Seconds until the result expires; -1 for never."""
    task: str = ""
    """The task's name, where the worker did not know it and so the message is that name."""


@dataclass(frozen=True, slots=True)
class ResultSample:
    """A bounded look at stored results."""

    looked_at: int = 0
    eternal: int = 0
    """Results among them that never expire."""
    started: Mapping[str, str] = field(default_factory=dict)
    """Id -> node, for results that say STARTED."""
    not_json: tuple[str, ...] = ()
    """Ids whose result holds NaN or Infinity, which Python writes and no other JSON parser reads."""
    chords: tuple[Chord, ...] = ()
    """Chords with fewer results than header tasks."""
    failures: tuple[Failure, ...] = ()


def sample(results: ResultStore, keyspace: Keyspace, timeout: float) -> ResultSample:
    """Look at the results among `keyspace`'s keys; reads the first bytes of each, never a whole one."""
    keys = [key for key in keyspace.results if key.startswith(results.prefix)]
    with opened(Layout(results.dsn, tls=results.tls, via=results.via), timeout, "the result store") as connection:
        lifetimes = connection.pipeline(("TTL", key) for key in keys)
        heads = _heads(connection, keys)
        chords = _chords(connection, keyspace.chords)
    started = {id_of(key): _word(head, "hostname") for key, head in heads.items() if _word(head, "status") == "STARTED"}
    return ResultSample(
        len(keys),
        sum(lifetime == -1 for lifetime in lifetimes),
        started,
        tuple(id_of(key) for key, head in heads.items() if _NOT_JSON.search(head)),
        chords,
        tuple(
            Failure(id_of(key), _word(heads[key], "exc_type"), _message(heads[key]), lifetime, _unknown(heads[key]))
            for key, lifetime in zip(keys, lifetimes, strict=True)
            if key in heads and _ended_badly(heads[key]) and isinstance(lifetime, int)
        ),
    )


def lost(results: ResultStore, layout: Layout, ids: Iterable[str], timeout: float) -> tuple[str, ...]:
    """Those of `ids` that still say STARTED while no worker holds them, asked in this order: workers, then results.

    A task that starts in between is not asked about, one that ends in between does not say STARTED any more.
    """
    wanted = list(ids)
    with opened(layout, timeout) as connection:
        fleet = workers.gather(connection, layout, timeout / 2)
    with opened(Layout(results.dsn, tls=results.tls, via=results.via), timeout, "the result store") as connection:
        heads = _heads(connection, [results.key(id_) for id_ in wanted])
    still = {id_of(key) for key, head in heads.items() if _word(head, "status") == "STARTED"}
    return tuple(sorted(still - fleet.held)) if fleet.accounted else ()


def told_of(results: ResultStore, id_: str, timeout: float) -> tuple[str | None, str]:
    """What is stored for this task: its state, or None for nothing; and how it failed, without the arguments."""
    with opened(Layout(results.dsn, tls=results.tls, via=results.via), timeout, "the result store") as connection:
        key = results.key(id_)
        head = _heads(connection, [key]).get(key)
    if not head:
        return None, ""
    state = _word(head, "status") or "unreadable"
    return state, failure_of(head) if state in {"FAILURE", "RETRY"} else ""


def failure_of(head: str) -> str:
    """The class of what was raised; of a task that its worker did not know, its name."""
    kind, name = _word(head, "exc_type"), _unknown(head)
    return f"{kind}: its worker did not know {name}" if name else kind


def id_of(key: str) -> str:
    """The task id in a result's key."""
    return key.partition(META)[2]


def _heads(connection: Connection, keys: Sequence[str]) -> dict[str, str]:
    replies = connection.pipeline(("GETRANGE", key, 0, HEAD) for key in keys)
    return {
        key: raw.decode("utf-8", "replace") for key, raw in zip(keys, replies, strict=True) if isinstance(raw, bytes)
    }


def _message(head: str) -> str:
    return head.partition('"exc_message": ')[2][:MESSAGE]


def _ended_badly(head: str) -> bool:
    """FAILURE, or dropped because it had expired; a task that somebody revoked ended as he wished."""
    status = _word(head, "status")
    return status == "FAILURE" or (status == "REVOKED" and "expired" in _message(head))


def _unknown(head: str) -> str:
    """The name of a task that the worker did not know."""
    found = re.match(r'\["([\w.\-:]{1,200})"', _message(head)) if _word(head, "exc_type") == "NotRegistered" else None
    return found[1] if found else ""


def _word(head: str, name: str) -> str:
    found = re.search(rf'"{name}": "([^"]*)"', head)
    return found[1] if found else ""


def _chords(connection: Connection, keys: Iterable[str]) -> tuple[Chord, ...]:
    """Chords whose counter is behind their size (celery.backends.redis: `.s` holds the size, `.j` the results)."""
    bases = [key.removesuffix(".s") for key in keys if key.endswith(".s")][:MAX_CHORDS]
    sizes = connection.pipeline(("GET", f"{base}.s") for base in bases)
    done = connection.pipeline(("ZCARD", f"{base}.j") for base in bases)
    found = [
        Chord(base.partition(CHORD)[2], int(size), count)
        for base, size, count in zip(bases, sizes, done, strict=True)
        if isinstance(size, bytes) and size.isdigit() and isinstance(count, int)
    ]
    return tuple(chord for chord in found if chord.done < chord.size)


def stored_elsewhere(node: Node, expected: Dsn | None) -> bool:
    """Whether a worker's result backend is another Redis database than the project's."""
    told = node.conf.get("result_backend")
    if not told or expected is None or not expected.is_redis:
        return False
    written = Dsn(str(told))
    other_database = written.database != expected.database and not _left_out(written, expected)
    return _place(written) != _place(expected) or other_database


def _place(dsn: Dsn) -> tuple[Any, ...]:
    return dsn.transport, dsn.server


def _left_out(told: Dsn, expected: Dsn) -> bool:
    """Whether `told` cannot name the database: workers mask their URL (kombu's sanitize_url), which drops options."""
    return bool(told.unix_path) or bool(expected.options.keys() & {"virtual_host", "db"} and not told.names_database)
