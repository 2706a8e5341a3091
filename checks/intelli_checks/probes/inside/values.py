"""Whatever a project keeps in its settings, as plain JSON values; whatever it raises, as one line and a place."""

from __future__ import annotations

import math
import os
import sys
import sysconfig
import traceback
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

MAX_DEPTH = 6
MAX_ITEMS = 500
MAX_TEXT = 2000


def plain(value: Any, depth: int = MAX_DEPTH) -> Any:
    """`value` as JSON can carry it; objects become their type's name, because their repr may hold a secret."""
    if depth > 0 and isinstance(value, Mapping):
        return {str(key): plain(value[key], depth - 1) for key in list(value)[:MAX_ITEMS]}
    if depth > 0 and isinstance(value, (list, tuple)):
        return [plain(item, depth - 1) for item in value[:MAX_ITEMS]]
    if depth > 0 and isinstance(value, (set, frozenset)):
        return sorted((plain(item, depth - 1) for item in list(value)[:MAX_ITEMS]), key=str)
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)  # enumerations such as ssl.CERT_NONE are integers too
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    return _text(value)


def _text(value: Any) -> str:
    if isinstance(value, (bytes, bytearray)):
        return value.decode("utf-8", "replace")[:MAX_TEXT]
    if isinstance(value, os.PathLike):
        return str(os.fspath(value))
    return str(value)[:MAX_TEXT] if isinstance(value, str) else dotted(value)


def dotted(value: Any) -> str:
    """`module.name` of a class or function, or of an object's class."""
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{getattr(named, '__module__', '')}.{getattr(named, '__qualname__', named)}"


def number(value: Any) -> float | None:
    """`value` in seconds, or None when it is neither a number nor a timedelta."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bool) or value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def error(step: str, raised: BaseException) -> dict[str, Any]:
    """What went wrong: step, exception type and message, and the innermost frame that is the project's own."""
    file, line, module = _syntax_place(raised) or _innermost(raised)
    return {
        "step": step,
        "type": type(raised).__name__,
        "message": str(raised)[:MAX_TEXT],
        "missing": getattr(raised, "name", None) if isinstance(raised, ImportError) else None,
        "file": file,
        "line": line,
        "module": module,
    }


def is_project_file(path: str) -> bool:
    """Whether `path` is the project's own code: not ours, not the standard library's, not an installed package's."""
    if path.startswith("<"):
        return False
    path = os.path.realpath(path)
    if path.startswith(_OWN) or any(part in path for part in ("site-packages", "dist-packages")):
        return False
    return not any(path.startswith(root + os.sep) for root in _LIBRARIES)


_FILE = globals().get("__file__")  # piped, there is none, and frames are called `<intelli-ops NAME>`
_OWN = os.path.realpath(_FILE)[: -len("values.py")] if _FILE else "<"
_LIBRARIES = [os.path.realpath(sysconfig.get_paths()[name]) for name in ("stdlib", "platstdlib")]


def _syntax_place(raised: BaseException) -> Any:
    if isinstance(raised, SyntaxError) and raised.filename:
        return raised.filename, raised.lineno, None
    return None


def _innermost(raised: BaseException) -> Any:
    frames: list[Any] = list(traceback.walk_tb(raised.__traceback__))
    own = [(frame, line) for frame, line in frames if is_project_file(frame.f_code.co_filename)]
    if not own:
        return None, None, None
    frame, line = own[-1]
    return frame.f_code.co_filename, line, frame.f_globals.get("__name__")


def module_file(name: str) -> str | None:
    """The source file of an imported module."""
    file = getattr(sys.modules.get(name), "__file__", None)
    return file if isinstance(file, str) and file.endswith(".py") else None
