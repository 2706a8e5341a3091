"""Where the workers are when nobody answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from intelli_checks.probes import denials, processes, redis_rights, workers
from intelli_checks.probes.denials import Denial
from intelli_checks.probes.keyspace import BINDING, Keyspace
from intelli_checks.probes.layout import Layout
from intelli_checks.probes.processes import Process
from intelli_checks.probes.redis_facts import Refusal
from intelli_checks.probes.redis_rights import rehearse
from intelli_checks.probes.resp import Connection, DialError, ReplyError
from intelli_checks.probes.workers import WorkerFleet

ALTERNATIVES = 6


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Workers found under another name on the same Redis."""

    kind: str
    """`database` or `prefix`."""
    value: str
    fleet: WorkerFleet


@dataclass(frozen=True, slots=True)
class Absence:
    """Everything that can be known about workers that do not answer."""

    elsewhere: tuple[Elsewhere, ...] = ()
    local: tuple[Process, ...] = ()
    """Celery worker processes on this machine, answering or not."""
    denied: tuple[Denial, ...] = ()
    """Whom the broker refused lately."""
    refused: tuple[Refusal, ...] = ()
    """What a worker with our login would be refused when it comes up."""
    server: str = ""
    """`ip:port` of the broker as our own connection reached it: how other processes' connections name it."""


def other_mailboxes(layout: Layout, keyspace: Keyspace) -> Iterator[Layout]:
    """The same queues under other control channels: what the project's transport options may have renamed."""
    for fanout in ("/{db}.", ""):
        if fanout != layout.fanout:
            yield layout.but(fanout=fanout)
    for key in keyspace.bindings:
        exchange = key.removeprefix(layout.key(BINDING.removesuffix(".")) + ".")
        if exchange.endswith(".pidbox") and not exchange.startswith("reply.") and exchange != layout.mailbox:
            yield layout.but(control_exchange=exchange.removesuffix(".pidbox"))


def elsewhere(layout: Layout, fleet: WorkerFleet, keyspace: Keyspace, timeout: float) -> tuple[Elsewhere, ...]:
    """Ask under every other key prefix and on every other database that has consumers."""
    databases = sorted({c.database for c in fleet.clients or () if c.consumes and c.database != layout.dsn.database})
    prefixes = sorted((keyspace.prefixes | {""}) - {layout.prefix})
    places = [("database", str(number), layout.but(dsn=layout.dsn.on_database(number))) for number in databases]
    places += [("prefix", prefix, layout.but(prefix=prefix)) for prefix in prefixes]
    found = []
    for kind, value, place in places[:ALTERNATIVES]:
        try:
            with Connection.open(place.dsn, timeout, tls=place.tls, via=place.via) as connection:
                there = workers.gather(connection, place, timeout / 4)
                there = workers.profiled(connection, place, there, timeout / 4)
        except (DialError, ReplyError):
            continue
        if there.nodes or there.silent:
            found.append(Elsewhere(kind, value, there))
    return tuple(found)


def gather(layout: Layout, fleet: WorkerFleet, keyspace: Keyspace, timeout: float) -> Absence:
    """Look in the other places of this Redis, at whom it refused, and at this machine's processes."""
    places = elsewhere(layout, fleet, keyspace, timeout)
    return Absence(places, processes.celery("worker"), *_seen(layout, timeout))


def _seen(layout: Layout, timeout: float) -> tuple[tuple[Denial, ...], tuple[Refusal, ...], str]:
    """Whom Redis refused, what it would refuse, and its address.

    The log is read first: what we try ourselves is entered there as well.
    """
    replies = layout.key(f"intelli-ops.reply.{layout.mailbox}")
    try:
        with Connection.open(layout.dsn, timeout, tls=layout.tls, via=layout.via) as connection:
            denied = denials.gather(connection)
            refused = rehearse(connection, redis_rights.mingle(replies), replies)
            return denied, refused, "" if layout.via else connection.peer_address
    except DialError:
        return (), (), ""
