"""One worker as it describes itself over remote control."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from intelli_checks.probes.told import items, mapping, number, whole

STARTING = 10.0
"""Seconds a worker is given to bring its pool up."""
# What is kept of `inspect conf`, which also carries every other setting of the project, secrets among them.
SETTINGS = (
    "accept_content",
    "broker_transport_options",
    "enable_utc",
    "result_backend",
    "result_expires",
    "task_always_eager",
    "task_create_missing_queues",
    "task_default_queue",
    "task_ignore_result",
    "task_reject_on_worker_lost",
    "task_serializer",
    "task_track_started",
    "worker_max_memory_per_child",
    "worker_max_tasks_per_child",
)
DJANGO_SETTINGS = ("DEBUG", "SETTINGS_MODULE")
TIMEZONE = ("timezone", "CELERY_TIMEZONE", "TIME_ZONE")
"""In the order of `celery.app.utils.Settings.timezone`. Exactly these: SHOP_TIMEZONE may be anybody's setting."""


@dataclass(frozen=True, slots=True)
class Request:
    """A task a worker holds."""

    id: str
    name: str
    queue: str = ""
    started: float | None = None
    """When it began, in seconds since the epoch on the worker's clock; None before that."""
    pid: int | None = None
    """The process that runs it."""
    redelivered: bool = False
    acknowledged: bool = False
    eta: str | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """A worker that answered."""

    name: str
    pid: int = 0
    pool: str = ""
    """`prefork`, `solo`, `threads`, `gevent`, `eventlet` or the class a project brought."""
    concurrency: int = 0
    processes: tuple[int, ...] = ()
    """Process ids of the pool's children."""
    prefetch: int = 0
    """Messages it may hold unacknowledged (QoS prefetch count), ETA tasks included."""
    total: Mapping[str, int] = field(default_factory=dict)
    """Tasks started since the worker came up, by name."""
    uptime: float | None = None
    """Seconds; None before Celery 5."""
    max_rss: int = 0
    """Largest resident set of the main process in kB (`ru_maxrss` on Linux)."""
    timeouts: tuple[float, ...] = ()
    """The pool's own soft and hard limit in seconds; 0 for none."""
    queues: tuple[str, ...] = ()
    registered: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Task name -> the attributes that are set, as text."""
    profiled: bool = True
    """Whether it told its tasks and settings, which are asked for later: one that shuts down may not."""
    active: tuple[Request, ...] = ()
    reserved: tuple[Request, ...] = ()
    scheduled: tuple[Request, ...] = ()
    conf: Mapping[str, Any] = field(default_factory=dict)

    @property
    def young(self) -> bool:
        """It came up so recently that its pool may not be ready."""
        return self.uptime is not None and self.uptime < STARTING

    @property
    def started(self) -> int:
        return sum(self.total.values())

    @property
    def held(self) -> frozenset[str]:
        """Ids of every task it has in hand."""
        return frozenset(request.id for request in (*self.active, *self.reserved, *self.scheduled))

    @property
    def busy(self) -> bool:
        """Every slot of the pool is taken."""
        return self.concurrency > 0 and len(self.active) >= self.concurrency

    @property
    def waiting(self) -> tuple[Request, ...]:
        """Tasks it holds and could start; a rate limit holds tasks back on purpose."""
        return tuple(r for r in self.reserved if r.name not in self.limited)

    @property
    def limited(self) -> Mapping[str, str]:
        """Tasks this worker starts at a limited rate, and the rate; what waits for its turn is in none of its books."""
        rates = ((name, told.get("rate_limit", "")) for name, told in self.registered.items())
        return {name: rate for name, rate in rates if rate not in {"", "None"}}

    @property
    def stalled(self) -> bool:
        """Holds tasks it could start while its pool runs none."""
        return bool(self.waiting) and not self.active


def parse_node(name: str, said: Mapping[str, Any]) -> Node:
    """What one node answered, in our terms; whatever has an unexpected shape is left out."""
    stats = mapping(said.get("stats"))
    pool = mapping(stats.get("pool"))
    return Node(
        name=name,
        pid=whole(stats.get("pid")),
        pool=_pool(str(pool.get("implementation", ""))),
        concurrency=whole(pool.get("max-concurrency")),
        processes=tuple(pid for pid in items(pool.get("processes")) if isinstance(pid, int)),
        prefetch=whole(stats.get("prefetch_count")),
        total={str(task): whole(count) for task, count in mapping(stats.get("total")).items()},
        uptime=number(stats.get("uptime")),
        max_rss=whole(mapping(stats.get("rusage")).get("maxrss")),
        timeouts=tuple(seconds for t in items(pool.get("timeouts")) if (seconds := number(t)) is not None),
        queues=tuple(str(q["name"]) for q in map(mapping, items(said.get("active_queues"))) if "name" in q),
        registered=dict(_task(str(line)) for line in items(said.get("registered"))),
        profiled="registered" in said,
        active=_requests(said.get("active")),
        reserved=_requests(said.get("reserved")),
        scheduled=_requests(said.get("scheduled")),
        conf=_settings(mapping(said.get("conf"))),
    )


def _requests(body: object) -> tuple[Request, ...]:
    return tuple(_request(entry) for entry in items(body) if isinstance(entry, Mapping))


def _request(entry: Mapping[str, Any]) -> Request:
    eta = entry.get("eta")
    told = mapping(entry.get("request")) or entry
    delivery = mapping(told.get("delivery_info"))
    return Request(
        id=str(told.get("id", "")),
        name=str(told.get("name") or told.get("type") or ""),
        queue=str(delivery.get("routing_key") or ""),
        started=number(told.get("time_start")) or None,
        pid=told.get("worker_pid") if isinstance(told.get("worker_pid"), int) else None,
        redelivered=bool(delivery.get("redelivered")),
        acknowledged=bool(told.get("acknowledged")),
        eta=str(eta) if eta else None,
    )


def _task(line: str) -> tuple[str, dict[str, str]]:
    """`name [acks_late=True time_limit=60]` as `inspect registered` prints it; a name may hold anything."""
    name, bracket, rest = line.rpartition(" [")
    if not bracket:
        return line, {}
    return name, dict(re.findall(r"(\w+)=(\S+)", rest.removesuffix("]")))


def _settings(conf: Mapping[str, Any]) -> dict[str, Any]:
    """The settings we judge, under Celery's lower-case names, whatever namespace the project uses."""
    kept = {name.lower(): conf[name] for name in DJANGO_SETTINGS if name in conf}
    for key, value in conf.items():
        lower = str(key).lower()
        for name in SETTINGS:
            if lower == name or lower.endswith(f"_{name}"):
                kept[name] = value
    zone = next((conf[name] for name in TIMEZONE if conf.get(name)), None)
    return {**kept, "timezone": zone} if zone else kept


def _pool(implementation: str) -> str:
    """`celery.concurrency.thread:TaskPool` -> `threads`."""
    module = implementation.partition(":")[0].rpartition(".")[2]
    return {"thread": "threads", "asynpool": "prefork"}.get(module, module)
