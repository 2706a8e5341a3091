"""What the project declares, told by its own interpreter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from intelli_checks.dsn import Dsn
from intelli_checks.model import Skip
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


@dataclass(frozen=True, slots=True)
class LayerDecl:
    """One entry of CHANNEL_LAYERS."""

    alias: str
    backend: str
    hosts: tuple[Dsn, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    """prefix, capacity, expiry, group_expiry ...; keys appear only as a fingerprint."""


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
    """None when results are disabled."""
    conf: Mapping[str, Any] = field(default_factory=dict)
    """Celery configuration after all sources, plain JSON values, secrets masked: lower-case names."""
    conf_changed: tuple[str, ...] = ()
    """Names the project set itself (not defaults)."""
    queues: tuple[QueueDecl, ...] = ()
    tasks: tuple[TaskDecl, ...] = ()
    beat: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    layers: tuple[LayerDecl, ...] = ()
    django: Mapping[str, Any] = field(default_factory=dict)
    """DEBUG, ALLOWED_HOSTS, DATABASES engines, MEDIA_ROOT, INSTALLED_APPS, ASGI_APPLICATION, pending migrations ..."""
    websocket_routes: tuple[Mapping[str, Any], ...] = ()
    errors: tuple[Mapping[str, Any], ...] = ()
    """What could not be loaded: step, type, message, module, line."""
    extra: Mapping[str, Any] = field(default_factory=dict)


def gather(target: Target, timeout: float) -> Mapping[str, Survey]:
    """Ask every place of `target` within `timeout` seconds."""
    raise Skip("no project here")
