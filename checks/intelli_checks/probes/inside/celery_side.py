"""What the project's Celery app declares, as the app itself resolves it."""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from . import bindings, calls, names, sources, values

Facts = Iterator[tuple[str, Any]]


def load(interview: Any) -> Facts:
    """The app `celery -A` would load; its task modules are imported later, by `tasks`."""
    interview.app = None
    exposed = _apps_of_a_web_process(interview) if interview.known.get("django_ready") else None
    name = interview.known.get("app_name")
    if not name:
        app = next(iter(_apps_so_far()), None)
        yield "celery_app", _spelling(app) if app else None
    else:
        app = _named(name)
        yield "celery_app", name
    interview.app = app
    if app is not None:
        yield "main", app.main
        yield "module", _module_of(app, name)
        # Whether a web process, which never ran `celery -A`, would know this app.
        yield "exposed", None if exposed is None else any(one is app for one in exposed)


def _named(name: str) -> Any:
    """`find_app`, which blames the module `shop:nope` where `shop` is there and only its `nope` is not."""
    from celery.app.utils import find_app

    try:
        return find_app(name)
    except ModuleNotFoundError as error:
        module, colon, attribute = name.partition(":")
        if colon and error.name == name:
            raise AttributeError(f"module {module} has no {attribute}") from error
        raise


def _apps_of_a_web_process(interview: Any) -> list[Any]:
    """The apps django.setup() created; where it created none, those that serving the first request would."""
    if not _apps_so_far():
        for name in ("ROOT_URLCONF", "WSGI_APPLICATION", "ASGI_APPLICATION"):
            path = str(interview.settings.get(name) or "")
            with suppress(Exception):  # whatever breaks here is told by Django's checks, or by the `asgi` stage
                importlib.import_module(path if name == "ROOT_URLCONF" else path.rpartition(".")[0])
    return _apps_so_far()


def _apps_so_far() -> list[Any]:
    state = sys.modules.get("celery._state")
    apps = list(state._get_active_apps()) if state else []
    return [app for app in apps if app.main not in (None, "default")]


def _spelling(app: Any) -> str:
    """What `celery -A` takes for an app nobody named: its own name where that leads to it, else its module."""
    for name in (app.main, f"{app.main}.celery"):
        module = sys.modules.get(name)
        if any(getattr(module, attribute, None) is app for attribute in ("app", "celery")):
            return str(app.main)
    return _holding(app) or str(app.main)


def _module_of(app: Any, name: str | None) -> str | None:
    """The module whose global the app is: where `app.conf` is usually changed."""
    wanted = (name or "").partition(":")[0]
    if sys.modules.get(wanted + ".celery") is not None:
        return wanted + ".celery"
    if sys.modules.get(wanted) is not None:
        return wanted
    return _holding(app)


def _holding(app: Any) -> str | None:
    for name, module in list(sys.modules.items()):
        if any(value is app for value in list(vars(module).values())) and values.module_file(name):
            return name
    return None


def declared(interview: Any) -> Facts:
    app = interview.app
    if app is None:
        return
    conf = app.conf
    from celery.app import defaults

    # What the app was told, before finalizing imports anything more.
    yield "namespace", getattr(app, "namespace", None)
    yield "config_source", _config_source(app)
    yield "conf", {key: _effective(conf, key) for key in defaults.DEFAULTS if key != "beat_schedule"}
    yield "conf_changed", sorted(key for key in defaults.DEFAULTS if conf.value_set_for(key))
    yield "deprecated", sorted(_deprecated(app))
    yield "broker", _broker(app)
    yield "broker_configured", _as_url(conf.get("broker_url"))
    # Celery reads these itself, before any configuration.
    variables = ("CELERY_BROKER_WRITE_URL", "CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_RESULT_BACKEND")
    yield "overriding", [name for name in variables if os.environ.get(name)]
    yield "results", _as_url(conf.result_backend)
    yield "beat", {str(name): _beat_entry(entry) for name, entry in dict(conf.beat_schedule or {}).items()}
    yield "beat_replaced", _replaced(interview, app)
    yield "queues", [_queue(queue) for queue in app.amqp.queues.values()]
    yield "queue_policies", _policies(getattr(interview, "settings", None) or {})
    yield "eager", sources.find_setting(interview, ("task_always_eager", "CELERY_ALWAYS_EAGER"))
    yield "broker_source", sources.find_setting(interview, ("broker_url",))
    yield "results_source", sources.find_setting(interview, ("result_backend",))
    yield "settings_names", names.judge(interview, app)
    yield "root_refused", _refuses_root(conf)


