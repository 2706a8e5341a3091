"""What follows from a changed file: who still runs with the old value, and what eager mode leaves out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SKIPPED_BY_EAGER = (
    "routing: no queue is used, so a task sent to a queue nobody consumes looks fine",
    "serialisation: arguments and results are passed as objects, so what JSON refuses goes unnoticed",
    "acknowledgement, redelivery and prefetch: a crash takes the caller down instead",
    "time limits and rate limits: a task may block the request for ever",
    "countdown and ETA: tasks run at once, inside the request; retries run at once as well",
    "send_task: tasks sent by name are still queued for real (AlwaysEagerIgnored)",
)

_RUNNERS = ("celery", "daphne", "uvicorn", "gunicorn", "hypercorn", "granian", "runserver")


@dataclass(frozen=True, slots=True)
class StaleProcess:
    """A process of this project that started before the file changed."""

    pid: int
    what: str


def stale_processes(directory: Path, changed_at: float) -> list[StaleProcess]:
    """Servers and workers whose working directory is the project and that are older than the change.

    Of a pool the parent alone: who restarts it restarts its children. `runserver` restarts its child itself.
    """
    import psutil

    old, new = {}, []
    for process in psutil.process_iter(["pid", "ppid", "cmdline", "cwd", "create_time"]):
        facts = process.info
        words = facts["cmdline"] or []
        runner = next((name for name in _RUNNERS if any(Path(word).name == name for word in words)), None)
        inside = facts["cwd"] and Path(facts["cwd"]).is_relative_to(directory)
        if runner and inside and (facts["create_time"] or 0) < changed_at:
            old[facts["pid"]] = (facts["ppid"], runner)
        elif runner == "runserver":
            new.append(facts["ppid"])
    return [StaleProcess(pid, what) for pid, (parent, what) in old.items() if parent not in old and pid not in new]
