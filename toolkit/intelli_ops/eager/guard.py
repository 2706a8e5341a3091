"""Which settings file to edit, and whether it is one that must not run eager."""

from __future__ import annotations

import re
from pathlib import Path

from intelli_ops.eager.replace import Unsuitable

_PRODUCTION_NAMES = frozenset({"prod", "production", "live", "staging"})
_PRODUCTION_CONTENT = (
    (re.compile(r"^DEBUG\s*(:[^=\n]*)?=\s*False\b", re.MULTILINE), "it sets DEBUG = False"),
    (re.compile(r"^SECURE_HSTS_SECONDS\s*=", re.MULTILINE), "it sets SECURE_HSTS_SECONDS"),
    (re.compile(r"^SECURE_SSL_REDIRECT\s*=\s*True\b", re.MULTILINE), "it sets SECURE_SSL_REDIRECT"),
)


def settings_file(module: str, directory: Path) -> Path:
    """The file of settings module `module` (dotted) below `directory`; raises Unsuitable when there is none."""
    base = directory.joinpath(*module.split("."))
    for candidate in (base.with_suffix(".py"), base / "__init__.py"):
        if candidate.exists():
            return candidate
    raise Unsuitable(f"settings module {module} was not found below {directory}; name the file with --file")


def production_reason(path: Path, text: str) -> str | None:
    """Why this file looks like production, or None: by its name, by DEBUG, by what it configures."""
    if path.stem.lower() in _PRODUCTION_NAMES:
        return f"its name is {path.name}"
    return next((why for pattern, why in _PRODUCTION_CONTENT if pattern.search(text)), None)