def _refuses_root(conf: Any) -> bool:
    """Whether a worker that is started as the user we run as ends at once (`celery.platforms.check_privileges`)."""
    if sys.platform == "win32" or os.environ.get("C_FORCE_ROOT"):
        return False
    root = not all((os.getuid(), os.getgid(), os.geteuid(), os.getegid()))
    return root and bool({"pickle", "application/group-python-serialize"} & set(conf.accept_content or ()))


def drivers(interview: Any) -> Facts:
    """What the drivers of broker and result store say of their URLs; to import them is most of the time it takes."""
    app = interview.app
    if app is None:
        return
    yield "broker_refused", _refused(app)
    yield "driver_wanted", driver_wanted()
    yield "results_backend", _backend(app)
    yield "option_names", list(names.options(app))


def _replaced(interview: Any, app: Any) -> list[str]:
    """Entries of the settings' schedule that the app does not have: something assigned `beat_schedule` after them."""
    settings = getattr(interview, "settings", None) or {}
    if _config_source(app) != "django.conf:settings":
        return []
    prefix = f"{app.namespace}_" if getattr(app, "namespace", None) else ""
    configured = settings.get(f"{prefix}BEAT_SCHEDULE") or {}
    kept = dict(app.conf.beat_schedule or {})
    return sorted(str(name) for name in configured if name not in kept) if isinstance(configured, dict) else []


def _policies(settings: dict[str, Any]) -> dict[str, Any]:
    """How to consume each queue, where the project says so: INTELLI_QUEUE_POLICIES, a table or a list with names."""
    told = settings.get("INTELLI_QUEUE_POLICIES") or {}
    if isinstance(told, (list, tuple)):
        told = {policy.get("name"): policy for policy in told if isinstance(policy, dict)}
    if not isinstance(told, dict):
        return {}
    return {str(name): values.plain(policy) for name, policy in told.items() if isinstance(policy, dict)}


def _deprecated(app: Any) -> Iterator[str]:
    """Names of the time before Celery 4; with a namespace, `CELERY_RESULT_BACKEND` is an old name and the new one."""
    from celery.app import defaults

    prefix = f"{app.namespace}_" if getattr(app, "namespace", None) else None
    for name in getattr(app.conf, "deprecated_settings", None) or ():
        if not (prefix and name.startswith(prefix) and name[len(prefix) :].lower() in defaults.DEFAULTS):
            yield name


def _config_source(app: Any) -> Any:
    source = app._config_source
    return source if source is None or isinstance(source, str) else values.dotted(source)


def _effective(conf: Any, key: str) -> Any:
    """Attribute access first: that is where Celery lets environment variables win over what was configured."""
    try:
        return values.plain(getattr(conf, key))
    except AttributeError:
        return values.plain(conf.get(key))


def _as_url(value: Any) -> str | None:
    if isinstance(value, (list, tuple)):
        return ";".join(str(item) for item in value) or None
    return str(value) if value else None


