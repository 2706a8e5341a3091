"""Replace a file's content so that a reader, or a crash, only ever sees the old bytes or the new ones."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


class Unsuitable(Exception):
    """The path is not a file this tool may edit."""


class Busy(Exception):
    """Somebody else is changing the file right now."""


def editable(path: Path, root: Path) -> Path:
    """The regular file behind `path`, links followed; raises Unsuitable for anything else or outside `root`."""
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
        raise Unsuitable(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    if not real.is_relative_to(root.resolve()):
        raise Unsuitable(f"{path} leads outside the project ({real})")
    if not stat.S_ISREG(real.stat().st_mode):
        raise Unsuitable(f"{path} is not a regular file")
    return real


def rewrite(path: Path, change: Callable[[bytes], bytes], *, root: Path) -> bool:
    """Apply `change` to the file's bytes; False when they stay the same, and then the file is not touched.

    Mode, owner, extended attributes and a symbolic link in front of the file survive. Raises Busy when another run
    holds the file or when it changed under us, Unsuitable as `editable` does, and whatever `change` raises: in each
    case the file is as it was.
    """
    real = editable(path, root)
    with _locked(real, root) as temporary:
        before = real.read_bytes()
        after = change(before)
        if after == before:
            return False
        _write_beside(real, temporary, after)
        if real.read_bytes() != before:
            raise Busy(f"{path} changed while it was being edited; nothing was written")
        temporary.replace(real)
        _sync_folder(real.parent)
        return True


@contextmanager
def _locked(real: Path, root: Path) -> Iterator[Path]:
    """Hold the only permission to edit `real`, and give the name of the temporary file that goes with it."""
    from filelock import FileLock, Timeout

    state = root / ".intelli-ops"
    temporary = real.with_name(f".{real.name}.intelli-ops")
    try:
        state.mkdir(mode=0o700, exist_ok=True)
        lock = FileLock(state / "eager.lock", timeout=0, mode=0o600)
        lock.acquire()
    except Timeout as error:
        raise Busy(f"{real} is being edited by another run") from error
    except OSError as error:
        raise Unsuitable(f"{state} cannot be used: {error.strerror or error}") from error
    try:
        temporary.unlink(missing_ok=True)  # left by a run that was killed
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
        lock.release()


def _write_beside(real: Path, temporary: Path, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    # Settings hold secrets: the copy is at no time readable by more people than the file.
    with os.fdopen(os.open(temporary, flags, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    shutil.copystat(real, temporary)
    os.utime(temporary)  # copystat brings the old time along, and autoreloaders watch it
    status = real.stat()
    if sys.platform != "win32" and (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
        os.chown(temporary, status.st_uid, status.st_gid)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot open a folder; NTFS journals the rename
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
