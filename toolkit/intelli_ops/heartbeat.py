"""A worker's pulse in a file: written by the worker itself, judged without asking the broker anything.

Standard library only, and little of it: this is what a Kubernetes probe pays for, every few seconds.
"""

from __future__ import annotations

import json
import os
import time

TYPE_CHECKING = False  # `typing` alone would add a quarter to the time of a probe; type checkers know this name
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Literal, TypeAlias

    Question: TypeAlias = Literal["live", "ready", "startup"]

VARIABLE = "INTELLI_OPS_HEARTBEAT"
DEFAULT = os.path.join(".intelli-ops", "heartbeat.json")  # noqa: PTH118 - pathlib costs a probe two milliseconds
INTERVAL = 2.0
"""Seconds between two pulses."""
MAX_AGE = 15.0
"""Seconds after which a pulse no longer counts; several intervals, since a loaded host may be late."""


class Pulse:
    """What a worker says of itself. Times are `time.monotonic`, which all processes of a host share since boot.

    A plain class: `dataclasses` imports `inspect`, which would double the time of a probe.
    """

    def __init__(  # noqa: PLR0913 - a record of eight facts
        self,
        *,
        pid: int,
        node: str,
        at: float,
        loop_at: float,
        connected: bool,
        consuming: list[str],
        busy: bool,
        ready_once: bool,
    ) -> None:
        self.pid = pid
        self.node = node
        self.at = at
        """When this was written, by a thread of its own."""
        self.loop_at = loop_at
        """When the consumer's event loop last came round."""
        self.connected = connected
        """False while the worker is (re)connecting to its broker: the loop does not turn then, and need not."""
        self.consuming = consuming
        """Queues it consumes right now."""
        self.busy = busy
        """Whether a task runs in the main process (the solo pool), which holds the loop up legitimately."""
        self.ready_once = ready_once
        """Whether it has consumed at any time since it started."""


def location(given: str | None = None) -> str:
    """The heartbeat file: as given, else `INTELLI_OPS_HEARTBEAT`, else below the working directory."""
    return given or os.environ.get(VARIABLE) or DEFAULT


def write(path: Path, pulse: Pulse) -> None:
    """Replace the file in one step, readable by its owner only."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{pulse.pid}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)
    with os.fdopen(os.open(temporary, flags, 0o600), "w", encoding="utf-8") as file:
        json.dump(vars(pulse), file)
    temporary.replace(path)


def read(path: str) -> Pulse:
    """The last pulse; raises OSError when there is none and ValueError when it is not one."""
    with open(path, encoding="utf-8") as file:  # noqa: PTH123 - see DEFAULT
        text = file.read()
    try:
        return Pulse(**json.loads(text))
    except TypeError as error:
        raise ValueError(f"{path} is not a heartbeat: {error}") from error


def judge(pulse: Pulse, question: Question, *, max_age: float = MAX_AGE, now: float | None = None) -> tuple[bool, str]:
    """Answer `question` from one pulse: yes or no, and the sentence that explains it.

    live: the process runs and its loop turns, or has a reason not to (a task in the solo pool, a broker it is waiting
    for): restarting would not help. ready: it consumes its queues. startup: it has been ready once.
    """
    now = time.monotonic() if now is None else now
    age, loop_age = now - pulse.at, now - pulse.loop_at
    who = f"{pulse.node} (pid {pulse.pid})"
    if not 0 <= age <= max_age:
        return False, f"{who}: last heartbeat {age:.0f} s ago, more than {max_age:g} s"
    if question == "startup":
        return pulse.ready_once, f"{who}: has {'consumed' if pulse.ready_once else 'not consumed yet'}"
    if question == "ready" and not (pulse.connected and pulse.consuming):
        return False, f"{who}: not consuming, {'no queue' if pulse.connected else 'no broker'}"
    if pulse.connected and not pulse.busy and loop_age > max_age:
        return False, f"{who}: event loop stuck for {loop_age:.0f} s with no task to blame"
    return True, f"{who}: {_state(pulse)}"


def _state(pulse: Pulse) -> str:
    if not pulse.connected:
        return "alive, waiting for its broker"
    return f"consuming {', '.join(pulse.consuming) or 'nothing'}{', busy' if pulse.busy else ''}"
