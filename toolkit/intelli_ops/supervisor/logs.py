"""One stream out of many: every line prefixed with who wrote it, kept in a file that cannot grow for ever."""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TextIO

from intelli_checks.text import safe

_CHUNK = 64 * 1024
_TAIL = 20
_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)


class RotatingFile:
    """A log file of at most `limit` bytes, with `keep` older ones beside it (`NAME.1` is the newest)."""

    def __init__(self, path: Path, limit: int = 5_000_000, keep: int = 3) -> None:
        self.path, self.limit, self.keep = path, limit, keep
        self._file = self._open()

    def _open(self) -> BinaryIO:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        return os.fdopen(os.open(self.path, flags, 0o600), "ab", buffering=0)

    def write(self, data: bytes) -> None:
        if self._file.closed:  # a straggler's words after everything was wound up
            return
        if self._file.tell() + len(data) > self.limit and self._file.tell():
            self._rotate()
        self._file.write(data)

    def _rotate(self) -> None:
        self._file.close()
        for number in range(self.keep, 0, -1):
            older = self.path.with_name(f"{self.path.name}.{number}")
            newer = self.path.with_name(f"{self.path.name}.{number - 1}") if number > 1 else self.path
            if newer.exists():
                newer.replace(older)
        self._file = self._open()

    def close(self) -> None:
        self._file.close()


class Terminal:
    """Prefixed lines on one stream, in colour where that is a terminal that wants it."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = sys.stderr if stream is None else stream
        self.colour = self.stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        self.width = 0
        self._lock = threading.Lock()
        self._order: dict[str, int] = {}

    @classmethod
    def silent(cls) -> Terminal:
        """For those who read the log files instead."""
        return cls(open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123 - open as long as the process

    def write(self, name: str, text: str) -> None:
        """Print the lines of `text` as said by `name`; a reader that went away is no reason to stop anything."""
        prefix = self._prefix(name)
        text = prefix + text.replace("\n", f"\n{prefix}") + "\n"
        with self._lock:
            try:
                self.stream.write(text)
                self.stream.flush()
            except (OSError, ValueError):
                self.stream = open(os.devnull, "w")  # noqa: SIM115, PTH123 - stays open as long as the process

    def _prefix(self, name: str) -> str:
        self.width = max(self.width, len(name))
        plain = f"{name:<{self.width}} | "
        if not self.colour:
            return plain
        place = self._order.setdefault(name, len(self._order))
        return f"\x1b[{_COLOURS[place % len(_COLOURS)]}m{plain}\x1b[0m"


class Pump(threading.Thread):
    """Moves a child's output to its log file and the terminal as fast as it comes, and remembers the last lines."""

    def __init__(self, name: str, source: BinaryIO, file: RotatingFile, show: Callable[[str, str], None]) -> None:
        super().__init__(name=f"log of {name}", daemon=True)
        self.unit, self.source, self.file, self.show = name, source, file, show
        self.tail: deque[str] = deque(maxlen=_TAIL)

    def run(self) -> None:
        rest = b""
        with self.source:
            while chunk := os.read(self.source.fileno(), _CHUNK):
                complete, newline, rest = (rest + chunk).rpartition(b"\n")
                if newline:
                    self._take(complete)
                elif len(rest) > _CHUNK:  # a line without end must not grow in memory
                    self._take(rest)
                    rest = b""
        if rest:
            self._take(rest)

    def _take(self, data: bytes) -> None:
        text = safe(data.decode("utf-8", "replace").replace("\r\n", "\n"))
        self.file.write(text.encode() + b"\n")
        self.tail.extend(text.rsplit("\n", _TAIL)[-_TAIL:])
        self.show(self.unit, text)
