"""Whether we ourselves stood still: every deadline passes meanwhile, and peers that are well look silent."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

TICK = 0.1
LEAST = 2.0
"""Seconds without a turn from which on it is told; eight busy threads with 15 % of a processor waited one at most."""


class Stalls(threading.Thread):
    """Counts the seconds in which this process got no turn, while in the block.

    A virtual machine that is moved, a laptop that swaps, a container without a share of a processor, Ctrl-Z.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(name="stalls", daemon=True)
        self.seconds = 0.0
        """Of all stalls of at least LEAST seconds."""
        self._clock, self._over = clock, threading.Event()
        self._seen = clock()

    def run(self) -> None:
        while not self._over.wait(TICK):
            self.look()

    def look(self) -> None:
        """Compare with the clock; called every TICK seconds."""
        seen, self._seen = self._seen, self._clock()
        late = self._seen - seen - TICK
        if late >= LEAST:
            self.seconds += late

    @property
    def told(self) -> tuple[str, ...]:
        """The note for a report, where there is something to note."""
        if not self.seconds:
            return ()
        who = "the machine, or somebody stopped it"
        return (f"this process stood still for {self.seconds:.1f} s ({who}): what seems late may be well; ask again",)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self.join()
        self.look()  # it may have ended with the block
