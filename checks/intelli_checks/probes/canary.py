"""One harmless task through every consumed queue: the only proof that a queue is taken *and* executed.

Every Celery worker registers `celery.accumulate(value, index=0)`, which returns its argument; nothing of ours has to be
installed there. A canary expires by itself, is taken back when nobody took it, and its result is deleted.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from intelli_checks.probes import pidbox
from intelli_checks.probes.broker import opened
from intelli_checks.probes.layout import Layout
from intelli_checks.probes.nodes import Request
from intelli_checks.probes.queues import QueueDepths
from intelli_checks.probes.resp import Connection, DialError
from intelli_checks.probes.results import ResultStore
from intelli_checks.probes.survey import Survey
from intelli_checks.probes.told import epoch, mapping, whole
from intelli_checks.probes.watch import Look, has_room
from intelli_checks.probes.workers import WorkerFleet, accepted_content, nodes_of

TASK = "celery.accumulate"
EXPIRES = 60.0
"""Seconds a canary stays valid on the worker's clock."""
POLL = 0.01
RESULT_DELAY = 1.0
"""Seconds a result may come after its task was counted."""
ASK_AGAIN = 0.25
"""Seconds between two rounds to the workers, for canaries whose result cannot be read."""


@dataclass(frozen=True, slots=True)
class Canary:
    """What became of one queue's canary."""

    queue: str
    outcome: str
    """`executed`, `expired` (its worker's clock is ahead), `behind` the running tasks of a full worker, `begun` and not
    ended, `taken` and not begun, `waiting`, or `unsent`."""
    seconds: float = 0.0
    """From sending to its result, or to giving up."""
    reason: str = ""
    """Why it was not sent."""
    result: bool | None = False
    """Whether its result was found where the project looks for results; None where nobody could look there."""
    done_at: float | None = None
    """When the worker says it was done, in seconds since the epoch on the worker's clock."""
    sent_at: float = 0.0
    """Redis's clock when it was sent."""
    workers: tuple[str, ...] = ()
    """Who consumes this queue."""
    pid: int | None = None
    """The process that has begun it and not ended it."""


@dataclass(slots=True)
class _Flight:
    """A canary on its way."""

    queue: str
    key: str
    payload: str
    id: str
    workers: tuple[str, ...]
    started: float | None = None
    """When its worker counted it as started, on our monotonic clock."""
    running: Request | None = None
    """What its worker said of it when it was asked last, if it was running then."""
    landed: Canary | None = None


@dataclass(frozen=True, slots=True)
class Scene:
    """What has to be known before a canary is released."""

    layout: Layout
    fleet: WorkerFleet
    depths: QueueDepths
    project: Survey | None = None
    store: ResultStore | None = None


def gather(scene: Scene, patience: float) -> tuple[Canary, ...]:
    """Send one canary to each consumed queue that has a free slot, and wait for all of them at once.

    Raises Unavailable when the broker breaks off.
    """
    queues = scene.fleet.queues
    held = {queue: canary for queue in queues if (canary := _held(scene.fleet, queue, patience))}
    resting = {queue: reason for queue in queues - held.keys() if (reason := _rest(scene, queue))}
    flights = [_prepare(scene, queue) for queue in sorted(queues - resting.keys() - held.keys())]
    landed = _release(scene, flights, patience) if flights else []
    unsent = [Canary(queue, "unsent", reason=reason) for queue, reason in resting.items()]
    return tuple(sorted((*landed, *unsent, *held.values()), key=lambda canary: canary.queue))


def _held(fleet: WorkerFleet, queue: str, patience: float) -> Canary | None:
    """The canary of an earlier run that never ended: it tells as much, and another would take one more slot."""
    for node in fleet.consumers(queue):
        for request in node.active:
            seconds = fleet.taken - request.started if request.started else 0.0
            if (request.name, request.queue) == (TASK, queue) and seconds > patience:
                return Canary(queue, "begun", seconds, workers=(node.name,), pid=request.pid)
    return None


def _release(scene: Scene, flights: Sequence[_Flight], patience: float) -> list[Canary]:
    layout, seconds = scene.fleet.found(scene.layout), patience + 3.0
    before = {node.name: node.total.get(TASK, 0) for node in scene.fleet.nodes}
    with opened(layout, seconds) as broker, _reading(scene.store, seconds) as results:
        return _Release(broker, layout, flights, scene.store, results, before, scene.depths.taken).fly(patience)


@contextmanager
def _reading(store: ResultStore | None, timeout: float) -> Iterator[Connection | None]:
    """A connection to the results; None where there are none, and where it breaks, which another check reports."""
    try:
        connection = Connection.open(store.dsn, timeout, tls=store.tls, via=store.via) if store else None
    except DialError:
        connection = None
    try:
        yield connection
    finally:
        if connection is not None:
            connection.close()


def _rest(scene: Scene, queue: str) -> str:
    """Why no canary is sent to this queue, or an empty string."""
    consumers = scene.fleet.consumers(queue)
    if depth := scene.depths.depth(queue):
        return f"{depth} messages are waiting, which tell more"
    if all(node.busy for node in consumers):
        return "every slot is busy"
    parked = len(Look(scene.fleet, scene.depths).parked)
    if parked and not any(has_room(node, parked) for node in consumers):
        return "its workers are full of tasks with a rate limit"
    if all(node.active or node.reserved for node in consumers) and not any(node.concurrency for node in consumers):
        return "its workers do not tell their size and have work"
    if "application/json" not in accepted_content(scene.fleet, queue, scene.project):
        return "its workers accept no JSON"
    return ""


