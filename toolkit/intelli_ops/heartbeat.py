"""A worker's pulse in a file: written by the worker itself, judged without asking the broker anything.

Standard library only, and little of it: this is what a Kubernetes probe pays for, every few seconds.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TypeAlias

VARIABLE = "INTELLI_OPS_HEARTBEAT"
DEFAULT = Path(".intelli-ops") / "heartbeat.json"
INTERVAL = 2.0
"""Seconds between two pulses."""
MAX_AGE = 15.0
"""Seconds after which a pulse no longer counts; several intervals, since a loaded host may be late."""

Question: TypeAlias = Literal["live", "ready", "startup"]


@dataclass(frozen=True, slots=True)
class Pulse:
    """What a worker says of itself. Times are `time.monotonic`, which all processes of a host share since boot."""

    pid: int
    node: str
    at: float
    """When this was written, by a thread of its own."""
    loop_at: float
    """When the consumer's event loop last came round."""
    connected: bool
    """False while the worker is (re)connecting to its broker: the loop does not turn then, and need not."""
    consuming: tuple[str, ...]
    """Queues it consumes right now."""
    busy: bool
    """Whether a task runs in the main process (the solo pool), which holds the loop up legitimately."""
    ready_once: bool
    """Whether it has consumed at any time since it started."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to a probe and the sentence that explains it."""

    ok: bool
    reason: str


def location(given: str | None = None) -> Path:
    """The heartbeat file: as given, else `INTELLI_OPS_HEARTBEAT`, else below the working directory."""
    return Path(given or os.environ.get(VARIABLE) or DEFAULT)


def write(path: Path, pulse: Pulse) -> None:
    """Replace the file in one step, readable by its owner only."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{pulse.pid}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)
    with os.fdopen(os.open(temporary, flags, 0o600), "w", encoding="utf-8") as file:
        json.dump(asdict(pulse), file)
    temporary.replace(path)


def read(path: Path) -> Pulse:
    """The last pulse; raises OSError when there is none and ValueError when it is not one."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        return Pulse(**{**facts, "consuming": tuple(facts["consuming"])})
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a heartbeat: {error}") from error


def judge(pulse: Pulse, question: Question, *, max_age: float = MAX_AGE, now: float | None = None) -> Verdict:
    """Answer `question` from one pulse.

    live: the process runs and its loop turns, or has a reason not to (a task in the solo pool, a broker it is waiting
    for): restarting would not help. ready: it consumes its queues. startup: it has been ready once.
    """
    now = time.monotonic() if now is None else now
    age, loop_age = now - pulse.at, now - pulse.loop_at
    who = f"{pulse.node} (pid {pulse.pid})"
    if not 0 <= age <= max_age:
        return Verdict(ok=False, reason=f"{who}: last heartbeat {age:.0f} s ago, more than {max_age:g} s")
    if question == "startup":
        return Verdict(pulse.ready_once, f"{who}: has {'consumed' if pulse.ready_once else 'not consumed yet'}")
    if question == "ready" and not (pulse.connected and pulse.consuming):
        return Verdict(ok=False, reason=f"{who}: not consuming, {'no queue' if pulse.connected else 'no broker'}")
    if pulse.connected and not pulse.busy and loop_age > max_age:
        return Verdict(ok=False, reason=f"{who}: event loop stuck for {loop_age:.0f} s with no task to blame")
    return Verdict(ok=True, reason=f"{who}: {_state(pulse)}")


def _state(pulse: Pulse) -> str:
    if not pulse.connected:
        return "alive, waiting for its broker"
    return f"consuming {', '.join(pulse.consuming) or 'nothing'}{', busy' if pulse.busy else ''}"
