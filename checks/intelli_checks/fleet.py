"""The workers a project declares, and the exact command line of each.

Everything that starts, renders, counts or checks workers reads these two values, so that `start-workers --dry-run`, a
systemd unit and the check that compares running workers with declared ones can never disagree.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from intelli_checks.probes.queues import expected
from intelli_checks.probes.survey import QueueDecl, Survey

POOLS = ("prefork", "solo", "threads", "gevent", "eventlet")
_KEYS = frozenset({"queues", "concurrency", "prefetch", "pool", "time_limit", "options"})


class FleetError(ValueError):
    """The declaration of the workers contradicts itself or this platform; the message says what to write."""


@dataclass(frozen=True, slots=True)
class Pool:
    """An execution pool and why it was chosen."""

    name: str
    reason: str


def choose_pool(asked: str | None, platform: str, installed: Callable[[str], bool] = lambda _: True) -> Pool:
    """The pool for workers on `platform` (a `sys.platform` value), with the reason people are told.

    `installed` tells whether the target's interpreter can import a package. Raises FleetError for a pool that cannot
    work there. Source: Celery's FAQ ("Does Celery support Windows?") and `celery.concurrency.ALIASES`.
    """
    if asked is None:
        if platform == "win32":
            return Pool("solo", "Windows cannot fork, which Celery's prefork pool needs")
        return Pool("prefork", "the default: parallel processes")
    if asked not in POOLS:
        raise FleetError(f"unknown pool {asked!r}: choose one of {', '.join(POOLS)}")
    if asked == "prefork" and platform == "win32":
        raise FleetError("the prefork pool cannot run on Windows, which has no fork: use --pool solo or --pool threads")
    if asked in {"gevent", "eventlet"} and not installed(asked):
        raise FleetError(
            f"the {asked} pool needs the package {asked} in the project's environment: pip install {asked}"
        )
    return Pool(asked, "asked for")


@dataclass(frozen=True, slots=True)
class WorkerProfile:
    """One kind of worker: the queues it consumes and how."""

    name: str
    queues: tuple[str, ...]
    concurrency: int | None = None
    """None leaves it to Celery: one slot per processor."""
    prefetch: int | None = None
    """Messages reserved per slot (`--prefetch-multiplier`); None leaves it to the project's configuration."""
    pool: str | None = None
    """None leaves it to the project's configuration."""
    time_limit: float | None = None
    """Seconds the longest task of these queues may run: what a graceful stop has to wait for."""
    options: tuple[str, ...] = ()
    """Further arguments of `celery worker`, as they are."""

    def argv(self, app: str, *, celery: Iterable[str] = ("celery",), loglevel: str = "info") -> tuple[str, ...]:
        """The command line of this worker; pure, so that it can be printed, rendered and compared.

        `%h` in the node name is expanded by Celery. Mingle and gossip stay off: mingle delays every start by a second
        to copy revocations and the logical clock from other workers, gossip makes every worker follow the events of
        every other (30 idle workers: 28 % of a core with it, 4 % without).
        """
        sized = self.concurrency is not None and self.pool != "solo"  # solo runs one task at a time, whatever -c says
        return (
            *celery, "-A", app, "worker", "-n", f"{self.name}@%h", "-Q", ",".join(self.queues),
            *(("-c", str(self.concurrency)) if sized else ()),
            *((f"--prefetch-multiplier={self.prefetch}",) if self.prefetch is not None else ()),
            *((f"--pool={self.pool}",) if self.pool else ()),
            "-l", loglevel, "--without-mingle", "--without-gossip", *self.options,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fleet:
    """All the workers of one project."""

    app: str
    """Celery application as `-A` takes it."""
    profiles: tuple[WorkerProfile, ...]

    def argv(self, profile: WorkerProfile, **options: Any) -> tuple[str, ...]:
        """The command line of one of the profiles; see `WorkerProfile.argv`."""
        return profile.argv(self.app, **options)

    @property
    def queues(self) -> tuple[str, ...]:
        """Every queue that has a worker, in declared order."""
        return tuple(dict.fromkeys(queue for profile in self.profiles for queue in profile.queues))

    def single(self) -> Fleet:
        """One worker for all queues, as the quick start of a project has it."""
        limits = [profile.time_limit for profile in self.profiles if profile.time_limit is not None]
        pools = {profile.pool for profile in self.profiles}
        pool = pools.pop() if len(pools) == 1 else None
        return replace(
            self,
            profiles=(WorkerProfile("worker", self.queues, pool=pool, time_limit=max(limits, default=None)),),
        )

    def only(self, queues: Iterable[str]) -> Fleet:
        """The workers of `queues`, consuming nothing else; raises FleetError for a queue nobody declares."""
        wanted = tuple(queues)
        if unknown := [queue for queue in wanted if queue not in self.queues]:
            raise FleetError(f"no worker consumes {', '.join(unknown)}: declared queues are {', '.join(self.queues)}")
        narrowed = (
            replace(profile, queues=tuple(queue for queue in profile.queues if queue in wanted))
            for profile in self.profiles
        )
        return replace(self, profiles=tuple(profile for profile in narrowed if profile.queues))

    def each(self, **changes: Any) -> Fleet:
        """The same fleet with `changes` (concurrency, prefetch, pool, options) made to every profile."""
        return replace(self, profiles=tuple(replace(profile, **changes) for profile in self.profiles))


def declared(
    app: str,
    queues: Iterable[QueueDecl],
    configured: Mapping[str, Mapping[str, object]] | None = None,
    *,
    default_queue: str = "celery",
) -> Fleet:
    """The fleet of a project: `[workers.*]` of its configuration, else one profile per declared queue.

    A project that declares no queue has Celery's implicit one (`default_queue`, its `task_default_queue`). Raises
    FleetError for a configuration nobody could run.
    """
    if configured:
        return Fleet(app, tuple(_from_table(name, table) for name, table in configured.items()))
    profiles = tuple(_from_queue(queue) for queue in queues)
    return Fleet(app, profiles or (WorkerProfile(_slug(default_queue), (default_queue,)),))


def of_project(app: str, survey: Survey, configured: Mapping[str, Mapping[str, object]] | None = None) -> Fleet:
    """The fleet that leaves no queue of the project without a worker: those it declares and those it routes tasks to.

    A queue that only a route names exists as soon as something is sent there (`task_create_missing_queues`), and nobody
    but a worker started for it consumes it.
    """
    default = str(survey.conf.get("task_default_queue") or "celery")
    queues = survey.queues or (QueueDecl(default),)
    routed = sorted(expected(survey) - {queue.name for queue in queues})
    return declared(app, (*queues, *map(QueueDecl, routed)), configured, default_queue=default)


def _from_queue(queue: QueueDecl) -> WorkerProfile:
    policy = {key: value for key, value in queue.policy.items() if key in _KEYS}
    return _from_table(queue.name, {**policy, "queues": [queue.name]})


def _from_table(name: str, table: Mapping[str, object]) -> WorkerProfile:
    if unknown := sorted(set(table) - _KEYS):
        raise FleetError(
            f"[workers.{name}] has unknown keys {', '.join(unknown)}: known are {', '.join(sorted(_KEYS))}"
        )
    where = f"[workers.{name}]"
    pool = table.get("pool")
    if pool is not None and pool not in POOLS:
        raise FleetError(f"{where} pool = {pool!r}: choose one of {', '.join(POOLS)}")
    return WorkerProfile(
        _slug(name),
        _texts(table.get("queues", [name]), f"{where} queues") or (name,),
        _count(table.get("concurrency"), f"{where} concurrency"),
        _count(table.get("prefetch"), f"{where} prefetch", least=0),
        None if pool is None else str(pool),
        _seconds(table.get("time_limit"), f"{where} time_limit"),
        _texts(table.get("options", []), f"{where} options"),
    )


def _slug(name: str) -> str:
    """A node and file name made of a queue's: `@`, `%` and blanks mean something to Celery."""
    return re.sub(r"[^\w.\-]+", "-", name).strip("-.") or "worker"


def _texts(value: object, where: str) -> tuple[str, ...]:
    if isinstance(value, list | tuple) and all(isinstance(item, str) and item for item in value):
        return tuple(value)
    raise FleetError(f"{where} must be a list of names, not {value!r}")


def _count(value: object, where: str, least: int = 1) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= least):
        return value
    raise FleetError(f"{where} must be a whole number of at least {least}, not {value!r}")


def _seconds(value: object, where: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
        return float(value)
    raise FleetError(f"{where} must be a number of seconds, not {value!r}")
