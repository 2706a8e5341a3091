"""What the project declares, told by its own interpreter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from intelli_checks.dsn import Dsn
from intelli_checks.target import Target


@dataclass(frozen=True, slots=True)
class QueueDecl:
    """A queue the project declares (celery `task_queues`)."""

    name: str
    exchange: str = ""
    exchange_type: str = "direct"
    routing_key: str = ""
    policy: Mapping[str, Any] = field(default_factory=dict)
    """concurrency, prefetch, acks_late, time_limit as the project's own policy table gives them, where it has one."""


@dataclass(frozen=True, slots=True)
class TaskDecl:
    """A task registered in the project's Celery app."""

    name: str
    module: str = ""
    queue: str | None = None
    """Where its messages go after routing; None when that could not be computed."""
    acks_late: bool = False
    reject_on_worker_lost: bool | None = None
    time_limit: float | None = None
    soft_time_limit: float | None = None
    serializer: str | None = None
    ignore_result: bool = False
    track_started: bool = False
    rate_limit: str | None = None
    max_retries: int | None = None
    """None means for ever, as Celery has it."""
    autoretry: bool = False
    retry_backoff: bool = False
    coroutine: bool = False
    """An `async def`: what a worker gets by calling it is a coroutine."""
    route_error: str | None = None
    """Why `queue` could not be computed, for example a queue missing from task_queues."""


@dataclass(frozen=True, slots=True)
class LayerDecl:
    """One entry of CHANNEL_LAYERS."""

    alias: str
    backend: str
    hosts: tuple[Dsn, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    """prefix, capacity, expiry, group_expiry ...; keys appear only as a fingerprint (`encryption`)."""
    options: tuple[Mapping[str, Any], ...] = ()
    """Per host, in the order of `hosts`: socket_timeout, health_check_interval ... as far as they are given."""
    problem: str | None = None
    """Why the layer cannot work as declared: its backend does not import, or `hosts` is not a list."""

    @property
    def prefix(self) -> str:
        """What the names of its keys begin with; channels_redis's default where none is given."""
        return str(self.config.get("prefix") or "asgi")


@dataclass(frozen=True, slots=True)
class Survey:
    """The project as its own interpreter sees it."""

    place: str
    project: str = ""
    """Where the project's code lives (the survey's working directory)."""
    python: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Distribution name -> version: celery, kombu, django, channels, channels-redis, redis, daphne ..."""
    settings_module: str | None = None
    celery_app: str | None = None
    """`module:attribute` of the app in use; None when the project has no Celery app."""
    broker: Dsn | None = None
    """`app.connection_for_write().as_uri(include_password=True)`: the effective one, not the setting."""
    results: Dsn | None = None
    """None when results are disabled, or kept somewhere that has no URL (`django-db`)."""
    conf: Mapping[str, Any] = field(default_factory=dict)
    """Celery configuration after all sources, plain JSON values, secrets masked: lower-case names."""
    conf_changed: tuple[str, ...] = ()
    """Names the project set itself (not defaults)."""
    queues: tuple[QueueDecl, ...] = ()
    tasks: tuple[TaskDecl, ...] = ()
    beat: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Entry name -> task, schedule (as text), seconds (None for crontab), queue, expires."""
    layers: tuple[LayerDecl, ...] = ()
    django: Mapping[str, Any] = field(default_factory=dict)
    """DEBUG, ALLOWED_HOSTS, DATABASES engines, MEDIA_ROOT (`media`), INSTALLED_APPS, ASGI_APPLICATION ...; empty
    without Django."""
    websocket_routes: tuple[Mapping[str, Any], ...] = ()
    """path, consumer, handlers (method names), middleware (outermost first), origin_checked, authenticated, cookies."""
    errors: tuple[Mapping[str, Any], ...] = ()
    """What could not be loaded: step, type, message, file, line, module."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """results_backend (class name), exposed, shared_tasks, namespace, config_source, eager (where EAGER comes from),
    environment_read (variables the settings ask for),
    settings_names (suspicious ones), broker_configured (redacted), hostname, uid, container, executable, platform,
    usage (how the code uses Celery: kind, file, line), beat_refused (entry -> Celery's `words`),
    foreign_pool (one that is not Celery's), sent_on_commit (functions whose task class waits for the commit)."""

    @property
    def eager(self) -> bool:
        """Whether tasks run inside the caller instead of being sent."""
        return bool(self.conf.get("task_always_eager"))

    def error(self, *steps: str) -> Mapping[str, Any] | None:
        """The first thing that broke in one of `steps`."""
        return next((error for error in self.errors if error["step"] in steps), None)


@dataclass(frozen=True, slots=True)
class Audit:
    """What Django itself says about the project when asked at length."""

    place: str
    system_checks: tuple[Mapping[str, Any], ...] = ()
    """Messages at warning level and above: id, level (Django's number), message, hint, object."""
    deploy_checks: tuple[Mapping[str, Any], ...] = ()
    """What `check --deploy` adds."""
    migrations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Database alias -> reachable, pending, conflicts, ahead, unmade (names), missing_file (SQLite) or error."""
    schedule: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Entry name -> task, queue, seconds by which it last ran in the future (`ahead`), and what is equal (`same`) where
    task, arguments, queue and times are, as django-celery-beat keeps them in the database; only what is switched on."""
    caches: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Cache alias -> what went wrong when it was asked; empty when all answer."""
    errors: tuple[Mapping[str, Any], ...] = ()


def gather(target: Target, timeout: float, purpose: str = "survey") -> Mapping[str, Survey]:
    """Ask every place of `target` at the same time, within `timeout` seconds; the first place comes first.

    Raises Skip where there is no project, Unavailable when a place's interpreter does not start, tells nothing, or
    stands still before the Celery app is known. The purpose "workers" asks for what planning workers takes, "celery"
    for what the checks of that family judge: both leave out the web side, whose imports cost as much again.
    """
    from intelli_checks.probes import transcript

    return {
        place.name: transcript.survey(place, answer) for place, answer in transcript.ask_all(target, purpose, timeout)
    }


def audit(target: Target, timeout: float) -> Mapping[str, Audit]:
    """What Django's own checks and migrations say; an interview of its own, because it costs as much as the survey.

    Raises as `gather` does.
    """
    from intelli_checks.probes import transcript

    return {
        place.name: transcript.audit(place, answer) for place, answer in transcript.ask_all(target, "audit", timeout)
    }
