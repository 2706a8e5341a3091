"""Surveys of a healthy project, but for what is said."""

from __future__ import annotations

from typing import Any

from intelli_checks.dsn import Dsn
from intelli_checks.probes.survey import LayerDecl, QueueDecl, Survey, TaskDecl

HERE = "/srv/shop"


def project(**told: Any) -> Survey:
    """A healthy Django + Celery project, except for what is said."""
    sound: dict[str, Any] = {
        "place": "here",
        "project": HERE,
        "celery_app": "shop.celery:app",
        "settings_module": "shop.settings.production",
        "broker": Dsn("redis://redis:6379/0"),
        "conf": {"broker_url": "redis://redis:6379/0", "accept_content": ["json"], "task_serializer": "json"},
        "tasks": (TaskDecl("jobs.tasks.render", queue="charts", serializer="json"),),
        "django": {
            "DEBUG": False,
            "ALLOWED_HOSTS": ["shop.example"],
            "WSGI_APPLICATION": "shop.wsgi.application",
            "key_strength": "ok",
        },
        "extra": {"namespace": "CELERY", "module": "shop.celery"},
    }
    sound["conf"] |= told.pop("conf", {})
    sound["django"] |= told.pop("django", {})
    sound["extra"] |= told.pop("extra", {})
    return Survey(**(sound | told))


def use(kind: str, **more: Any) -> dict[str, Any]:
    return {"usage": [{"kind": kind, "file": f"{HERE}/jobs/views.py", "line": 7, **more}]}


def task(**told: Any) -> tuple[TaskDecl, ...]:
    return (TaskDecl(**{"name": "jobs.tasks.render", "queue": "charts", "serializer": "json", **told}),)


def groups(*joined: str | None, sent: str | None = "job-*", complete: bool = True) -> dict[str, Any]:
    uses = [{"kind": "group_add", "file": f"{HERE}/jobs/consumers.py", "line": 3, "group": one} for one in joined]
    uses += use("group_send", group=sent)["usage"]
    return {"usage": uses, "usage_complete": complete}


def cached(*urls: str) -> dict[str, Any]:
    return {"CACHES": {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "urls": list(urls)}}}


def crontab(minute: int, hour: int, *, daily: bool = True) -> dict[str, Any]:
    fields = {"minute": minute, "hour": hour, "daily": daily}
    return {"task": "x", "seconds": None, "schedule": "<crontab>", "crontab": fields}


def name(kind: str, **told: Any) -> dict[str, Any]:
    entry = {"kind": kind, "name": "CELERY_X", "meant": None, "meant_is_set": False, **told}
    return {"settings_names": [entry]}


def core(host: str = "redis://redis:6379/1", options: dict[str, Any] | None = None, **more: Any) -> Survey:
    layer = LayerDecl("default", "channels_redis.core.RedisChannelLayer", (Dsn(host),), options=(options or {},))
    versions = {"redis": "8.1.0", "channels-redis": "4.3.0", "channels": "4.3.2"}
    return project(**({"layers": (layer,), "versions": versions} | more))


def routed(django: dict[str, Any] | None = None, extra: dict[str, Any] | None = None, **route: Any) -> Survey:
    sound = {
        "path": "ws/jobs/",
        "consumer": "jobs.consumers.JobConsumer",
        "handlers": ["job_event"],
        "middleware": ["AllowedHostsOriginValidator", "AuthMiddleware"],
        "origin_checked": True,
        "authenticated": True,
    }
    return project(
        websocket_routes=({**sound, **route},),
        django={
            "ASGI_APPLICATION": "shop.asgi.application",
            "INSTALLED_APPS": ["daphne", "channels"],
            **(django or {}),
        },
        extra={"asgi_protocols": ["http", "websocket"], **(extra or {})},
    )


IN_MEMORY = (LayerDecl("default", "channels.layers.InMemoryChannelLayer"),)
EARLY = {"file": f"{HERE}/shop/asgi.py", "line": 5}
HASTY = (LayerDecl("default", "channels_redis.core.RedisChannelLayer", config={"group_expiry": 5}),)
NARROW = (LayerDecl("default", "channels_redis.core.RedisChannelLayer", options=({"max_connections": 3},)),)
FLAGGED = (LayerDecl("default", "x.RedisChannelLayer", problem="Invalid SSL Certificate Requirements Flag: CERT_NONE"),)
LOCAL = (LayerDecl("local", "channels.layers.InMemoryChannelLayer"),)
LOCMEM = {"CACHES": {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "urls": []}}}
CHAT = {"path": "ws/chat/", "consumer": "chat.Consumer", "layer": None}
PUBSUB = (LayerDecl("default", "channels_redis.pubsub.RedisPubSubChannelLayer", (Dsn("redis://redis:6379/1"),)),)
BY_HAND = {"ASGI_APPLICATION": None, "INSTALLED_APPS": ["channels"]}
OTHER_LAYER = {"path": "ws/", "consumer": "chat.Consumer", "uses_layer": True, "layer": "chat"}
UNBOUND = "Unbound: no queue is bound to exchange 'media' with routing key 'media.pictures'"
TOPIC = (QueueDecl("videos", exchange="media", exchange_type="topic", routing_key="media.video.#"),)
MEDIAN = (QueueDecl("videos", exchange="medias", exchange_type="topic", routing_key="media.video.#"),)
ELSEWHERE = (QueueDecl("charts", exchange="charts", routing_key="charts"),)
EAGER = {"task_always_eager": True, "task_eager_propagates": True}
DB = {"DATABASES": {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}}
MEDIA = {"path": "/srv/media", "exists": True, "writable": True, "free_bytes": 9 * 2**30, "total_bytes": 20 * 2**30}
ADMIN = {"INSTALLED_APPS": ["django.contrib.admin", "jobs"]}
REQUESTS = {"DATABASES": {"default": {"ENGINE": "django.db.backends.postgresql", "ATOMIC_REQUESTS": True}}}
RECEIVER = use("sent_in_receiver", signal="post_save", task="ship")
CHANGED = use("sent_in_receiver", signal="m2m_changed", task="ship")
