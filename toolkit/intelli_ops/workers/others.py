"""Workers of a project that `start-workers` did not start: those of `up` or `demo`, and those started by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from intelli_checks.probes import processes
from intelli_ops.bring_up import find_running
from intelli_ops.system import NoCheckout

SYSTEMS = ("up", "demo")


def told(project: Path, record: Mapping[str, Any]) -> Iterator[str]:
    """A line for each, with what ends it; `record` is that of the workers that were started here."""
    supervisors = {_pid(record)}
    for name in SYSTEMS:
        if pid := _pid(_system(project, name)):
            supervisors.add(pid)
            yield f"intelli-ops {name} runs here, too (pid {pid}), with workers of its own: intelli-ops down ends them"
    for worker in processes.celery("worker"):
        here = worker.directory and Path(worker.directory).is_relative_to(project.resolve())
        if here and supervisors.isdisjoint(ancestors(worker.pid)):
            yield f"by hand  pid {worker.pid:<8} {worker.command}   # kill {worker.pid} ends it"


def _system(project: Path, name: str) -> Mapping[str, Any]:
    try:
        return find_running(project, name)
    except NoCheckout:  # a project of somebody else has none
        return {}


def _pid(record: Mapping[str, Any]) -> int:
    found = record.get("supervisor")
    return int(found.get("pid") or 0) if isinstance(found, Mapping) else 0


def ancestors(pid: int) -> set[int]:
    """The processes that started this one, as far as they live and are shown to us."""
    import psutil

    try:
        return {process.pid for process in psutil.Process(pid).parents()}
    except psutil.Error:
        return set()
