"""Files that are either the old ones or the new ones, never half of either."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from pathlib import Path


def replace_file(path: Path, content: str | bytes, *, private: bool = False) -> None:
    """Write `content` (text as UTF-8) beside `path` and rename it into place; `private` makes it mode 0600.

    Raises OSError, before anything is changed. A link stays a link. What is no regular file (a FIFO, or /dev/stdout,
    although that may lead to one) is written to as it is.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    target = path.resolve()
    if path.is_relative_to("/dev") or (target.exists() and not target.is_file()):
        with path.open("ab") as file:
            file.write(data)
        return
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if not private:
            Path(name).chmod(_usual_mode(target))
        Path(name).replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def refusal(path: Path) -> str | None:
    """Why `path` could not be written; asked before the work whose result would be lost with it."""
    target = path.resolve()
    if target.is_dir():
        return os.strerror(errno.EISDIR)
    if not target.parent.is_dir():
        return os.strerror(errno.ENOENT)
    usual = target.is_file() or not target.exists()  # else a device or a FIFO, whose folder need not be ours
    return None if not usual or os.access(target.parent, os.W_OK) else os.strerror(errno.EACCES)


def _usual_mode(target: Path) -> int:
    """What `target` has, or what a new file would get; other users (a metrics collector) may have to read it."""
    try:
        return target.stat().st_mode & 0o777
    except OSError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask
