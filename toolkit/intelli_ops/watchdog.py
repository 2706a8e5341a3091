"""The last net under the promise to come back."""

from __future__ import annotations

import os
import sys
import threading
import time
from types import TracebackType

from intelli_ops import exits

_GRACE = 0.4
"""Seconds after the deadline; together with start-up and exit this stays within the promised one second."""


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
