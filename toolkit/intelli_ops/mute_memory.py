"""How bad each muted problem was when it was muted, kept between runs: a mute must not hide what got worse."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from intelli_checks.model import Severity
from intelli_checks.mutes import Extent, Seen
from intelli_checks.target import Target
from intelli_ops.state import StateFile, state_file


class MuteMemory:
    """A small file in the user's state directory; where it cannot be written, each run accepts what it finds."""

    def __init__(self, path: Path | None = None) -> None:
        self.file = StateFile(path) if path else state_file("mutes.json")

    @contextmanager
    def about(self, target: Target) -> Iterator[Seen]:
        """What is remembered about this target; changes are written when the block ends."""
        seen = _extents(self.file.read(target) or {})
        yield seen
        self.file.write(
            target, {key: {"severity": int(e.severity), "subjects": sorted(e.subjects)} for key, e in seen.items()}
        )


def _extents(entries: Any) -> dict[str, Extent]:
    try:
        return {k: Extent(Severity(e["severity"]), frozenset(e["subjects"])) for k, e in entries.items()}
    except (AttributeError, KeyError, TypeError, ValueError):  # edited by hand
        return {}
