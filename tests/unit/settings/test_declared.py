"""Each check of declared configuration against surveys that must speak, and surveys that must stay silent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from intelli_checks import Severity, Skip
from intelli_checks.dsn import Dsn
from intelli_checks.families import celery_app, celery_settings, channels_settings, channels_use, django
from intelli_checks.families import declared_delivery as delivery
from intelli_checks.families import declared_results as results
from intelli_checks.families import declared_routing as routing
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
LOCAL = (LayerDecl("local", "channels.layers.InMemoryChannelLayer"),)
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

SPEAKS: list[tuple[Callable[..., Any], Survey, str, str]] = [
    (celery_app.eager, project(conf=EAGER), "ERROR", "set at run time"),
    (
        celery_settings.default_app,
        project(extra={"exposed": False, "shared_tasks": ["jobs.tasks"]}),
        "ERROR",
        "jobs.tasks uses Celery's default app",
    ),
    (
        celery_settings.namespace,
        project(
            extra={
                **name("ignored", name="CELERY_TASK_TIME_LIMIT"),
                "namespace": None,
                "config_source": "django.conf:settings",
            }
        ),
        "ERROR",
        "has no namespace",
    ),
    (celery_settings.namespace, project(extra={**name("ignored"), "namespace": None}), "ERROR", "is not called"),
    (
        celery_settings.namespace,
        project(extra={**name("ignored"), "config_source": "django.conf:settings"}),
        "WARNING",
        "replaces what the settings say",
    ),
    (celery_settings.names, project(extra=name("unknown", meant="CELERY_Y")), "ERROR", "has no effect"),
    (celery_settings.names, project(extra=name("unprefixed", meant="CELERY_Y")), "ERROR", "lacks its prefix"),
    (
        celery_settings.names,
        project(extra=name("unknown", meant="CELERY_Y", meant_is_set=True)),
        "WARNING",
        "is set too",
    ),
    (celery_settings.names, project(extra=name("unknown")), "INFO", "only if your own code reads it"),
    (celery_settings.deprecated, project(extra={"deprecated": ["CELERYD_PREFETCH_MULTIPLIER"]}), "WARNING", "CELERYD_"),
    (
        celery_settings.environment,
        project(extra={"broker_configured": "redis://redis:6379/5", "overriding": ["CELERY_BROKER_URL"]}),
        "ERROR",
        "sends messages to redis://redis:6379/0, the settings say redis://redis:6379/5",
    ),
    (celery_settings.broker_url, project(conf={"broker_url": None}, broker=None), "ERROR", "no broker is configured"),
    (
        celery_settings.broker_url,
        project(conf={"broker_url": "redis:6379/0"}, broker=Dsn("amqp://redis:6379//0")),
        "ERROR",
        "has no scheme",
    ),
    (
        celery_settings.broker_url,
        project(conf={"broker_url": "memory://"}, broker=Dsn("memory://")),
        "ERROR",
        "no other process",
    ),
    (celery_settings.startup, project(conf={"broker_connection_retry_on_startup": False}), "WARNING", "exits"),
    (
        celery_settings.pickle,
        project(conf={"accept_content": ["application/x-python-serialize"]}),
        "WARNING",
        "unpickle",
    ),
    (celery_settings.serializers, project(conf={"task_serializer": "yaml"}), "ERROR", "every task is sent as yaml"),
    (
        celery_settings.serializers,
        project(tasks=task(serializer="pickle")),
        "ERROR",
        "jobs.tasks.render is sent as pickle",
    ),
    (
        delivery.visibility,
        project(
            tasks=task(acks_late=True, time_limit=600), conf={"broker_transport_options": {"visibility_timeout": 300}}
        ),
        "ERROR",
        "may run 600 s",
    ),
    (delivery.visibility, project(tasks=task(acks_late=True, time_limit=3600)), "ERROR", "repeats it after 3600 s"),
    (
        delivery.visibility,
        project(tasks=task(acks_late=True), conf={"broker_transport_options": {"visibility_timeout": 60}}),
        "WARNING",
        "nothing ends jobs.tasks.render",
    ),
    (
        delivery.visibility,
        project(extra=use("countdown", seconds=7200.0)),
        "ERROR",
        "a countdown of 7200 s at jobs/views.py:7",
    ),
    (delivery.acks_late, project(tasks=task(acks_late=True)), "INFO", "a killed process fails these"),
    (delivery.acks_late, project(tasks=task(acks_late=True, reject_on_worker_lost=True)), "INFO", "without end"),
    (
        delivery.time_limits,
        project(tasks=task(time_limit=60), conf={"worker_pool": "solo"}),
        "WARNING",
        "the solo pool ignores",
    ),
    (delivery.time_limits, project(tasks=task(time_limit=60, soft_time_limit=60)), "WARNING", "cannot fire"),
    (delivery.multiplier, project(conf={"worker_prefetch_multiplier": 0}), "WARNING", "the whole queue"),
    (
        delivery.multiplier,
        project(
            tasks=task(time_limit=600),
            conf={"worker_prefetch_multiplier": 8},
            conf_changed=("worker_prefetch_multiplier",),
        ),
        "WARNING",
        "reserves 8 tasks",
    ),
    (delivery.backoff, project(tasks=task(autoretry=True, max_retries=None)), "WARNING", "for ever"),
    (delivery.transactions, project(extra=use("sent_in_transaction")), "WARNING", "before its transaction commits"),
    (
        routing.routes,
        project(queues=(QueueDecl("chart"),), conf_changed=("task_queues",)),
        "ERROR",
        "did you mean 'chart'?",
    ),
    (
        routing.routes,
        project(queues=(QueueDecl("mail"),), conf_changed=("task_queues",)),
        "WARNING",
        "does not declare",
    ),
    (routing.routes, project(tasks=task(route_error="QueueNotFound: Queue 'x' missing")), "ERROR", "QueueNotFound"),
    (
        routing.routed_names,
        project(conf={"task_routes": {"jobs.tasks.rendre": {"queue": "a"}}}),
        "WARNING",
        "did you mean",
    ),
    (
        routing.beat_tasks,
        project(beat={"n": {"task": "jobs.tasks.rende"}}),
        "ERROR",
        "did you mean 'jobs.tasks.render'?",
    ),
    (routing.beat_tasks, project(extra={"beat_replaced": ["nightly"]}), "ERROR", "nightly of"),
    (
        routing.queue_order,
        project(
            tasks=(TaskDecl("a", queue="a"), TaskDecl("b", queue="b")),
            conf={"broker_transport_options": {"queue_order_strategy": "sorted"}},
        ),
        "WARNING",
        "starve",
    ),
    (
        results.result_backend,
        project(extra={"results_backend": "DisabledBackend", **use("chord")}),
        "ERROR",
        "the code waits for them at jobs/views.py:7",
    ),
    (
        results.result_backend,
        project(tasks=task(ignore_result=True), extra={"results_backend": "RedisBackend", **use("get")}),
        "WARNING",
        "stays PENDING",
    ),
    (results.result_backend, project(conf={"result_backend": "cache+memory://"}), "WARNING", "one process"),
    (
        results.result_expiry,
        project(results=Dsn("redis://redis/0"), conf={"result_expires": None}),
        "WARNING",
        "never expire",
    ),
    (django.debug, project(django={"DEBUG": True}), "ERROR", "DEBUG is on"),
    (django.allowed_hosts, project(django={"ALLOWED_HOSTS": []}), "ERROR", "400"),
    (django.allowed_hosts, project(django={"ALLOWED_HOSTS": ["*"]}), "WARNING", "any Host"),
    (django.secret_key, project(django={"key_strength": "insecure"}), "WARNING", "placeholder"),
    (
        django.settings,
        project(
            extra={"settings_defaults": {"shop/celery.py": "shop.settings.dev", "shop/asgi.py": "shop.settings.prod"}}
        ),
        "WARNING",
        "shop/celery.py falls back to shop.settings.dev, but shop/asgi.py shop.settings.prod",
    ),
    (django.sqlite, project(django=DB), "WARNING", "SQLite"),
    (django.matplotlib, project(django={"cpu_hints": {"MPLBACKEND": "TkAgg"}}), "ERROR", "needs a screen"),
    (delivery.half_open, project(), "INFO", "never noticed"),
    (django.media, project(django={"media": {**MEDIA, "writable": False}}), "ERROR", "not writable"),
    (django.media, project(django={"media": {**MEDIA, "free_bytes": 2**20}}), "ERROR", "0.0 GiB are left"),
    (channels_settings.in_memory, project(layers=IN_MEMORY), "ERROR", "never reach a socket"),
    (channels_settings.in_memory, project(layers=IN_MEMORY, celery_app=None), "WARNING", "second web process"),
    (channels_settings.idle, core(), "ERROR", "closed after about 5 s"),
    (channels_settings.idle, core(options={"socket_timeout": 5}), "ERROR", "after 5 s"),
    (channels_settings.database, core("redis://redis:6379/0"), "WARNING", "share database 0"),
    (channels_settings.version, core(versions={"channels-redis": "4.0.0"}), "WARNING", "Event loop is closed"),
    (channels_settings.asgi, routed(django={"ASGI_APPLICATION": None}), "ERROR", "ASGI_APPLICATION is not set"),
    (
        channels_settings.server,
        routed(django={"INSTALLED_APPS": ["django.contrib.staticfiles", "daphne"]}),
        "ERROR",
        "daphne comes after",
    ),
    (channels_settings.routes, routed(path="^/ws/jobs/$"), "ERROR", "never matches"),
    (channels_settings.routes, routed(problem="the consumer class itself"), "ERROR", "the consumer class itself"),
    (channels_settings.handlers, routed(extra=use("event", type="job.evnt")), "ERROR", "did you mean 'job_event'?"),
    (channels_settings.group_names, routed(extra=groups("job_*")), "ERROR", "group job-*, which no consumer joins"),
    (
        channels_settings.asgi,
        project(django={"ASGI_APPLICATION": "shop.asgi.app", "INSTALLED_APPS": ["channels"]}),
        "INFO",
        "no consumer of WebSockets in the code",
    ),
    (
        channels_settings.asgi,
        project(
            django={"ASGI_APPLICATION": "shop.asgi.app", "INSTALLED_APPS": ["channels"]},
            extra=use("consumer", name="Orders"),
        ),
        "ERROR",
        "no route leads to Orders",
    ),
    (
        channels_settings.user,
        routed(uses_user=True, authenticated=False, middleware=["OriginValidator"]),
        "ERROR",
        "puts",
    ),
    (django.allowed_hosts, project(django={"ALLOWED_HOSTS": ["https://shop.example"]}), "ERROR", "no request"),
    (django.allowed_hosts, project(django={"ALLOWED_HOSTS": ["localhost", "*.shop.example"]}), "ERROR", "no request"),
    (django.allowed_hosts, project(django={"ALLOWED_HOSTS": ["a.example", "b.example:80"]}), "WARNING", "b.example:80"),
    (django.allowed_hosts, project(django={"ALLOWED_HOSTS": ["*", "a.example:80"]}), "WARNING", "any Host header"),
    (channels_settings.origin, routed(origin_checked=False), "WARNING", "nobody checks the Origin"),
    (
        channels_settings.origin,
        routed(origin_checked=False, middleware=["TokenAuth"], cookies=False),
        "INFO",
        "no cookie",
    ),
    (channels_settings.in_memory, project(layers=LOCAL, websocket_routes=(CHAT,)), "INFO", "no consumer uses it"),
    (channels_settings.in_memory, project(layers=IN_MEMORY, websocket_routes=(CHAT,)), "ERROR", "never reach a socket"),
    (channels_settings.user, routed(uses_user=True, authenticated=False, middleware=[]), "ERROR", 'scope["user"]'),
    (channels_use.alias, routed(uses_layer=True), "ERROR", "uses channel layer default"),
    (channels_settings.asgi, routed({"ASGI_APPLICATION": None}), "ERROR", "ASGI_APPLICATION is not set"),
    (channels_settings.asgi, routed(BY_HAND), "INFO", "told the application by hand"),
    (
        channels_settings.asgi,
        project(
            django={"ASGI_APPLICATION": "shop.asgi.app", "INSTALLED_APPS": ["channels"]},
            extra={"asgi_opaque": True, **use("consumer", name="Orders")},
        ),
        "INFO",
        "code of its own",
    ),
    (channels_settings.handlers, routed(extra=use("untyped")), "ERROR", "without a type"),
    (channels_settings.group_names, core(extra=groups("job:*", sent="job:*")), "ERROR", "':' raises TypeError"),
    (channels_settings.asgi, routed(extra={"asgi_early": EARLY}), "ERROR", "shop/asgi.py:5 imports models before"),
    (channels_settings.layer, core(layers=HASTY), "WARNING", "leaves its groups in silence"),
    (channels_use.transactions, routed(extra=use("event_in_transaction")), "WARNING", "before its transaction"),
    (channels_use.awaited, routed(extra=use("unawaited", call="self.accept")), "ERROR", "never awaited"),
    (channels_use.awaited, routed(extra=use("sync_in_loop", function="connect")), "ERROR", "RuntimeError"),
    (channels_use.awaited, routed(extra=use("sync_method", name="connect", consumer="Jobs")), "ERROR", "no async def"),
    (channels_use.awaited, routed(extra=use("async_method", name="connect", consumer="Jobs")), "ERROR", "never runs"),
    (channels_use.awaited, routed(extra=use("blocks", call="time.sleep", function="f")), "WARNING", "every socket"),
    (
        channels_use.awaited,
        routed(extra=use("query_in_loop", call="Job.objects.get", function="f")),
        "WARNING",
        "SynchronousOnly",
    ),
    (channels_use.alias, core(websocket_routes=(OTHER_LAYER,)), "ERROR", "uses channel layer chat"),
    (routing.routes, project(tasks=task(queue=None, route_error=UNBOUND), queues=ELSEWHERE), "INFO", "unless another"),
    (routing.routes, project(tasks=task(queue=None, route_error=UNBOUND), queues=TOPIC), "ERROR", "kombu drops it"),
    (routing.routes, project(tasks=task(queue=None, route_error=UNBOUND), queues=MEDIAN), "ERROR", "did you mean"),
]

SILENT: list[tuple[Callable[..., Any], Survey]] = [
    (channels_use.alias, core(websocket_routes=({**OTHER_LAYER, "layer": "default"},))),
    (celery_app.eager, project()),
    (celery_settings.default_app, project(extra={"exposed": True, "shared_tasks": ["jobs.tasks"]})),
    (celery_settings.default_app, project(extra={"exposed": False, "shared_tasks": []})),
    (celery_settings.namespace, project()),
    (celery_settings.names, project()),
    (celery_settings.environment, project(extra={"broker_configured": "redis://redis:6379/0"})),
    (celery_settings.environment, project(extra={"broker_configured": "redis://redis:6379/5"})),
    (celery_settings.environment, project(extra={"broker_configured": None, "overriding": ["CELERY_BROKER_URL"]})),
    (celery_settings.broker_url, project()),
    (celery_settings.broker_url, project(conf={"broker_url": "amqp://mq//"}, broker=Dsn("amqp://mq//"))),
    (
        celery_settings.broker_url,
        project(conf={"broker_url": "memory://"}, broker=Dsn("memory://"), settings_module="shop.settings.test"),
    ),
    (celery_settings.pickle, project()),
    (celery_settings.serializers, project(conf={"accept_content": ["application/json"]})),
    (delivery.visibility, project(tasks=task(acks_late=True, time_limit=600))),
    (delivery.visibility, project(tasks=task(time_limit=7200))),
    (delivery.visibility, project(tasks=task(acks_late=True))),
    (delivery.time_limits, project(tasks=task(time_limit=60, soft_time_limit=50))),
    (delivery.time_limits, project(conf={"worker_pool": "solo"})),
    (delivery.multiplier, project(tasks=task(time_limit=10), conf={"worker_prefetch_multiplier": 4})),
    (delivery.backoff, project(tasks=task(autoretry=True, retry_backoff=True, max_retries=3))),
    (delivery.transactions, project()),
    (routing.routes, project()),
    (routing.routes, project(queues=(QueueDecl("charts"),), conf_changed=("task_queues",))),
    (
        routing.routed_names,
        project(conf={"task_routes": {"jobs.*": {"queue": "a"}, "jobs.tasks.render": {"queue": "b"}}}),
    ),
    (routing.beat_tasks, project(beat={"n": {"task": "celery.backend_cleanup"}, "m": {"task": "jobs.tasks.render"}})),
    (results.result_backend, project(extra={"results_backend": "DisabledBackend"})),
    (results.result_backend, project(extra={"results_backend": "RedisBackend", **use("chord")})),
    (results.result_expiry, project(results=Dsn("redis://redis/0"), conf={"result_expires": 86400})),
    (results.result_expiry, project(results=None, conf={"result_expires": None})),
    (django.debug, project(django={"DEBUG": True}, settings_module="shop.settings.local")),
    (django.allowed_hosts, project(django={"DEBUG": True, "ALLOWED_HOSTS": []}, settings_module="shop.settings")),
    (django.allowed_hosts, project(django={"ALLOWED_HOSTS": [], "WSGI_APPLICATION": None})),
    (django.secret_key, project(django={"DEBUG": True, "key_strength": "insecure"})),
    (
        django.settings,
        project(extra={"settings_defaults": {"manage.py": "shop.settings.dev", "shop/celery.py": "shop.settings"}}),
    ),
    (django.allowed_hosts, project(django={"ALLOWED_HOSTS": [".shop.example", "*.shop.example", "[::1]"]})),
    (django.media, project(django={"media": MEDIA})),
    (django.media, project(django={"media": None})),
    (django.matplotlib, project(django={"cpu_hints": {"MPLBACKEND": "Agg"}})),
    (django.matplotlib, project()),
    (delivery.half_open, project(conf={"broker_transport_options": {"socket_timeout": 10}})),
    (channels_settings.in_memory, project(layers=IN_MEMORY, settings_module="shop.settings.testing")),
    (channels_settings.in_memory, project(layers=IN_MEMORY, conf=EAGER)),
    (channels_settings.in_memory, core()),
    (channels_settings.idle, core(options={"socket_timeout": None})),
    (channels_settings.idle, core(options={"socket_timeout": 30})),
    (channels_settings.idle, core("redis://redis:6379/1?socket_timeout=30")),
    (channels_settings.idle, core(versions={"redis": "7.4.0", "channels-redis": "4.3.0"})),
    (channels_settings.idle, core(versions={"redis": "8.1.0", "channels-redis": "4.4.0"})),
    (channels_settings.database, core()),
    (channels_settings.version, core()),
    (channels_settings.asgi, routed()),
    (channels_settings.server, routed()),
    (channels_settings.routes, routed()),
    (channels_settings.handlers, routed(extra=use("event", type="job.event"))),
    (channels_settings.handlers, routed(extra={"listening": ["thumbs_make"], **use("event", type="thumbs.make")})),
    (channels_use.awaited, routed(extra=use("sync_method", name="room_of", consumer="Jobs"))),
    (channels_use.transactions, routed(extra=use("event", type="job.event"))),
    (channels_settings.layer, core()),
    (channels_settings.group_names, core(layers=PUBSUB, extra=groups("job:*", sent="job:*"))),
    (channels_settings.group_names, routed(extra=groups("job_*", "job-*"))),
    (channels_settings.group_names, routed(extra=groups("job_*", sent=None))),
    (channels_settings.group_names, routed(extra=groups("job_*", sent="board"), groups=["board"])),
    (channels_settings.origin, routed()),
    (channels_settings.user, routed()),
]


def judged(check: Callable[..., Any], survey: Survey) -> list[Any]:
    return list(check.__wrapped__(survey))


@pytest.mark.parametrize(
    ("check", "survey", "severity", "words"), SPEAKS, ids=lambda value: getattr(value, "__name__", None) or ""
)
def test_a_fault_is_named(check, survey, severity, words):
    findings = judged(check, survey)
    assert findings, "silent"
    assert (findings[0].severity.name, words in findings[0].message) == (severity, True), findings
    assert findings[0].hint or severity == "INFO"


@pytest.mark.parametrize(("check", "survey"), SILENT, ids=lambda value: getattr(value, "__name__", None) or "")
def test_health_is_silent(check, survey):
    assert judged(check, survey) == []


def test_every_check_has_both_a_failing_and_a_silent_case():
    asked = {check for check, *_ in SPEAKS}
    silent = {check for check, _ in SILENT}
    only_informs = {
        celery_settings.deprecated,
        celery_settings.startup,
        delivery.acks_late,
        routing.queue_order,
        django.sqlite,
    }
    assert asked - silent <= only_informs


def test_only_redis_has_a_visibility_timeout():
    with pytest.raises(Skip):
        judged(delivery.visibility, project(broker=Dsn("amqp://mq//")))


def test_a_misspelt_broker_url_is_told_once():
    survey = project(conf={"broker_url": None}, extra=name("unknown", meant="CELERY_BROKER_URL"))
    with pytest.raises(Skip) as caught:
        judged(celery_settings.broker_url, survey)
    assert caught.value.because == "celery.names"


def test_a_string_of_hosts_and_a_missing_backend_are_problems():
    layer = LayerDecl(
        "default", "channels_redis.cor.RedisChannelLayer", problem="ModuleNotFoundError: No module named ..."
    )
    found = judged(channels_settings.layer, project(layers=(layer,)))
    assert [finding.severity.name for finding in found] == ["ERROR"]


@pytest.mark.parametrize(
    "survey",
    [
        routed(extra=groups("job_*", None)),
        routed(extra=groups()),
        routed(extra=groups("job_*", complete=False)),
        routed(extra=groups("job_*"), foreign=True),
    ],
    ids=["computed", "none", "cut short", "library"],
)
def test_groups_that_the_code_does_not_tell_are_no_fault(survey):
    with pytest.raises(Skip, match="does not tell"):
        judged(channels_settings.group_names, survey)


WANTED = [
    ("ImproperlyConfigured", "Set the DJANGO_SECRET_KEY environment variable", "set DJANGO_SECRET_KEY where"),
    ("KeyError", "'CLINIC_MAIL'", "set CLINIC_MAIL where"),
    ("KeyError", "'name'", "correct "),
    ("ValueError", "the variable x is not set", "correct "),
]


@pytest.mark.parametrize(("kind", "message", "hint"), WANTED)
def test_a_variable_nobody_set_is_to_be_set(kind, message, hint):
    error = {"step": "settings", "type": kind, "message": message}
    assert celery_app._remedy(project(), error).startswith(hint)


def test_quotes_around_a_url_are_to_be_removed():
    error = {"step": "celery", "type": "ModuleNotFoundError", "message": "-", "missing": '"redis'}
    assert celery_app._remedy(project(), error).startswith("write redis://... without the quotes")
    found = judged(celery_settings.broker_url, project(conf={"broker_url": '"redis://h/0"'}, broker=None))
    assert "wrapped in quotes" in found[0].message


def test_an_option_the_url_may_not_have():
    refused = "Connection._init_params() got an unexpected keyword argument 'socket_timeout'"
    (found,) = judged(celery_settings.broker_url, project(extra={"broker_refused": refused}))
    assert "an option kombu does not take there, socket_timeout" in found.message
    assert "CELERY_BROKER_TRANSPORT_OPTIONS = {'socket_timeout': ...}" in found.hint


@pytest.mark.parametrize(
    ("redis", "told"),
    [
        ("5.0.8", "ERROR kombu 5.7.0 connects with redis-py 6.1.0 or later, and 5.0.8 is installed"),
        (None, "ERROR the broker is a Redis, and the package redis is not installed"),
        ("6.1.0", ""),
        ("10.0.0", ""),
    ],
)
def test_a_driver_kombu_does_not_connect_with(redis, told):
    versions = {"kombu": "5.7.0", **({"redis": redis} if redis else {})}
    found = judged(celery_settings.broker_url, project(versions=versions, extra={"driver_wanted": "6.1.0"}))
    assert "; ".join(f"{one.severity.name} {one.message}" for one in found).startswith(told)
    assert bool(found) == bool(told)


def test_task_modules_that_no_worker_imports():
    (found,) = judged(celery_app.discovery, project(extra={"task_modules_left_out": ["orders.tasks"]}))
    assert "orders.tasks: defines tasks, and no worker imports it" in found.message
    assert found.hint.startswith("app.autodiscover_tasks() in ")
    assert found.severity is Severity.ERROR
    assert judged(celery_app.discovery, project(tasks=())) == []


def test_an_app_that_imports_some_task_modules_may_leave_the_rest_to_another():
    left, chosen = {"task_modules_left_out": ["mail.tasks"]}, (TaskDecl("orders.tasks.pack", "orders.tasks"),)
    (found,) = judged(celery_app.discovery, project(extra=left, tasks=chosen))
    assert found.severity is Severity.WARNING


def test_events_for_code_that_reads_from_the_layer_itself_need_no_handler():
    reads = [*use("receives")["usage"], *use("untyped")["usage"], *use("event", type="feed.item")["usage"]]
    with pytest.raises(Skip, match="reads from the layer itself"):
        judged(channels_settings.handlers, routed(extra={"usage": reads}))
