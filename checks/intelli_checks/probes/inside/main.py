"""The interview: one stage after the other, each reported as soon as it is known."""

from __future__ import annotations

import faulthandler
import gc
import importlib
import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable

from . import applications, celery_side, channels_side, control_side, detect, django_side, layer_side, usage, values

DISTRIBUTIONS = (
    "celery", "kombu", "billiard", "redis", "django", "channels", "channels-redis", "daphne", "uvicorn", "gunicorn",
    "hypercorn", "django-celery-beat", "django-celery-results", "celery-redbeat", "django-redis", "djangorestframework",
    "django-health-check", "flower", "gevent", "eventlet", "hiredis", "amqp", "python-dotenv", "django-environ",
)  # fmt: skip


class Interview:
    """What is asked (`request`) and what has been learnt so far; stages read and extend `known`."""

    def __init__(self, request: dict[str, Any], out: int) -> None:
        self.request = request
        self.out = out
        self.environ = dict(os.environ)
        self.known: dict[str, Any] = {}

    def tell(self, record: dict[str, Any]) -> None:
        line = self.request["marker"] + json.dumps(record, default=values.dotted) + "\n"
        data = line.encode("ascii")
        while data:
            data = data[os.write(self.out, data) :]

    def ask(self, stage: str, question: Callable[[Interview], Iterator[tuple[str, Any]]]) -> None:
        """Run one stage: facts told before it broke are kept, and so is how it broke."""
        self.tell({"begin": stage})
        facts: dict[str, Any] = {}
        record: dict[str, Any] = {"stage": stage, "facts": facts}
        try:
            for name, fact in question(self):
                facts[name] = self.known[name] = fact
        except BaseException as raised:  # noqa: BLE001 - settings modules call sys.exit too
            record["error"] = values.error(stage, raised)
        self.tell(record)


def run(request: dict[str, Any]) -> None:
    """Answer `request` on the real stdout and leave; what the project prints meanwhile goes to stderr."""
    gc.disable()  # imports make no garbage worth collecting, and the process ends with them
    out = os.dup(1)
    os.dup2(2, 1)
    left = request["ends"] - time.time() if "ends" in request else request["seconds"]
    faulthandler.dump_traceback_later(max(0.1, left), exit=True)
    interview = Interview(request, out)
    for stage, question in _stages(request["purpose"]):
        interview.ask(stage, question)
    interview.tell({"end": True})
    sys.stderr.flush()
    os._exit(0)  # no atexit handler of the project, no thread it left behind, may hold the answer up


def _stages(purpose: str) -> list[tuple[str, Any]]:
    opening: list[tuple[str, Any]] = [("interpreter", _interpreter), ("project", _project)]
    if purpose == "audit":
        return [*opening, ("settings", django_side.setup), *django_side.AUDIT]
    if purpose == "publish":
        return [*opening, ("settings", django_side.setup), ("publish", layer_side.publish)]
    if purpose == "exchange":
        return [*opening, ("settings", django_side.setup), ("exchange", layer_side.exchange)]
    if purpose == "control":
        names = ("reach", "blocked", "workers", "queues")
        asked = [(name, getattr(control_side, name)) for name in names]
        return [*opening, ("settings", django_side.setup), ("app", celery_side.load), *asked]
    if purpose == "databases":
        asked = [("app", celery_side.load), ("celery", celery_side.declared), ("django", django_side.databases)]
        return [*opening, ("settings", django_side.setup), *asked]
    told = [] if purpose == "workers" else [("versions", _versions)]
    return [*opening, *told, ("settings", django_side.setup), *_survey(purpose)]


def _survey(purpose: str) -> list[tuple[str, Any]]:
    """What is asked of a project that is set up: drivers, and the web side, whose imports cost most, where wanted."""
    app, tasks = [("app", celery_side.load), ("celery", celery_side.declared)], [("tasks", celery_side.tasks)]
    code = [("drivers", celery_side.drivers), *tasks, ("django", django_side.declared), ("usage", usage.scan)]
    web = [("layers", channels_side.layers), ("asgi", applications.routes)]
    return {"workers": [*app, *tasks], "celery": [*app, *code]}.get(purpose, [*app, *code, *web])


def _interpreter(interview: Interview) -> Iterator[tuple[str, Any]]:
    yield "python", platform.python_version()
    yield "executable", sys.executable
    yield "platform", sys.platform
    yield "hostname", platform.node()
    yield "uid", os.getuid() if hasattr(os, "getuid") else None
    yield "container", _container()


def _project(interview: Interview) -> Iterator[tuple[str, Any]]:
    """Where the code is, what `manage.py` and `celery -A` would load."""
    request, here = interview.request, Path.cwd()
    found = detect.find_project(here) if request["detect"] else detect.Project(here)
    if str(found.home) != str(here):
        os.chdir(str(found.home))
    # What `python manage.py` and `celery -A` both do: the project's folder comes first.
    sys.path[:] = [str(found.root)] + [entry for entry in sys.path if entry not in ("", str(found.root))]
    importlib.invalidate_caches()
    if request["settings"]:
        os.environ[detect.SETTINGS] = request["settings"]
    elif found.settings:
        os.environ.setdefault(detect.SETTINGS, found.settings)
    yield "root", str(found.root)
    yield "settings_module", os.environ.get(detect.SETTINGS)
    yield "app_name", request["app"] or os.environ.get("CELERY_APP") or found.app
    yield "settings_defaults", dict(found.defaults or detect.settings_defaults(found.root))


def _versions(interview: Interview) -> Iterator[tuple[str, Any]]:
    from importlib import metadata

    found = {}
    for name in DISTRIBUTIONS:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    yield "versions", found


def _container() -> bool:
    marks = (Path("/.dockerenv"), Path("/run/.containerenv"))
    return "KUBERNETES_SERVICE_HOST" in os.environ or any(mark.exists() for mark in marks)
