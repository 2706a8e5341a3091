"""The last net under the promise to come back."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from types import TracebackType

from intelli_ops import exits

_GRACE = 0.4
"""Seconds after the deadline; together with start-up and exit this stays within the promised one second."""

_STARTING = 5.0
"""Seconds: a process older than that has not just been started for this."""
_QUICK = 0.4
"""Seconds of start-up that the promised second has room for."""


def started(timeout: float) -> float:
    """When the clock of a run with this timeout began (monotonic): on a busy machine, before this line was reached.

    A slow start of the interpreter is taken off the time of the run, but no more than a quarter of it: a run that comes
    back a little late and tells something is better than one that is punctual and has seen nothing.
    """
    now = time.monotonic()
    if sys.platform != "linux":
        return now
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (IndexError, OSError, ValueError):  # no /proc here
        return now
    return now - min(age - _QUICK, timeout / 4) if _QUICK < age < _STARTING else now


class Watchdog:
    """Ends the process when the block is not left soon after `deadline`.

    The runner keeps deadlines by itself; this is for code that holds the main thread, such as a plugin that hangs while
    it is imported, or an extension module that keeps the interpreter's lock for seconds and lets go too late.
    """

    def __init__(self, deadline: float) -> None:
        self._timer = threading.Timer(max(0.0, deadline - time.monotonic()) + _GRACE, _give_up)
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        self._timer.join(0.1)


def _give_up() -> None:
    sys.stderr.write("intelli-ops: could not tell: something held the run beyond its deadline\n")
    sys.stderr.flush()
    os._exit(exits.COULD_NOT_TELL)
