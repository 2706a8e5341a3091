"""What calling a task does: which arguments it takes, whether a pool can run it, and when it is sent."""

from __future__ import annotations

import importlib.util
import inspect
import os
from collections.abc import Iterable, Mapping
from typing import Any

from . import values


def refused_arguments(app: Any) -> dict[str, str]:
    """Beat entry -> Celery's words, where `Task.apply_async` raises for its arguments and beat sends nothing.

    A task with an `apply_async` of its own may change them first; an entry that django-celery-beat is told not to
    enable is never sent.
    """
    from celery import Task

    refused = {}
    for name, entry in dict(app.conf.beat_schedule or {}).items():
        get = reader(entry)
        task = app.tasks.get(str(get("task")))
        if task is None or get("enabled", True) is False or type(task).apply_async is not Task.apply_async:
            continue
        words = _refusal(task, get("args") or (), get("kwargs") or {})
        if words:
            refused[str(name)] = words
    return refused


def _refusal(task: Any, args: Any, kwargs: Any) -> str | None:
    """Why the task's signature does not take these; the words are those for as many empty values, which tell none."""
    check_arguments = getattr(task, "__header__", None) if getattr(task, "typing", False) else None
    if check_arguments is None or _type_error(check_arguments, args, kwargs) is None:
        return None
    # What is no sequence or no mapping at all is told by its type alone.
    args = [None for _ in args] if isinstance(args, Iterable) else args
    kwargs = dict.fromkeys(kwargs) if isinstance(kwargs, Mapping) else kwargs
    return _type_error(check_arguments, args, kwargs) or "its type checker refuses the arguments"


def _type_error(function: Any, args: Any, kwargs: Any) -> str | None:
    try:
        function(*args, **kwargs)
    except TypeError as error:
        return str(error)
    except Exception:  # noqa: BLE001 - a type checker of the project's own, whose reasons we do not know
        return None
    return None


def waits_for_commit(task: Any) -> bool:
    """Whether the project's class of task sends after the commit by itself: its `apply_async` or `delay` says so."""
    methods = [vars(base).get(name) for base in type(task).__mro__ for name in ("delay", "apply_async")]
    return any("on_commit" in getattr(getattr(method, "__code__", None), "co_names", ()) for method in methods)


def task_module(task: Any) -> str:
    return str(type(task).__module__ if task.__module__ == "celery.local" else task.__module__)


def is_coroutine(task: Any) -> bool:
    """Whether it is the project's, and a worker that calls it gets a coroutine, which it never runs.

    A decorator of the project that runs the coroutine looks like it, by functools.wraps: of what is wrapped, only
    Celery's own wrappers (`celery.app.autoretry`, pydantic) are looked behind. A class with a `__call__` of its own is
    called by it (`celery.app.trace.build_tracer`).
    """
    from celery import Task

    run = task.run
    while hasattr(run, "__wrapped__") and getattr(run, "__globals__", {}).get("__name__", "").startswith("celery."):
        run = run.__wrapped__
    own = values.is_project_file(values.module_file(task_module(task)) or "<none>")
    return own and type(task).__call__ is Task.__call__ and inspect.iscoroutinefunction(run)


# `celery.concurrency.ALIASES` but for "custom", which stands for a name in the environment of the worker.
_CELERYS_POOLS = ("prefork", "processes", "eventlet", "gevent", "solo", "threads")
_COROUTINE_POOLS = ("celery_aio_pool", "celery_pool_asyncio")


def foreign_pool(conf: Any) -> str | None:
    """A pool that is not Celery's, which may well run coroutines: named here, or installed to be named elsewhere."""
    told = os.environ.get("CELERY_CUSTOM_WORKER_POOL") or str(conf.worker_pool or "")
    if told and told not in _CELERYS_POOLS and not told.startswith("celery.concurrency."):
        return told
    return next((name for name in _COROUTINE_POOLS if importlib.util.find_spec(name)), None)


def reader(entry: Any) -> Any:
    """How to read a field of a beat entry: a dictionary, or a ScheduleEntry."""
    return entry.get if hasattr(entry, "get") else lambda name, default=None: getattr(entry, name, default)
