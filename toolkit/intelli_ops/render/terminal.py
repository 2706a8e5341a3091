"""Styled lines, and what this terminal can show."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from typing import IO, Self, TextIO

Span = tuple[str, str]
"""Text and the name of its style."""

# The eight basic colours follow the theme of the terminal; white, black and their bright kin vanish on one of them.
_STYLES = {"bad": "1;31", "odd": "1;35", "warn": "1;33", "good": "1;32", "id": "1", "cmd": "36", "dim": "2"}


class Line(tuple[Span, ...]):
    """One line of output as styled spans."""

    __slots__ = ()

    def __new__(cls, *spans: Span) -> Self:
        return super().__new__(cls, spans)


def paint(lines: Iterable[Line], *, color: bool) -> str:
    """The lines as text, with SGR sequences when `color`.

    Written here and not with rich, because importing rich costs more (120 ms) than most whole runs take.
    """
    return "".join(
        "".join(_span(text, style if color else "") for text, style in line).rstrip() + "\n" for line in lines
    )


def _span(text: str, style: str) -> str:
    code = _STYLES.get(style)
    return f"\x1b[{code}m{text}\x1b[0m" if code else text


def wants_color(stream: IO[str], environ: Mapping[str, str], choice: bool | None) -> bool:  # noqa: FBT001 - three values
    """The flag, then NO_COLOR (no-color.org), then FORCE_COLOR, then whether `stream` can show it."""
    if choice is not None:
        return choice
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return True
    return is_terminal(stream) and environ.get("TERM") != "dumb" and _speaks_sgr()


def is_terminal(stream: IO[str]) -> bool:
    """Whether a person is looking at `stream`."""
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


def has_symbols(stream: TextIO) -> bool:
    """Whether the encoding of `stream` can carry check marks (Windows code pages and the C locale cannot)."""
    try:
        "✗✓".encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def width(stream: IO[str]) -> int:
    """Columns to fold prose to: the terminal's, at most 120, because longer lines are hard to read; 80 elsewhere."""
    return min(120, shutil.get_terminal_size().columns) if is_terminal(stream) else 80


def _speaks_sgr() -> bool:
    """Windows consoles understand SGR only once told to; ask for it, and say whether that worked."""
    if os.name != "nt":
        return True
    import ctypes

    kernel = ctypes.windll.kernel32  # type: ignore[attr-defined,unused-ignore]
    handle, mode = kernel.GetStdHandle(-11), ctypes.c_ulong()
    virtual_terminal = 0x0004
    return bool(
        kernel.GetConsoleMode(handle, ctypes.byref(mode))
        and kernel.SetConsoleMode(handle, mode.value | virtual_terminal)
    )
