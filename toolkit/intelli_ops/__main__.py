"""`intelli-ops`: run the command line, and always leave."""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # `typing` would add a quarter to the time of a probe
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """Run the command named on the command line and exit with its code."""
    _open_streams()
    if sys.argv[1:2] == ["probe"]:  # the hot command: Typer alone would take longer than its answer
        from intelli_ops import probe

        _leave(probe.answer(sys.argv[2:]), clean_up=False)
    try:
        from intelli_ops.cli import run
        from intelli_ops.sinks import guard

        guard()
        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # before or after what `run` guards
        code = 130
    _leave(code)


def _open_streams() -> None:
    """Started with a closed stdout or stderr (`>&-`, some service managers), write to nowhere instead of failing."""
    import os

    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - pathlib costs a probe its time


def _leave(code: int, *, clean_up: bool = True) -> NoReturn:
    """Exit now, even while a driver hangs in a daemon thread: interpreter shutdown may wait for a lock it holds."""
    import os

    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):  # the reader is gone
        os._exit(code or 141)
    if clean_up and "threading" in sys.modules and sys.modules["threading"].active_count() == 1:
        sys.exit(code)
    os._exit(code)


if __name__ == "__main__":
    main()