def _broker(app: Any) -> str | None:
    """The broker messages are written to. Kombu's own answer drops the URL's options: a complete URL is better."""
    conf = app.conf
    url = _as_url(getattr(conf, "broker_write_url", None) or conf.broker_url)
    parts = ("broker_user", "broker_password", "broker_port", "broker_vhost", "broker_transport")
    if url and "://" in url and not any(conf.get(part) for part in parts):
        return url
    uri: str = app.connection_for_write().as_uri(include_password=True)
    return uri


def _refused(app: Any) -> str | None:
    """Why no connection can even be described: an option after the URL's "?" that kombu does not take, say."""
    try:
        app.connection_for_write()
    except (TypeError, ValueError, ImportError, AttributeError) as error:  # the last two without the package redis
        return str(error)
    return None


def driver_wanted() -> str | None:
    """The oldest redis-py that kombu connects with: in `kombu.transport.redis`, whose import takes a tenth of a second.

    The requirement in kombu's metadata is narrower than what works.
    """
    import kombu

    with suppress(OSError, TypeError):
        source = Path(str(kombu.__file__)).with_name("transport").joinpath("redis.py").read_text(encoding="utf-8")
        if found := re.search(r"redis\.VERSION < \((\d+), (\d+), (\d+)\)", source):
            return ".".join(found.groups())
    return None


def _backend(app: Any) -> str:
    """The result backend's class, without importing a driver for the schemes that need none to be told apart."""
    url = str(app.conf.result_backend or "")
    if not url or url.startswith("disabled"):
        return "DisabledBackend"
    if url.startswith(("redis://", "rediss://", "redis+socket://", "valkey")):
        return "RedisBackend"
    if url.startswith("sentinel://"):
        return "SentinelBackend"
    return type(app.backend).__name__


def _queue(queue: Any) -> dict[str, Any]:
    exchange = queue.exchange
    return {
        "name": queue.name,
        "exchange": exchange.name if exchange else "",
        "exchange_type": exchange.type if exchange else "direct",
        "routing_key": queue.routing_key or "",
        "arguments": values.plain(queue.queue_arguments),
    }


def _beat_entry(entry: Any) -> dict[str, Any]:
    get = calls.reader(entry)
    schedule = get("schedule")
    every = values.number(getattr(schedule, "run_every", schedule))
    options = get("options") or {}
    return {
        "task": get("task"),
        "schedule": repr(schedule)[:200] if every is None else f"every {every:g} s",
        "seconds": every,
        "crontab": _crontab(schedule),
        "queue": values.plain(options.get("queue")),
        "expires": values.number(options.get("expires")),
    }


def _crontab(schedule: Any) -> dict[str, Any] | None:
    """How many minutes and hours of a day a crontab names, and whether it names every day."""
    fields = [getattr(schedule, name, None) for name in ("minute", "hour", "day_of_week", "day_of_month")]
    sizes = [len(field) for field in fields if isinstance(field, (set, frozenset))]
    if len(sizes) < len(fields):
        return None
    minute, hour, weekday, day = sizes
    return {"minute": minute, "hour": hour, "daily": weekday == 7 and day == 31}


def tasks(interview: Any) -> Facts:
    """Import what a worker imports, then describe each task and where its messages would go."""
    app = interview.app
    if app is None:
        return
    os.environ["CELERY_SKIP_CHECKS"] = "1"  # Django's system checks are asked elsewhere: they would double the time
    broken = _import_task_modules(app)
    app.finalize(auto=True)
    yield "task_imports", broken
    yield "task_modules_left_out", [] if broken else _left_out(interview)
    yield "shared_tasks", sorted(set(_shared_task_modules()))
    yield "sent_on_commit", sorted({type(task).__name__ for task in app.tasks.values() if calls.waits_for_commit(task)})
    yield "foreign_pool", calls.foreign_pool(app.conf)
    yield "tasks", [_task(app, task) for name, task in sorted(app.tasks.items()) if not name.startswith("celery.")]
    # A level deeper than needed: a text under an entry called "refresh_tokens" would be masked as a secret.
    yield "beat_refused", {name: {"words": words} for name, words in calls.refused_arguments(app).items()}


