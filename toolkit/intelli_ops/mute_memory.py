"""How bad each muted problem was when it was muted, kept between runs: a mute must not hide what got worse."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from intelli_checks.model import Severity
from intelli_checks.mutes import Extent, Seen
from intelli_checks.target import Target
from intelli_ops.files import replace_file


class MuteMemory:
    """A small file in the user's state directory; where it cannot be written, each run accepts what it finds."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or state_directory(os.environ, sys.platform) / "mutes.json"

    @contextmanager
    def about(self, target: Target) -> Iterator[Seen]:
        """What is remembered about this target; changes are written when the block ends."""
        everything = self._read()
        name = f"{target.directory} {target.broker or ''}"
        before = everything.get(name, {})
        seen = _extents(before)
        yield seen
        after = {key: {"severity": int(e.severity), "subjects": sorted(e.subjects)} for key, e in seen.items()}
        if after != before:
            self._write({**everything, name: after})

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # not there yet, or not ours
            return {}
        return found if isinstance(found, dict) else {}

    def _write(self, everything: Mapping[str, Any]) -> None:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_file(self.path, json.dumps(everything, indent=1) + "\n", private=True)
        except OSError:  # a read-only home must not stop a diagnosis
            return


def state_directory(environ: Mapping[str, str], platform: str) -> Path:
    """Where this user's programs keep what they remember (XDG base directories; LOCALAPPDATA on Windows)."""
    if platform == "win32" and environ.get("LOCALAPPDATA"):
        return Path(environ["LOCALAPPDATA"]) / "intelli-ops"
    base = environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "intelli-ops"


def _extents(entries: Any) -> dict[str, Extent]:
    try:
        return {k: Extent(Severity(e["severity"]), frozenset(e["subjects"])) for k, e in entries.items()}
    except (AttributeError, KeyError, TypeError, ValueError):  # edited by hand
        return {}
