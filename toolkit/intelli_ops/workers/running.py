"""The running workers of a project, as every other command finds and asks them; imports nothing of what runs them."""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from intelli_ops import exits
from intelli_ops.say import say
from intelli_ops.supervisor.state import State, find

RECORD = "workers.json"
LOCK = "workers"
REQUESTS = "requests"
Record = Mapping[str, Any]


def state_of(project: Path) -> State:
    """The state folder of a project's workers."""
    return State(project, "workers")


def read(state: State) -> Record:
    """What runs; empty when nothing does."""
    record = state.read(RECORD)
    supervisor = record.get("supervisor")
    return record if isinstance(supervisor, Mapping) and find(supervisor) else {}


def units(record: Record) -> list[Mapping[str, Any]]:
    """The workers, and the scheduler if there is one."""
    found = record.get("units")
    return [unit for unit in found if isinstance(unit, Mapping)] if isinstance(found, list) else []


def already(state: State) -> int:
    """Say who runs the workers already; the exit code for that."""
    holder = read(state).get("supervisor", {}).get("pid", "still starting")
    say(f"the workers of this project run already (pid {holder}): nothing was started")
    say(
        "see: intelli-ops workers status; replace them: intelli-ops restart-workers; end them: intelli-ops stop-workers"
    )
    return exits.COULD_NOT_TELL


def await_(state: State, wanted: Callable[[Record], bool], timeout: float) -> bool:
    """Whether `wanted` came to hold of the record within `timeout` seconds; also ends when the supervisor does."""
    deadline, pause = time.monotonic() + timeout, threading.Event()
    while time.monotonic() < deadline:
        record = read(state)
        if record and wanted(record):
            return True
        if not record:
            return False
        pause.wait(0.1)
    return False


def telling(
    before: Record, wanted: Callable[[Record], bool], told: Callable[[str], bool] = lambda _: True
) -> Callable[[Record], bool]:
    """`wanted`, and each change since `before` said once: whoever waits sees that something goes on.

    `told` chooses the phases that are worth a line.
    """
    known = {_line(unit) for unit in units(before)}

    def tell(record: Record) -> bool:
        for unit in units(record):
            new = unit.get("phase") != "starting" or unit.get("detail")  # else the next line says more
            if new and told(str(unit.get("phase"))) and (line := _line(unit)) not in known:
                known.add(line)
                say(line)
        return wanted(record)

    return tell


def _line(unit: Mapping[str, Any]) -> str:
    return f"{unit.get('phase'):<9} {unit.get('name'):<16} {unit.get('detail')}".rstrip()


def request(state: State, **asked: Any) -> None:
    """Ask the running keeper for something; it looks several times a second."""
    folder = state.folder(REQUESTS)
    temporary = folder / f".{uuid.uuid4().hex}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asked, file)
    temporary.rename(folder / f"{temporary.name[1:]}.json")
