"""Small files in the user's state directory: what one run remembers for the next."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from intelli_checks.target import Target
from intelli_ops.files import replace_file


class StateFile:
    """One document, with an entry for each target; where it cannot be written, nothing is remembered."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, target: Target) -> Any:
        """What is remembered about `target`; None when nothing is."""
        return self._read().get(_name(target))

    def write(self, target: Target, entry: Any) -> None:
        """Remember `entry` about `target`, if it is new."""
        everything = self._read()
        if everything.get(_name(target)) == entry:
            return
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_file(self.path, json.dumps({**everything, _name(target): entry}, indent=1) + "\n", private=True)
        except OSError:  # a read-only home must not stop a diagnosis
            return

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # not there yet, or not ours
            return {}
        return found if isinstance(found, dict) else {}


def _name(target: Target) -> str:
    return f"{target.directory} {target.broker or ''}"


def state_directory(environ: Mapping[str, str], platform: str) -> Path:
    """Where this user's programs keep what they remember (XDG base directories; LOCALAPPDATA on Windows)."""
    if platform == "win32" and environ.get("LOCALAPPDATA"):
        return Path(environ["LOCALAPPDATA"]) / "intelli-ops"
    base = environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "intelli-ops"


def state_file(name: str) -> StateFile:
    """The file of that name for the current user."""
    return StateFile(state_directory(os.environ, sys.platform) / name)