def _import_task_modules(app: Any) -> list[dict[str, Any]]:
    try:
        app.loader.import_default_modules()
    except BaseException as raised:  # noqa: BLE001 - one broken tasks.py must not hide the other tasks
        return [values.error("tasks", raised)]
    return []


def _left_out(interview: Any) -> list[str]:
    """Modules called `tasks` of the project's own Django apps that define tasks and that a worker does not import.

    A worker runs Django's system checks when it starts, which import the URLs, and with them what the views import
    (`celery.fixups.django`, DjangoWorkerFixup.validate_models).
    """
    unseen = sorted(_task_modules_unseen()) if getattr(interview, "settings", None) else []
    if unseen and not os.environ.get("CELERY_SKIP_CHECKS"):
        from django.urls import get_resolver

        with suppress(BaseException):  # the system checks have their own check
            _ = get_resolver().url_patterns
    return [name for name in unseen if name not in sys.modules]


def _task_modules_unseen() -> Iterator[str]:
    from django.apps import apps

    for config in apps.get_app_configs():
        name, path = f"{config.name}.tasks", Path(config.path, "tasks.py")
        if name in sys.modules or {"site-packages", "dist-packages"} & {*path.parts} or not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        if "celery" in text and re.search(r"^@(?:\w+\.)*(?:shared_task|task)\b", text, re.MULTILINE):
            yield name


def _shared_task_modules() -> Iterator[str]:
    """Modules that use `@shared_task`: they trust whatever app is current when they are called."""
    from celery import _state

    for finalizer in list(vars(_state)["_on_app_finalizers"]):
        if getattr(finalizer, "__module__", "") != "celery.app":
            continue
        for cell in getattr(finalizer, "__closure__", None) or ():
            module = getattr(cell.cell_contents, "__module__", "") if callable(cell.cell_contents) else ""
            if module and not module.startswith("celery."):
                yield module


_ROUTED_BY = ("queue", "exchange", "routing_key")
_ATTRIBUTES = ("acks_late", "reject_on_worker_lost", "serializer", "ignore_result", "track_started", "rate_limit")


def _task(app: Any, task: Any) -> dict[str, Any]:
    told = {name: values.plain(getattr(task, name, None)) for name in _ATTRIBUTES}
    told.update(
        name=task.name,
        module=calls.task_module(task),
        time_limit=values.number(task.time_limit),
        soft_time_limit=values.number(task.soft_time_limit),
        max_retries=values.plain(task.max_retries),
        autoretry=bool(getattr(task, "autoretry_for", ())),
        retry_backoff=bool(getattr(task, "retry_backoff", False)),
        coroutine=calls.is_coroutine(task),
    )
    try:
        told["queue"] = _route(app, task)
    except Exception as raised:  # noqa: BLE001 - routers are the project's own code and expect real arguments
        told["route_error"] = f"{type(raised).__name__}: {raised}"
    return told


def _route(app: Any, task: Any) -> str | None:
    """Where `apply_async` would send it: the task's own options first, then `task_routes`, then the default queue."""
    options = {name: getattr(task, name) for name in _ROUTED_BY if getattr(task, name, None)}
    return bindings.queue_of(app, app.amqp.router.route(options, task.name, (), {}, task))


def search_paths(interview: Any) -> list[str]:
    """Files in which the project may configure its app."""
    app = interview.app
    files = [values.module_file(interview.known.get("module") or "")]
    source = interview.known.get("config_source")
    if isinstance(source, str) and not source.startswith("django.conf"):
        name = source.partition(":")[0]
        files.insert(0, values.module_file(name))
    if app is not None and not source and app.loader._conf is not None:
        files.insert(0, values.module_file(os.environ.get("CELERY_CONFIG_MODULE", "celeryconfig")))
    return [file for file in files if file]
