"""Where the project's own web server listens on this machine, when nobody said."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from intelli_checks.probes.processes import commands
from intelli_checks.target import Target

if TYPE_CHECKING:
    import psutil

ASGI = ("daphne", "uvicorn", "hypercorn", "granian")
WSGI = ("gunicorn", "waitress-serve")
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - what a server bound to, not what we bind to


@dataclass(frozen=True, slots=True)
class WebProcess:
    """A process of the project's web server, main or worker."""

    pid: int
    state: str
    """psutil's word."""
    development: bool = False
    """`runserver`, which somebody may have put aside with Ctrl-Z."""
    closes_after: int | None = None
    """Seconds after which it closes every WebSocket, where its command line says so (`daphne --websocket_timeout`)."""

    @property
    def stopped(self) -> bool:
        """Suspended by SIGSTOP, Ctrl-Z or a debugger: what reaches it waits until it is told to go on."""
        return self.state in {"stopped", "tracing-stop"}


def processes(target: Target) -> tuple[WebProcess, ...]:
    """Every process of a web server that runs in the project's folder, with what it forked."""
    import psutil

    place = target.places[0] if target.places else None
    if place is None or place.remote:
        return ()
    found: dict[int, WebProcess] = {}
    for server, words in commands():
        if server_rank(words) is not None and runs_in(server, target.directory):
            with suppress(psutil.Error):  # gone, or not shown to us
                limit = closes_after(words)
                for process in (server, *server.children(recursive=True)):
                    state = str(process.status())
                    found[process.pid] = WebProcess(process.pid, state, "runserver" in words, limit)
    return tuple(found[pid] for pid in sorted(found))


def closes_after(words: list[str]) -> int | None:
    """What daphne's command line gives its sockets; -1 is for ever (daphne.cli, `--websocket_timeout`)."""
    told = re.search(r"--websocket_timeout[ =](\d+)", " ".join(words))
    return int(told[1]) if told else None


def address(target: Target) -> str | None:
    """Scheme, host and port of a web server that runs in the project's folder; None without one."""
    return next(iter(addresses(target)), None)


def addresses(target: Target) -> tuple[str, ...]:
    """All of them, those that take WebSockets first."""
    place = target.places[0] if target.places else None
    return () if place is None or place.remote else _addresses(target.directory)


def _addresses(directory: Path) -> tuple[str, ...]:
    """First the one that takes WebSockets, as a proxy would choose; the lowest port decides between equals."""
    found = []
    for process, words in commands():
        rank = server_rank(words)
        if rank is not None and runs_in(process, directory):
            found += [(rank, port, host) for host, port in _listening(process)]
    return tuple(dict.fromkeys(f"http://{host}:{port}" for _, port, host in sorted(found)))


def server_rank(words: list[str]) -> int | None:
    """0 for an ASGI server, 1 for a WSGI server, None for anything else and for TLS, whose name we cannot know."""
    names = [word.replace("\\", "/").rpartition("/")[2].removesuffix(".exe") for word in words]
    told = " ".join(words).lower()
    if "ssl" in told or "certfile" in told:
        return None
    program = [name for name in names[:4] if name in (*ASGI, *WSGI)]
    if program:
        return int(program[0] in WSGI and not any(server in told for server in ASGI))
    return 0 if {"manage.py", "runserver"} <= set(names) or {"django-admin", "runserver"} <= set(names) else None


def runs_in(process: psutil.Process, directory: Path) -> bool:
    """Whether a process was started in `directory` or below it, as far as we are told."""
    import psutil

    try:
        return Path(process.cwd()).is_relative_to(directory.resolve())
    except psutil.Error:
        return False


def _listening(process: psutil.Process) -> list[tuple[str, int]]:
    import psutil

    try:
        sockets = [one.laddr for one in process.net_connections("tcp") if one.status == psutil.CONN_LISTEN]
    except psutil.Error:
        return []
    return [(ANY_ADDRESS.get(at.ip, f"[{at.ip}]" if ":" in at.ip else at.ip), at.port) for at in sockets]
