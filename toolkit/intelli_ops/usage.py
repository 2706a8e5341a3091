"""Errors with an exit code of their own: wrong usage (2), with what was probably meant, and could not tell (3)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

# Typer 0.28 carries its own copy of click and offers these nowhere else.
from typer._click.exceptions import ClickException, NoArgsIsHelpError, UsageError

__all__ = [
    "ClickException", "CouldNotTell", "NoArgsIsHelpError", "UsageError", "install", "must_be_writable", "no_such",
]  # fmt: skip


class CouldNotTell(Exception):
    """What was asked did not answer; ends in exit code 3. `hint` is what to type next."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def install(package: str) -> str:
    """What to type for a package that this tool can use and does not find: it belongs beside the tool."""
    import shlex
    import sys

    from intelli_ops.workers.plan import powershell

    quote = powershell if sys.platform == "win32" else shlex.join
    return quote([sys.executable, "-m", "pip", "install", package])


def must_be_writable(*paths: Path | None) -> None:
    """Raise UsageError for a file that cannot be written, before anybody waits for what it should hold."""
    from intelli_ops.files import refusal

    for path in paths:
        if path is not None and (why := refusal(path)):
            raise UsageError(f"cannot write {path}: {why}")


def no_such(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """`name` is no `kind`; the message offers the nearest names that are."""
    from difflib import get_close_matches

    from intelli_checks.text import safe

    near = get_close_matches(name, list(known), n=3)
    return UsageError(f"no such {kind}: {safe(name)}" + (f"; did you mean {' or '.join(near)}?" if near else ""))
