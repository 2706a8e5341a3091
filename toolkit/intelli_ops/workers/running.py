"""The running workers of a project, as every other command finds them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from intelli_ops.supervisor.state import State, find
from intelli_ops.workers.keep import RECORD

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
