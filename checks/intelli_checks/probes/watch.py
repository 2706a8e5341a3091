"""Looking twice, and only where the first look showed something that stands still."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from intelli_checks.probes import queues, workers
from intelli_checks.probes.broker import opened
from intelli_checks.probes.fleet import PATIENCE
from intelli_checks.probes.layout import Layout
from intelli_checks.probes.nodes import Node
from intelli_checks.probes.queues import Delivered, QueueDepths
from intelli_checks.probes.survey import Survey
from intelli_checks.probes.workers import WorkerFleet

INTERVAL = 0.3
IN_TRANSIT = 5.0
"""Seconds a message may be between Redis and its worker's books before it counts as held by nobody."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """Something that should move; equal to its later self only while it has not."""

    kind: str
    """`silent`, `twice`, `pool`, `queue`, `unconsumed`, `orphan` or `again`."""
    name: str
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """Workers and queues at about the same moment."""

    fleet: WorkerFleet
    depths: QueueDepths

    def suspects(self, expected: frozenset[str]) -> frozenset[Suspect]:
        """What should be moving if all is well; `expected` are the queues somebody must consume."""
        held = () if self.fleet.untold else (*self._pools(), *self._orphans(), *self._again())
        return frozenset((*self._silent(), *self._twice(), *held, *self._queues(expected)))

    def _silent(self) -> list[Suspect]:
        return [Suspect("silent", str(self.fleet.silent))] if self.fleet.silent else []

    def _twice(self) -> list[Suspect]:
        """A retry carries its first run's id and may overlap it for an instant; two looks apart it is a second run."""
        ids = Counter(
            r.id for node in self.fleet.nodes for r in (*node.active, *node.reserved, *node.scheduled) if r.id
        )
        return [Suspect("twice", id_) for id_, times in ids.items() if times > 1]

    def _pools(self) -> list[Suspect]:
        return [
            Suspect("pool", node.name, f"{sorted(request.id for request in node.waiting)} {node.started}")
            for node in self.fleet.nodes
            if node.stalled
        ]

    def _queues(self, expected: frozenset[str]) -> list[Suspect]:
        found = []
        for name, queue in self.depths.queues.items():
            consumers = self.fleet.consumers(name)
            if not consumers and (queue.depth or name in expected):
                found.append(Suspect("unconsumed", name))
            elif queue.depth and not self.fleet.untold and any(has_room(node, len(self.parked)) for node in consumers):
                found.append(Suspect("queue", name, queue.oldest.tag if queue.oldest else ""))
        return found

    @property
    def parked(self) -> tuple[Delivered, ...]:
        """Delivered messages of tasks with a rate limit: a worker has them and tells nobody until their turn comes."""
        limited = {name for node in self.fleet.nodes for name in node.limited}
        held = self.fleet.held
        return tuple(d for d in self.depths.unacked.oldest if d.message.task in limited and d.message.id not in held)

    def _orphans(self) -> list[Suspect]:
        parked = {delivered.tag for delivered in self.parked}
        settled = self.depths.taken - IN_TRANSIT
        return [
            Suspect("orphan", delivered.message.id, delivered.tag)
            for delivered in self.depths.unacked.oldest
            if delivered.score < settled and delivered.message.id not in self.fleet.held and delivered.tag not in parked
        ]

    def _again(self) -> list[Suspect]:
        """Delivered once more and not begun: between two deaths of its process, or on its way for an instant."""
        return [
            Suspect("again", delivered.message.id)
            for delivered in self.depths.unacked.oldest
            if delivered.message.redelivered and delivered.message.id not in self.fleet.held
        ]


@dataclass(frozen=True, slots=True)
class Watch:
    """The first look, the last one, and what stood still in between."""

    first: Look
    last: Look
    standing: frozenset[Suspect] = frozenset()
    seconds: float = 0.0
    """Between the two looks; 0 when nothing asked for a second one."""

    def still(self, kind: str) -> frozenset[str]:
        """Names of the suspects of this kind that did not move in all that time."""
        return frozenset(suspect.name for suspect in self.standing if suspect.kind == kind)


def has_room(node: Node, parked: int = 0) -> bool:
    """Whether the worker should take one more message: QoS counts what it holds, and 0 means no limit.

    With every slot busy it need not: a gevent pool that is full stops its consumer below the prefetch limit.
    """
    return not node.busy and (node.prefetch == 0 or len(node.held) + parked < node.prefetch)


def watch(first: Look, look: Callable[[], Look], expected: frozenset[str], seconds: float) -> Watch:
    """Look again while something stands still, for `seconds` at most; a healthy system is looked at once."""
    began = time.monotonic()
    last, standing = first, first.suspects(expected)
    while standing and time.monotonic() - began + INTERVAL < seconds:
        time.sleep(INTERVAL)
        last = look()
        standing &= last.suspects(expected)
    return Watch(first, last, standing, time.monotonic() - began if last is not first else 0.0)


def gather(layout: Layout, project: Survey | None, fleet: WorkerFleet, depths: QueueDepths, seconds: float) -> Watch:
    """Watch the workers and queues of the first look."""
    layout = fleet.found(layout)

    def look() -> Look:
        with opened(layout, seconds + PATIENCE) as connection:
            again = workers.carried(workers.gather(connection, layout, PATIENCE), fleet)
            return Look(again, queues.gather(connection, layout, depths.queues))

    return watch(Look(fleet, depths), look, queues.expected(project), seconds)
