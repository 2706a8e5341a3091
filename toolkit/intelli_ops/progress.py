"""A spinner for people who wait longer than a second, saying what is being waited for."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from intelli_checks.model import Check, Result
from intelli_ops.render import terminal
from intelli_ops.say import complain

if TYPE_CHECKING:
    from rich.status import Status

_PATIENCE = 1.0
"""Seconds before anything is shown; most runs are over by then."""


class Waiting:
    """While the block runs, on stderr: a terminal shows after a second what is awaited, a log each change of it."""

    def __init__(self, what: str = "", *, silent: bool = False) -> None:
        self._what = what
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._silent = silent
        if not silent and terminal.is_terminal(sys.stderr):
            self._thread = threading.Thread(target=self._spin, name="progress", daemon=True)

    def __enter__(self) -> Self:
        if self._thread:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._thread:
            self._thread.join(1.0)

    def now(self, what: str) -> None:
        """It is something else that is waited for."""
        if what != self._what and not self._silent and not self._thread:
            complain(f"waiting for {what}")
        self._what = what

    def awaited(self) -> str:
        """What is waited for at this moment."""
        return self._what

    def _spin(self) -> None:
        began = time.monotonic()
        if self._over.wait(_PATIENCE):
            return
        from rich.console import Console

        with Console(stderr=True).status("") as status:
            over = False
            while not over:
                self._tell(status, time.monotonic() - began)
                over = self._over.wait(0.2)

    def _tell(self, status: Status, seconds: float) -> None:
        from rich.text import Text

        status.update(Text(f"{seconds:.0f} s, waiting for {self.awaited()}", no_wrap=True, overflow="ellipsis"))


class Progress(Waiting):
    """Waiting for checks, which end one by one."""

    def __init__(self, checks: Iterable[Check], *, silent: bool = False) -> None:
        super().__init__(silent=silent)
        self._checks = {check.id: check for check in checks}

    def ended(self, result: Result) -> None:
        """One less to wait for."""
        self._checks.pop(result.check.id, None)

    def awaited(self) -> str:
        """The first check that has not ended."""
        names = list(self._checks)
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        return f"{''.join(names[:1])}{more}"
