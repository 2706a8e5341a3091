"""What Django declares; and, as an audit of its own because it costs more, what Django thinks of it."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from . import sources, values

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
    yield "environment_read", sources.environment_read(interview)
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
            "static": _static(settings),
            "session_cache": _session_cache(settings),
        },
    )


def databases(interview: Any) -> Facts:
    """DATABASES alone: all that is asked in the environment of another process."""
    settings = getattr(interview, "settings", None) or {}
    yield "django", {"DATABASES": {alias: _database(one) for alias, one in settings.get("DATABASES", {}).items()}}


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


def _static(settings: dict[str, Any]) -> dict[str, Any] | None:
    """The manifest that pages are made with; None where none is needed, or files are kept on another machine."""
    storages = settings.get("STORAGES") or {}
    backend = str((storages.get("staticfiles") or {}).get("BACKEND") or settings.get("STATICFILES_STORAGE") or "")
    root = settings.get("STATIC_ROOT")
    known = backend.startswith(("django.contrib.staticfiles.", "whitenoise."))
    if not root or not known or "Manifest" not in backend:
        return None
    manifest = Path(root).absolute() / "staticfiles.json"
    return {"manifest": str(manifest), "collected": manifest.is_file()}


def _session_cache(settings: dict[str, Any]) -> str | None:
    """The cache that alone holds the sessions."""
    if settings.get("SESSION_ENGINE") != "django.contrib.sessions.backends.cache":
        return None
    return str(settings.get("SESSION_CACHE_ALIAS") or "default")


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
    loader = executor.loader
    plan = executor.migration_plan(loader.graph.leaf_nodes())
    told = {"reachable": True, "pending": [str(migration) for migration, _ in plan]}
    told["conflicts"] = {app: sorted(names) for app, names in loader.detect_conflicts().items()}
    told["ahead"] = _ahead(loader)
    if connection.alias == "default" and not plan:
        told["unmade"] = _unmade(loader)
    return told


def _ahead(loader: Any) -> list[str]:
    """What the database has beyond the last migration of the code; what was squashed away is not beyond it."""
    last: dict[str, int] = {}
    for app, name in loader.disk_migrations:
        last[app] = max([last.get(app, 0), *map(int, re.findall(r"(?<!\d)\d{4}(?!\d)", name))])
    return sorted(
        f"{app}.{name}"
        for app, name in loader.applied_migrations
        if app in last and name[:4].isdigit() and int(name[:4]) > last[app]
    )


def _unmade(loader: Any) -> list[str]:
    """Apps of the project itself whose models no migration describes; those of packages are not ours to migrate."""
    from django.apps import apps
    from django.db.migrations.autodetector import MigrationAutodetector
    from django.db.migrations.questioner import MigrationQuestioner
    from django.db.migrations.state import ProjectState

    own = {one.label for one in apps.get_app_configs() if values.is_project_file(str(Path(one.path, "__init__.py")))}
    own &= {app for app, _ in loader.disk_migrations}
    with suppress(Exception):  # a question nobody answers, a field that does not compare
        models = ProjectState.from_apps(apps)
        detector = MigrationAutodetector(loader.project_state(), models, MigrationQuestioner(dry_run=True))
        changes = detector.changes(graph=loader.graph)
        return sorted(app for app in own & set(changes) if any(_of_columns(one) for one in changes[app]))
    return []


def _of_columns(migration: Any) -> bool:
    """Whether rows are kept differently; words and choices of a field are told to migrations, too."""
    return any(type(one).__name__ in _COLUMNS for one in migration.operations)


_COLUMNS = ("CreateModel", "AddField", "RemoveField", "RenameField", "RenameModel")


def _caches(interview: Any) -> Facts:
    """What goes wrong with each cache when it is asked for a key nobody has."""
    if not interview.known.get("django_ready"):
        return
    from django.core.cache import caches

    told: dict[str, Any] = {}

    def ask(alias: str) -> None:
        try:
            caches[alias].get("intelli-ops")
            told.pop(alias, None)
        except Exception as raised:  # noqa: BLE001 - any cache backend's own exceptions
            told[alias] = values.error("caches", raised)

    databases = (interview.known.get("migrations") or {}).values()
    for alias, config in interview.settings.get("CACHES", {}).items():
        if "DatabaseCache" in str(config.get("BACKEND")) and not all(one.get("reachable") for one in databases):
            continue  # told by the database; and SQLite would make its file
        told[alias] = {"step": "caches", "type": "Timeout", "message": f"no answer within {CACHE_SECONDS:g} s"}
        thread = threading.Thread(target=ask, args=(alias,), daemon=True)  # a driver may wait for ever
        thread.start()
        thread.join(CACHE_SECONDS)
    yield "caches", dict(told)


CACHE_SECONDS = 2.0


def _schedule(interview: Any) -> Facts:
    """What django-celery-beat keeps in the database: the entries that are switched on."""
    default = (interview.known.get("migrations") or {}).get("default") or {}
    if not default.get("reachable") or default.get("pending"):
        return
    from django.apps import apps

    if apps.is_installed("django_celery_beat"):
        model = apps.get_model("django_celery_beat", "PeriodicTask")
        same = [field.attname for field in model._meta.fields if field.attname in _SAME]  # older releases have fewer
        rows = model.objects.filter(enabled=True).order_by("pk")
        told = rows.values_list("name", "task", "queue", "last_run_at", *same)[:MAX_ENTRIES]
        entries = {}
        for name, task, queue, ran, *rest in told:
            entries[name] = {
                "task": task,
                "queue": queue,
                "ahead": _until(ran),
                "same": _digest(task, queue, *rest),
            }
        yield "schedule", entries


_SAME = ("args", "kwargs", "interval_id", "crontab_id", "solar_id", "clocked_id")


def _digest(*parts: Any) -> str:
    """Equal for rows that send the same at the same times; arguments may hold what nobody is to read."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _until(moment: Any) -> float:
    """Seconds until a moment of the database; 0 where it is over, or there is none."""
    from django.utils import timezone

    return max(0.0, (moment - timezone.now()).total_seconds()) if moment else 0.0


MAX_ENTRIES = 1000
AUDIT = (
    ("system checks", _system_checks),
    ("migrations", _migrations),
    ("schedule", _schedule),
    ("caches", _caches),
    ("deploy checks", _deploy_checks),
)