def _prepare(scene: Scene, queue: str) -> _Flight:
    id_ = str(uuid.uuid4())
    expires = (datetime.now(UTC) + timedelta(seconds=EXPIRES)).isoformat()
    headers = {
        "lang": "py", "task": TASK, "id": id_, "shadow": None, "eta": None, "expires": expires, "group": None,
        "group_index": None, "retries": 0, "timelimit": [None, None], "root_id": id_, "parent_id": None,
        "argsrepr": "(1,)", "kwargsrepr": "{}", "origin": "intelli-ops",
        "ignore_result": scene.store is None,  # a result nobody can find is a key nobody deletes
    }  # fmt: skip
    embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    payload = pidbox.envelope(
        [[1], {}, embed],
        exchange="",
        routing_key=queue,
        headers=headers,
        properties={"correlation_id": id_, "reply_to": ""},
    )
    key = scene.fleet.found(scene.layout).lists(queue)[0]
    return _Flight(queue, key, payload, id_, tuple(node.name for node in scene.fleet.consumers(queue)))


@dataclass(slots=True)
class _Release:
    """All canaries of one run, from their sending to their landing."""

    broker: Connection
    layout: Layout
    flights: Sequence[_Flight]
    store: ResultStore | None
    results: Connection | None
    before: Mapping[str, int]
    """How many each worker had started before."""
    redis_now: float
    began: float = field(default_factory=time.monotonic)

    @property
    def pending(self) -> list[_Flight]:
        return [flight for flight in self.flights if flight.landed is None]

    def fly(self, patience: float) -> list[Canary]:
        """Send all, watch until each has landed or `patience` seconds are over, clean up."""
        self.broker.pipeline(("LPUSH", flight.key, flight.payload) for flight in self.flights)
        next_count = self.began + (POLL if self.results is None else ASK_AGAIN)
        while self.pending and time.monotonic() - self.began < patience:
            self._read_results()
            if self.pending and time.monotonic() >= next_count:
                self._count()
                next_count = time.monotonic() + ASK_AGAIN
            time.sleep(POLL)
        self._clean_up()
        return [flight.landed for flight in self.flights if flight.landed]

    def land(self, flight: _Flight, outcome: str, **more: Any) -> None:
        flight.landed = Canary(
            flight.queue,
            outcome,
            time.monotonic() - self.began,
            sent_at=self.redis_now,
            workers=flight.workers,
            **more,
        )

    def _read_results(self) -> None:
        """Land the canaries whose result has been stored."""
        if self.results is None or self.store is None:
            return
        pending = self.pending
        found = self.results.pipeline(("GET", self.store.key(flight.id)) for flight in pending)
        for flight, raw in zip(pending, found, strict=True):
            if isinstance(raw, bytes):
                meta = _meta(raw)
                outcome = "expired" if meta.get("status") == "REVOKED" else "executed"
                self.land(flight, outcome, result=True, done_at=epoch(meta.get("date_done")))

    def _count(self) -> None:
        """Land canaries their workers have counted as started and run no more; needs no result backend.

        Where results are kept, one is waited for a little longer: it comes after the count, and would stay behind.
        """
        asked: Mapping[str, Mapping[str, Any]] = {"stats": {}, "active": {"safe": True}}
        said = pidbox.ask(self.broker, self.layout, asked, timeout=ASK_AGAIN)
        now = {name: _total(body) for name, body in said.to("stats")}
        running = {request.id: request for node in nodes_of(said) for request in node.active}
        for flight in self.pending:
            flight.running = running.get(flight.id)
            rivals = [other for other in self.flights if set(other.workers) & set(flight.workers)]
            started = sum(now.get(name, 0) - self.before.get(name, 0) for name in flight.workers)
            if started < len(rivals) or flight.running:
                continue
            flight.started = flight.started or time.monotonic()
            if self.results is None or time.monotonic() - flight.started > RESULT_DELAY:
                self.land(flight, "executed", result=None if self.results is None else False)

    def _behind(self) -> frozenset[str]:
        """Ids in the reserve of workers that are full: with prefetch above 1 a busy one takes what it cannot start."""
        asked: Mapping[str, Mapping[str, Any]] = {"stats": {}, "active": {"safe": True}, "reserved": {}}
        said = pidbox.ask(self.broker, self.layout, asked, timeout=RESULT_DELAY)
        return frozenset(request.id for node in nodes_of(said) if node.busy for request in node.reserved)

    def _clean_up(self) -> None:
        """Take back what nobody took, delete what was answered, and say how the rest ended."""
        lost = self.pending
        removed = self.broker.pipeline(("LREM", flight.key, 1, flight.payload) for flight in lost)
        back = {flight.id for flight, count in zip(lost, removed, strict=True) if isinstance(count, int) and count}
        behind = self._behind() if len(back) < len(lost) else frozenset()
        for flight in lost:
            if flight.running:
                self.land(flight, "begun", pid=flight.running.pid)
            else:
                self.land(flight, "waiting" if flight.id in back else "behind" if flight.id in behind else "taken")
        if self.results is not None and self.store is not None:
            self.results.pipeline(("DEL", self.store.key(flight.id)) for flight in self.flights)


def _meta(raw: bytes) -> Mapping[str, Any]:
    """A stored result; empty for one in another serializer, where being there is what counts."""
    try:
        return mapping(json.loads(raw))
    except (ValueError, RecursionError):
        return {}


def _total(stats: object) -> int:
    return whole(mapping(mapping(stats).get("total")).get(TASK))
