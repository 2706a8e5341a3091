"""Who still runs with the value a settings file had before."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import psutil

from intelli_ops.eager.effects import stale_processes

HERE = Path("/srv/shop")


def process(pid: int, ppid: int, *words: str, created: float = 1.0) -> SimpleNamespace:
    return SimpleNamespace(
        info={"pid": pid, "ppid": ppid, "cmdline": list(words), "cwd": str(HERE), "create_time": created}
    )


def test_a_pool_is_one_process_to_restart(monkeypatch):
    worker = ("/srv/shop/.venv/bin/python", "/srv/shop/.venv/bin/celery", "-A", "shop", "worker")
    listed = [
        process(10, 1, *worker),
        process(11, 10, *worker),
        process(12, 10, *worker),
        process(20, 1, *worker),
        process(30, 1, *worker, created=9.0),
    ]
    monkeypatch.setattr(psutil, "process_iter", lambda names: iter(listed))
    assert [(one.pid, one.what) for one in stale_processes(HERE, 5.0)] == [(10, "celery"), (20, "celery")]


def test_a_development_server_that_has_reloaded_is_new(monkeypatch):
    serve = ("python", "manage.py", "runserver")
    listed = [process(10, 1, *serve), process(11, 10, *serve, created=9.0), process(20, 1, *serve)]
    monkeypatch.setattr(psutil, "process_iter", lambda names: iter(listed))
    assert [one.pid for one in stale_processes(HERE, 5.0)] == [20]
