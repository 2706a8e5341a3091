"""The state folder: what runs here, kept so that nobody else can read it or lead it elsewhere."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

FOLDER = ".intelli-ops"
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)


class StateError(Exception):
    """The state folder cannot be trusted or used; the message says why and what to do."""


class Busy(Exception):
    """Somebody else holds the lock."""


class State:
    """Files of one project under `.intelli-ops/`: folder 0700, files 0600, symbolic links never followed."""

    def __init__(self, project: Path, *parts: str) -> None:
        self.root = _private_folder(project / FOLDER)
        with _usable(self.root), contextlib.suppress(FileExistsError), (self.root / ".gitignore").open("x") as ignore:
            ignore.write("*\n")
        for part in parts:
            self.root = _private_folder(self.root / part)

    def folder(self, name: str) -> Path:
        """A private folder inside this one."""
        return _private_folder(self.root / name)

    def write(self, name: str, value: Mapping[str, Any]) -> None:
        """Replace `name` by `value` as JSON: whoever reads sees the old content or the new one."""
        temporary = self.root / f".{name}.{os.getpid()}"
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(value, file, indent=1, default=str)
        temporary.replace(self.root / name)

    def read(self, name: str) -> dict[str, Any]:
        """What `write` left; empty when there is nothing, or nothing that can be understood."""
        try:
            descriptor = os.open(self.root / name, os.O_RDONLY | _NO_FOLLOW)
            with os.fdopen(descriptor, encoding="utf-8") as file:
                value = json.load(file)
        except (OSError, ValueError):
            return {}
        return value if isinstance(value, dict) else {}

    def remove(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            (self.root / name).unlink()

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold the lock `name`; raises Busy when another process does.

        The operating system holds it, not a pid in a file: it ends with the process, and a reused pid means nothing.
        """
        descriptor = os.open(self.root / f"{name}.lock", os.O_RDWR | os.O_CREAT | _NO_FOLLOW, 0o600)
        try:
            _acquire(descriptor)
            yield
        finally:
            os.close(descriptor)


def _private_folder(path: Path) -> Path:
    with _usable(path), contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700, parents=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise StateError(f"{path} is not a folder but should hold private state: remove it")
    if sys.platform != "win32":
        if found.st_uid != os.geteuid():
            raise StateError(f"{path} belongs to another user: remove it or work in a copy of your own")
        path.chmod(0o700)
    return path


@contextlib.contextmanager
def _usable(path: Path) -> Iterator[None]:
    """A read-only project, a full disk: nothing of ours is broken, so it is said as what it is."""
    try:
        yield
    except OSError as error:
        raise StateError(f"{path} cannot be used: {error.strerror or error}") from error


def _acquire(descriptor: int) -> None:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise Busy from error


def identity(pid: int) -> dict[str, Any]:
    """A process named so that a later process with the same pid is not mistaken for it."""
    import psutil

    try:
        return {"pid": pid, "create_time": psutil.Process(pid).create_time()}
    except psutil.Error:
        return {"pid": pid, "create_time": None}


def find(recorded: Mapping[str, Any]) -> Any | None:
    """The `psutil.Process` that `identity` recorded, if it is still the same one; None otherwise."""
    import psutil

    pid, created = recorded.get("pid"), recorded.get("create_time")
    if not isinstance(pid, int) or not isinstance(created, int | float):
        return None
    try:
        process = psutil.Process(pid)
        # On Linux the create time is derived from the boot time, which NTP may move by a few hundredths of a second.
        same = abs(process.create_time() - created) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return None
    return process if same else None


def wait_gone(recorded: Mapping[str, Any], timeout: float) -> bool:
    """Whether the recorded process ended within `timeout` seconds; one that its parent has not reaped yet has ended."""
    deadline, pause = time.monotonic() + timeout, threading.Event()
    while find(recorded):
        if time.monotonic() >= deadline:
            return False
        pause.wait(0.05)
    return True
