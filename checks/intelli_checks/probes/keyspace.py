"""A bounded look at the keys of one Redis database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from intelli_checks.dsn import Dsn
from intelli_checks.probes.broker import opened
from intelli_checks.probes.layout import Layout
from intelli_checks.probes.resp import Connection
from intelli_checks.target import Place

PAGES = 10
PAGE = 1000
MAX_KEYS_TYPED = 400
BINDING = "_kombu.binding."
RESULT = "celery-task-meta-"
CHORD = "celery-taskset-meta-"
_NOT_QUEUES = (RESULT, CHORD, BINDING, "_kombu.binding", "unacked", "asgi:", "chordset")


@dataclass(frozen=True, slots=True)
class Keyspace:
    """A sample of a database's keys."""

    lists: tuple[str, ...] = ()
    """Keys that hold a list."""
    bindings: tuple[str, ...] = ()
    """Keys kombu writes for each exchange; what stands before `_kombu` is somebody's key prefix."""
    results: tuple[str, ...] = ()
    """A sample of result keys."""
    chords: tuple[str, ...] = ()
    complete: bool = True
    """Whether every key was seen."""

    def queues(self, layout: Layout) -> set[str]:
        """Names of queues among the lists that carry this layout's prefix."""
        found = set()
        for key in self.lists:
            name = key.removeprefix(layout.prefix) if key.startswith(layout.prefix) else ""
            name = name.partition(layout.separator)[0]
            if name and not name.endswith(".pidbox") and not any(mark in name for mark in _NOT_QUEUES):
                found.add(name)
        return found

    @property
    def prefixes(self) -> set[str]:
        """The key prefixes under which kombu keeps bindings."""
        return {key.partition("_kombu.binding")[0] for key in self.bindings}

    @property
    def leftovers(self) -> tuple[str, ...]:
        """Reply lists of remote control that nobody collected."""
        return tuple(key for key in self.lists if ".reply." in key and key.endswith(".pidbox"))


def gather(connection: Connection) -> Keyspace:
    """At most ten pages of SCAN, so that a database of millions of keys costs what one of thousands does."""
    keys: list[str] = []
    cursor = b"0"
    for _ in range(PAGES):
        reply = connection.call("SCAN", cursor, "COUNT", PAGE)
        if not isinstance(reply, list) or not isinstance(reply[0], bytes) or not isinstance(reply[1], list):
            break
        cursor = reply[0]
        keys += [key.decode("utf-8", "surrogateescape") for key in reply[1] if isinstance(key, bytes)]
        if cursor == b"0":
            break
    return _sorted_out(connection, keys, complete=cursor == b"0")


def of_results(dsn: Dsn, tls: Mapping[str, str], timeout: float, via: Place | None = None) -> Keyspace:
    """The keys of a result store's database; raises Unavailable, whose cause is `celery.results`, without an answer."""
    with opened(Layout(dsn, tls=tls, via=via), timeout, "the result store", cause="celery.results") as connection:
        return gather(connection)


def _sorted_out(connection: Connection, keys: list[str], *, complete: bool) -> Keyspace:
    results = [key for key in keys if RESULT in key]
    chords = [key for key in keys if CHORD in key]
    bindings = [key for key in keys if "_kombu.binding" in key]
    known = {*results, *chords, *bindings}
    others = [key for key in keys if key not in known][:MAX_KEYS_TYPED]
    types = connection.pipeline(("TYPE", key) for key in others)
    lists = [key for key, kind in zip(others, types, strict=True) if kind == b"list"]
    return Keyspace(tuple(lists), tuple(bindings), tuple(results[:200]), tuple(chords[:200]), complete)
