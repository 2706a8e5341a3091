"""Run the reference system in the foreground: a line per part, prefixed logs, a record for others to find it by."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from intelli_checks.dsn import Dsn
from intelli_ops import exits
from intelli_ops.embedded_redis import NoRedis
from intelli_ops.say import say
from intelli_ops.supervisor import leftovers
from intelli_ops.supervisor.logs import Terminal
from intelli_ops.supervisor.policy import Phase
from intelli_ops.supervisor.state import Busy, State, StateError, find
from intelli_ops.supervisor.supervisor import Supervisor
from intelli_ops.supervisor.unit import Unit
from intelli_ops.system import CannotStart, System, assemble, find_backend

RECORD = "system.json"
LOCK = "system"
_WORDS = {
    Phase.READY: "ready",
    Phase.DONE: "done",
    Phase.BACKOFF: "DOWN",
    Phase.FATAL: "FAILED",
    Phase.STOPPING: "stopping",
    Phase.STOPPED: "stopped",
}


@dataclass
class Running:
    """The system while it runs: what it is made of, who supervises it, and what others may know about it."""

    system: System
    supervisor: Supervisor
    on_ready: Callable[[Running], None]
    began: float = field(default_factory=time.monotonic)
    announced: bool = False

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self.began

    def changed(self, unit: Unit) -> None:
        """Say and record what became of a part."""
        if (word := _WORDS.get(unit.phase)) and (unit.child or unit.phase is Phase.FATAL):
            say(f"{word:<8} {unit.name:<13} {unit.detail}")
        self.record()
        if unit.phase is Phase.FATAL:
            self.supervisor.request_stop()  # a system with a part missing is not the system that was asked for
        if not self.announced and self.supervisor.all_ready:
            self.announced = True
            self.on_ready(self)

    def record(self) -> None:
        """Leave what `down`, `jobs` and `check` need to find the system; private, it holds the broker's password."""
        system = self.system
        self.system.state.write(
            RECORD,
            {
                "supervisor": self.supervisor.identity,
                "web": system.web,
                "broker": system.broker.raw,
                "results": system.results.raw,
                "layer": system.layer.raw,
                "media": str(system.media),
                "database": system.environment["DATABASE_URL"],
                "ready": self.supervisor.all_ready,
                "units": [unit.describe() for unit in self.supervisor.units.values()],
            },
        )


def run(project: Path, name: str, on_ready: Callable[[Running], None], *, quiet: bool = False) -> int:
    """Bring the system up under the state folder `name` and supervise it to its end; the exit code.

    3 when the same system runs already: nothing is started twice.
    """
    try:
        state = State(state_home(project), name)
        with state.lock(LOCK):
            leftovers.sweep(state.read(RECORD), say)
            return _supervise(assemble(project, state, os.environ), on_ready, quiet=quiet)
    except Busy:
        holder = state.read(RECORD)
        who = holder.get("supervisor", {}).get("pid", "unknown")
        say(f"already running: pid {who}, {holder.get('web', 'still starting')}; stop it with: intelli-ops down")
        return exits.COULD_NOT_TELL
    except (CannotStart, NoRedis, StateError) as error:
        say(f"cannot start: {error}")
        return exits.FAILED


def state_home(project: Path) -> Path:
    """The folder that holds `.intelli-ops`: the checkout around `backend/`."""
    backend = find_backend(project)
    return backend.parent if backend.name == "backend" else backend


def find_running(project: Path, *names: str) -> dict[str, Any]:
    """The record of a system of this project that runs now, looked for under each of `names`; else empty."""
    for name in names or ("up", "demo"):
        record = State(state_home(project), name).read(RECORD)
        supervisor = record.get("supervisor")
        if isinstance(supervisor, dict) and find(supervisor):
            return record
    return {}


def _supervise(system: System, on_ready: Callable[[Running], None], *, quiet: bool) -> int:
    if system.server and "CELERY_BROKER_URL" in os.environ:
        say(f"note     redis         {Dsn(os.environ['CELERY_BROKER_URL'])} does not answer: starting one here instead")
    terminal = Terminal.silent() if quiet else Terminal()
    supervisor = Supervisor(tuple(system.services()), system.state.folder("logs"), terminal=terminal)
    running = Running(system, supervisor, on_ready)
    supervisor.on_change = running.changed
    try:
        return supervisor.run()
    finally:
        system.state.remove(RECORD)
