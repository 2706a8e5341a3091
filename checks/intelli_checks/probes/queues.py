"""What waits in the queues and what was delivered and not acknowledged, without consuming and without O(n) commands."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate

from intelli_checks.probes.broker import opened
from intelli_checks.probes.keyspace import Keyspace
from intelli_checks.probes.layout import Layout
from intelli_checks.probes.messages import Message, decode, read, without_body
from intelli_checks.probes.resp import Connection, Cut, Reply
from intelli_checks.probes.survey import Survey
from intelli_checks.probes.workers import WorkerFleet, redis_time

TAIL = 100
"""Messages read from the end that is consumed next."""
TAIL_BYTES = 1024 * 1024
OLDEST_UNACKED = 100
UNACKED_BYTES = 8 * 1024 * 1024
APART = 1.0
"""Seconds between the two looks that tell a queue that grows from one that drains."""


@dataclass(frozen=True, slots=True)
class Queue:
    """One queue: all its priority lists together."""

    name: str
    depths: Mapping[str, int] = field(default_factory=dict)
    """Key -> messages in it."""
    tail: tuple[Message, ...] = ()
    """The messages that are next to be consumed, the very next first, over all priorities."""
    wrong_type: str = ""
    """What Redis says when the key is not a list."""

    @property
    def depth(self) -> int:
        return sum(self.depths.values())

    @property
    def oldest(self) -> Message | None:
        return self.tail[0] if self.tail else None


@dataclass(frozen=True, slots=True)
class Delivered:
    """A message some worker took and has not acknowledged."""

    tag: str
    score: float
    """When it was delivered, on the clock of the worker that took it."""
    message: Message
    exchange: str = ""
    routing_key: str = ""


@dataclass(frozen=True, slots=True)
class Unacked:
    """The messages in `unacked`, by its oldest."""

    count: int = 0
    oldest: tuple[Delivered, ...] = ()
    latest: float | None = None
    """The highest score; later than Redis's clock means that a worker's clock is ahead."""


@dataclass(frozen=True, slots=True)
class QueueDepths:
    """Every queue we know of, at one moment."""

    queues: Mapping[str, Queue] = field(default_factory=dict)
    unacked: Unacked = Unacked()
    taken: float = 0.0
    """Redis's clock."""
    uptime: int | None = None
    """Seconds since Redis started."""

    def depth(self, name: str) -> int:
        return self.queues[name].depth if name in self.queues else 0

    @property
    def waiting(self) -> dict[str, Queue]:
        return {name: queue for name, queue in self.queues.items() if queue.depth}


def gather_all(
    layout: Layout, project: Survey | None, fleet: WorkerFleet, keyspace: Keyspace, timeout: float
) -> QueueDepths:
    """Look at every queue that is declared, routed to, consumed, or found among the keys."""
    layout = fleet.found(layout)
    names = {*expected(project), layout.default_queue, *fleet.queues, *keyspace.queues(layout)}
    with opened(layout, timeout) as connection:
        return gather(connection, layout, names)


def again(layout: Layout, before: QueueDepths, timeout: float) -> QueueDepths:
    """The same queues `APART` seconds after `before`, by Redis's clock; at once where nothing waits."""
    with opened(layout, timeout) as connection:
        if before.waiting:
            time.sleep(min(max(0.0, before.taken + APART - redis_time(connection)), timeout / 2))
        return gather(connection, layout, before.queues)


def expected(project: Survey | None) -> frozenset[str]:
    """The queues the project's own tasks and schedule are sent to: somebody must consume them."""
    tasks, beat = (project.tasks, project.beat.values()) if project else ((), ())
    routed = {task.queue for task in tasks if task.queue and not task.name.startswith("celery.")}
    return frozenset(routed | {str(entry["queue"]) for entry in beat if entry.get("queue")})


def declared(project: Survey | None) -> frozenset[str]:
    """The queues the project names: `task_queues` and every route."""
    return expected(project) | {queue.name for queue in (project.queues if project else ())}


def gather(connection: Connection, layout: Layout, names: Iterable[str]) -> QueueDepths:
    """Look at the queues called `names`; raises DialError as the connection does."""
    now = redis_time(connection)
    keys = {name: layout.lists(name) for name in sorted(names)}
    flat = [key for lists in keys.values() for key in lists]
    lengths = dict(zip(flat, connection.pipeline(("LLEN", key) for key in flat), strict=True))
    full = [key for key in flat if isinstance(lengths[key], int) and lengths[key]]
    tails = dict(zip(full, _tails(connection, full), strict=True))
    return QueueDepths(
        {name: _queue(name, lists, lengths, tails) for name, lists in keys.items()},
        unacked(connection, layout),
        now,
        _uptime(connection),
    )


