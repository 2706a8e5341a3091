"""The last filter: whatever is written to the standard streams, by whomever, has its known secrets masked."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any, TextIO, cast

from intelli_checks.text import remember_environment, scrub


class Masked:
    """A text stream that masks known secrets in what is written to it; for the rest it is the stream it wraps."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(scrub(text))

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def guard() -> None:
    """Learn the secrets of the environment, and let none of the known ones out by stdout or stderr."""
    remember_environment(os.environ)
    sys.stdout = cast("TextIO", Masked(sys.stdout))
    sys.stderr = cast("TextIO", Masked(sys.stderr))
