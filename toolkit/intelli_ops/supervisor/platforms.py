"""What differs between Linux, macOS and Windows, decided in one place that any of them can test."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

Step: TypeAlias = Literal["drain", "warm", "cold", "kill"]
"""How hard to stop: take no new work; finish what runs; drop it but clean up; end now, with everything it started."""

_HERE = Path(__file__).parent
_CREATE_NEW_PROCESS_GROUP = 0x00000200  # subprocess.CREATE_NEW_PROCESS_GROUP, which other platforms lack
_DETACHED_PROCESS = 0x00000008  # subprocess.DETACHED_PROCESS
_CTRL_BREAK_EVENT = 1  # signal.CTRL_BREAK_EVENT
_SIGQUIT = 3


@dataclass(frozen=True, slots=True)
class Platform:
    """Decisions for one `sys.platform`; the effects are carried out by `child`."""

    name: str = sys.platform

    @property
    def windows(self) -> bool:
        return self.name == "win32"

    @property
    def linux(self) -> bool:
        return self.name.startswith("linux")

    def popen_options(self) -> dict[str, Any]:
        """Keep the terminal's Ctrl-C and hang-up to the supervisor, which then stops its children in order."""
        if self.windows:
            return {"creationflags": _CREATE_NEW_PROCESS_GROUP}
        return {"start_new_session": True}

    def detach_options(self) -> dict[str, Any]:
        """Outlive the terminal: a session, or on Windows no console, of its own."""
        if self.windows:
            return {"creationflags": _CREATE_NEW_PROCESS_GROUP | _DETACHED_PROCESS}
        return {"start_new_session": True}

    def wrap(self, argv: Sequence[str], parent: int) -> list[str]:
        """`argv`, made to die with `parent` where the kernel offers that."""
        if self.linux:
            return [sys.executable, "-I", "-S", str(_HERE / "shim.py"), str(parent), *argv]
        return list(argv)

    def guard(self) -> list[str] | None:
        """The command that kills process groups when its input ends; Windows has job objects instead."""
        return None if self.windows else [sys.executable, "-I", "-S", str(_HERE / "guard.py")]

    def signal_for(self, step: Step) -> int | None:
        """The signal to send to the process; None means: end it and all it started (group or job).

        Windows delivers no SIGTERM (`Popen.terminate` there is a hard kill): a console break is its only soft signal,
        and there is nothing between it and the end.
        """
        if step == "kill":
            return None
        if self.windows:
            return _CTRL_BREAK_EVENT if step == "warm" else None
        return int(signal.SIGTERM) if step == "warm" else _SIGQUIT

    def stop_signals(self) -> tuple[int, ...]:
        """Signals that ask the supervisor itself to stop."""
        names = ("SIGINT", "SIGBREAK") if self.windows else ("SIGINT", "SIGTERM")
        return tuple(int(getattr(signal, name)) for name in names if hasattr(signal, name))