def _queue(
    name: str, lists: tuple[str, ...], lengths: Mapping[str, Reply], tails: Mapping[str, tuple[Message, ...]]
) -> Queue:
    depths = {key: length for key in lists if isinstance(length := lengths[key], int) and length}
    errors = [str(lengths[key]) for key in lists if isinstance(lengths[key], Exception)]
    return Queue(name, depths, tuple(m for key in lists for m in tails.get(key, ())), errors[0] if errors else "")


def _tails(connection: Connection, keys: list[str]) -> list[tuple[Message, ...]]:
    """The last messages of each list: fewer when they are large, so that a glance never costs megabytes."""
    last = connection.pipeline((("LINDEX", key, -1) for key in keys), keep=TAIL_BYTES)
    spans = {key: span for key, raw in zip(keys, last, strict=True) if (span := _span(raw)) > 1}
    samples = connection.pipeline((("LRANGE", key, -span, -1) for key, span in spans.items()), keep=TAIL_BYTES)
    longer = dict(zip(spans, samples, strict=True))
    return [_decoded(longer.get(key, [raw])) for key, raw in zip(keys, last, strict=True)]


def _span(last: Reply) -> int:
    """How many messages of that size to read."""
    size = last.size if isinstance(last, Cut) else len(last) if isinstance(last, bytes) else 1
    return min(TAIL, TAIL_BYTES // max(1, size))


def _decoded(sample: Reply) -> tuple[Message, ...]:
    return tuple(decode(raw) for raw in reversed(sample) if isinstance(raw, bytes)) if isinstance(sample, list) else ()


def unacked(connection: Connection, layout: Layout) -> Unacked:
    """Count, oldest and latest of the delivered messages; never HGETALL, which holds up everybody else."""
    index, table = layout.key(layout.unacked_index), layout.key(layout.unacked)
    count, oldest, newest = connection.pipeline(
        [
            ("HLEN", table),
            ("ZRANGE", index, 0, OLDEST_UNACKED - 1, "WITHSCORES"),
            ("ZRANGE", index, -1, -1, "WITHSCORES"),
        ]
    )
    scored = _affordable(connection, table, _scored(oldest))
    chosen: list[str | bytes] = ["HMGET", table, *(tag for tag, _ in scored)]
    values = connection.pipeline([chosen], keep=UNACKED_BYTES)[0] if scored else []
    values = values if isinstance(values, list) else []
    latest = _scored(newest)
    return Unacked(
        count if isinstance(count, int) else 0,
        tuple(
            _delivered(tag.decode("utf-8", "replace"), score, raw)
            for (tag, score), raw in zip(scored, values, strict=False)
            if isinstance(raw, bytes)
        ),
        latest[0][1] if latest else None,
    )


def _affordable(connection: Connection, table: str, scored: list[tuple[bytes, float]]) -> list[tuple[bytes, float]]:
    """The first of them, whatever its size, and as many more as fit."""
    sizes = connection.pipeline(("HSTRLEN", table, tag) for tag, _ in scored)
    totals = accumulate(size if isinstance(size, int) else 0 for size in sizes)
    fitting = sum(total <= UNACKED_BYTES for total in totals)
    return scored[: max(1, fitting)]


def _scored(reply: Reply) -> list[tuple[bytes, float]]:
    if not isinstance(reply, list):
        return []
    pairs = zip(reply[::2], reply[1::2], strict=False)
    return [(tag, float(score)) for tag, score in pairs if isinstance(tag, bytes) and isinstance(score, bytes)]


def _delivered(tag: str, score: float, raw: bytes) -> Delivered:
    """`[message, exchange, routing_key]` as kombu stores it."""
    try:
        entry = json.loads(without_body(raw, b"[") if isinstance(raw, Cut) else raw)
    except (ValueError, RecursionError):
        return Delivered(tag, score, Message(fault="" if isinstance(raw, Cut) else "not JSON"))
    if not isinstance(entry, list) or not entry:
        return Delivered(tag, score, Message(fault="not kombu's"))
    way = [part if isinstance(part, str) else "" for part in (*entry[1:3], "", "")]
    return Delivered(tag, score, read(entry[0], raw), way[0], way[1])


def home(delivered: Delivered, project: Survey | None) -> str:
    """The queue a delivered message came from: the one declared for its exchange and key, else the key itself."""
    for queue in project.queues if project else ():
        if queue.routing_key == delivered.routing_key and queue.exchange in {delivered.exchange, ""}:
            return queue.name
    return delivered.routing_key


def _uptime(connection: Connection) -> int | None:
    reply = connection.pipeline([("INFO", "server")])[0]
    lines = reply.decode("utf-8", "replace").splitlines() if isinstance(reply, bytes) else []
    found = next((line.partition(":")[2] for line in lines if line.startswith("uptime_in_seconds:")), "")
    return int(found) if found.isdigit() else None
