"""What Django declares; and, as an audit of its own because it costs more, what Django thinks of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import values

Facts = Iterator[tuple[str, Any]]


def setup(interview: Any) -> Facts:
    """`django.setup()`, exactly as far as any web or worker process goes."""
    module = interview.known.get("settings_module")
    if not module:
        return
    import django
    from django.conf import settings

    settings.DEBUG  # noqa: B018 - the first access imports the settings module: its errors belong to this stage
    interview.settings = {name: getattr(settings, name) for name in dir(settings) if name.isupper()}
    yield "settings_file", values.module_file(module)
    django.setup()
    yield "django_ready", True


def declared(interview: Any) -> Facts:
    settings = getattr(interview, "settings", None)
    if settings is None:
        return
    names = ("DEBUG", "ALLOWED_HOSTS", "INSTALLED_APPS", "MIDDLEWARE", "ASGI_APPLICATION", "WSGI_APPLICATION", "USE_TZ")
    yield (
        "django",
        {
            **{name: values.plain(settings.get(name)) for name in (*names, "TIME_ZONE", "ROOT_URLCONF", "MEDIA_URL")},
            "key_strength": _key_strength(str(settings.get("SECRET_KEY") or "")),
            "DATABASES": {alias: _database(one) for alias, one in settings.get("DATABASES", {}).items()},
            "CACHES": {alias: _cache(one) for alias, one in settings.get("CACHES", {}).items()},
            "secure": {name: values.plain(settings.get(name)) for name in _SECURE},
            "media": _media(settings.get("MEDIA_ROOT")),
            "cpu_hints": {
                name: os.environ.get(name) for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MPLBACKEND")
            },
            "asgi_files": _asgi_files(interview),
        },
    )


_SECURE = ("SECURE_SSL_REDIRECT", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "SECURE_HSTS_SECONDS")


def _key_strength(key: str) -> str:
    """A verdict, never the value: `missing`, `insecure` (Django's own generated placeholder), `weak` or `ok`."""
    if not key:
        return "missing"
    if key.startswith("django-insecure-"):
        return "insecure"
    return "weak" if len(key) < 32 or len(set(key)) < 5 else "ok"


def _database(config: dict[str, Any]) -> dict[str, Any]:
    names = ("ENGINE", "NAME", "HOST", "PORT", "USER", "ATOMIC_REQUESTS", "CONN_MAX_AGE", "CONN_HEALTH_CHECKS")
    told = {name: values.plain(config.get(name)) for name in names}
    told["NAME"] = str(config.get("NAME") or "")
    return told


def _cache(config: dict[str, Any]) -> dict[str, Any]:
    where = config.get("LOCATION")
    locations = where if isinstance(where, (list, tuple)) else [where] if where else []
    return {"BACKEND": config.get("BACKEND"), "urls": [str(one) for one in locations]}


def _media(root: Any) -> dict[str, Any] | None:
    if not root:
        return None
    path = Path(root).absolute()
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    usage = shutil.disk_usage(str(there))
    return {
        "path": str(path),
        "exists": path.is_dir(),
        "writable": os.access(str(there), os.W_OK | os.X_OK),
        "free_bytes": usage.free,
        "total_bytes": usage.total,
    }


def _asgi_files(interview: Any) -> list[str]:
    root = Path(interview.known.get("root") or ".")
    return [path.relative_to(root).as_posix() for path in sorted(root.glob("*/asgi.py"))]


# -- the audit --------------------------------------------------------------------------------------------------------


def _system_checks(interview: Any) -> Facts:
    if not interview.known.get("django_ready"):
        return
    from django.core import checks

    yield "system_checks", [_message(one) for one in checks.run_checks() if one.level >= checks.WARNING]


def _deploy_checks(interview: Any) -> Facts:
    if not interview.known.get("django_ready"):
        return
    from django.core import checks

    plain = {one.id for one in checks.run_checks()}
    deploy = checks.run_checks(include_deployment_checks=True)
    yield "deploy_checks", [_message(one) for one in deploy if one.id not in plain]


def _message(message: Any) -> dict[str, Any]:
    return {
        "id": message.id,
        "level": message.level,
        "message": str(message.msg)[: values.MAX_TEXT],
        "hint": str(message.hint or "")[: values.MAX_TEXT],
        "object": str(message.obj) if message.obj is not None else None,
    }


def _migrations(interview: Any) -> Facts:
    """Unapplied migrations per database. Never creates an SQLite file by looking at it."""
    if not interview.known.get("django_ready"):
        return
    from django.db import connections
    from django.db.migrations.executor import MigrationExecutor

    told: dict[str, Any] = {}
    for alias in connections:
        connection = connections[alias]
        try:
            told[alias] = _pending(connection, MigrationExecutor)
        except Exception as raised:  # noqa: BLE001 - any database driver's own exceptions
            told[alias] = {"error": values.error("migrations", raised)}
    yield "migrations", told


def _pending(connection: Any, executor_class: Any) -> dict[str, Any]:
    name = str(connection.settings_dict.get("NAME") or "")
    if connection.vendor == "sqlite" and name and ":memory:" not in name and not Path(name).exists():
        return {"reachable": False, "missing_file": name, "pending": []}
    connection.settings_dict.setdefault("OPTIONS", {})
    if connection.vendor == "postgresql":
        connection.settings_dict["OPTIONS"].setdefault("connect_timeout", 3)
    executor = executor_class(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return {"reachable": True, "pending": [str(migration) for migration, _ in plan]}


def _schedule(interview: Any) -> Facts:
    """What django-celery-beat keeps in the database: the entries that are switched on."""
    default = (interview.known.get("migrations") or {}).get("default") or {}
    if not default.get("reachable") or default.get("pending"):
        return
    from django.apps import apps

    if apps.is_installed("django_celery_beat"):
        rows = apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(enabled=True)
        told = rows.values_list("name", "task", "queue")[:MAX_ENTRIES]
        yield "schedule", {name: {"task": task, "queue": queue} for name, task, queue in told}


MAX_ENTRIES = 1000
AUDIT = (
    ("system checks", _system_checks),
    ("migrations", _migrations),
    ("schedule", _schedule),
    ("deploy checks", _deploy_checks),
)
