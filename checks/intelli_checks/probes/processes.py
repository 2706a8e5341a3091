"""Celery's processes on this machine, as the operating system sees them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from intelli_checks.probes.workers import WorkerFleet
from intelli_checks.text import safe

if TYPE_CHECKING:
    from pathlib import Path

    import psutil

SLACK, IMPORTING = 5.0, 120.0
"""Seconds by which two clocks may differ, and after which a new process is a worker that counts its uptime."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process."""

    pid: int
    parent: int
    status: str
    """psutil's word: `running`, `sleeping`, `stopped`, `zombie` ..."""
    age: float
    """Seconds since it was started."""
    started: float = 0.0
    """When, in seconds since the epoch."""
    user: int | None = None
    """Real user id; None on Windows."""
    command: str = ""
    """Command line with secrets masked; empty for a process that was not asked for it."""
    ports: tuple[int, ...] = ()
    """Local TCP ports of its connections: how Redis's CLIENT LIST calls it."""
    peers: tuple[str, ...] = ()
    """`ip:port` at the other end of each connection that stands."""
    children: tuple[Process, ...] = ()
    waits_in: str = ""
    """The kernel function it sleeps in (Linux `/proc/PID/wchan`), where it may be read."""
    directory: str = ""
    memory: int = 0
    """Resident set in bytes."""
    share: float = 0.0
    """The same, as a part of the machine's memory."""

    @property
    def stopped(self) -> bool:
        """Suspended by SIGSTOP, SIGTSTP or a debugger."""
        return self.status in {"stopped", "tracing-stop"}


def of_pids(pids: Iterable[int], *, parent: int | None = None) -> dict[int, Process]:
    """What the operating system says about `pids`, leaving out those that are gone or not children of `parent`."""
    import psutil

    found = {}
    for pid in pids:
        try:
            process = psutil.Process(pid)
            if parent is None or process.ppid() == parent:
                found[pid] = _read(process)
        except psutil.Error:
            continue
    return found


def commands() -> Iterator[tuple[psutil.Process, list[str]]]:
    """Every process of this machine and its command line.

    psutil shares its objects, and what it read of them, between the threads that ask: all must ask for the same.
    """
    import psutil

    for process in psutil.process_iter(["cmdline"]):
        yield process, process.info["cmdline"] or []


def celery(role: str) -> tuple[Process, ...]:
    """Every `celery worker` or `celery beat` on this machine (`role`), main processes with their children."""
    import psutil

    found: list[psutil.Process] = []
    for process, words in commands():
        if is_celery(words, role):
            found.append(process)
    mains = {process.pid for process in found}
    told = []
    for process in found:
        try:
            if process.ppid() not in mains:
                told.append(_read(process, whole=True))
        except psutil.Error:
            continue
    return tuple(told)


def is_celery(words: list[str], role: str) -> bool:
    """Whether a command line starts Celery's `worker` or `beat`, in any of the usual forms.

    Where setproctitle is installed Celery puts a title in its place, with blanks for the rest of the old one:
    `[celeryd: NAME] -active- (-A shop worker -B)`, `[celery beat] -A shop beat`.
    """
    titled = bool(words) and words[0].startswith("[celery")
    words = " ".join(words).replace("(", " ").replace(")", " ").split() if titled else words
    if role == "beat" and any(word in {"-B", "--beat"} for word in words) and is_celery(words, "worker"):
        return True
    if titled:
        return words[0] == "[celeryd:" if role == "worker" else words[:2] == ["[celery", f"{role}]"]
    names = [word.replace("\\", "/").rpartition("/")[2].removesuffix(".exe") for word in words[:8]]
    return role in words and "celery" in names


def _read(process: psutil.Process, *, whole: bool = False) -> Process:
    import psutil

    with process.oneshot():
        told = Process(
            pid=process.pid,
            parent=process.ppid(),
            status=str(process.status()),
            age=max(0.0, time.time() - process.create_time()),
            started=process.create_time(),
            user=process.uids().real if hasattr(process, "uids") else None,
            memory=process.memory_info().rss,
            share=process.memory_percent() / 100,
        )
    if not whole:
        return told
    children = []
    for child in process.children():
        try:
            children.append(_read(child))
        except psutil.Error:
            continue
    return replace(
        told,
        command=safe(" ".join(process.cmdline())),
        ports=_ports(process),
        peers=_peers(process),
        children=tuple(children),
        waits_in=waits_in(process.pid),
        directory=_directory(process),
    )


def _directory(process: psutil.Process) -> str:
    import psutil

    try:
        return process.cwd()
    except psutil.Error:
        return ""


def sees_our_files(pid: int) -> bool:
    """Whether a process has our root directory: in a container the same path is another file."""
    from pathlib import Path

    try:
        return not Path("/proc/self").exists() or Path(f"/proc/{pid}/root").samefile("/")
    except OSError:
        return False


def _ports(process: psutil.Process) -> tuple[int, ...]:
    import psutil

    try:
        return tuple(connection.laddr.port for connection in process.net_connections("tcp") if connection.laddr)
    except psutil.Error:
        return ()


def _peers(process: psutil.Process) -> tuple[str, ...]:
    import psutil

    try:
        found = process.net_connections("tcp")
    except psutil.Error:
        return ()
    standing = [one.raddr for one in found if one.raddr and one.status == psutil.CONN_ESTABLISHED]
    return tuple(f"{address.ip}:{address.port}" for address in standing)


def waits_in(pid: int) -> str:
    """Where the kernel holds a sleeping process, or an empty string."""
    from pathlib import Path

    try:
        return Path(f"/proc/{pid}/wchan").read_text().strip().removeprefix("0")
    except OSError:
        return ""


def newest_source(directory: str) -> tuple[str, float] | None:
    """The project's Python file that was changed last and when; None without one."""
    newest: tuple[str, float] | None = None
    for path in sources(directory):
        try:
            changed = path.stat().st_mtime
        except OSError:
            continue
        if newest is None or changed > newest[1]:
            newest = str(path), changed
    return newest


def sources(directory: str, limit: int = 4000) -> Iterator[Path]:
    """The Python files of a project, `limit` of them at most."""
    import os
    from pathlib import Path

    seen = 0
    for folder, folders, files in os.walk(directory):
        folders[:] = [name for name in folders if name not in _NOT_SOURCE and not name.startswith(".")]
        for name in files:
            if not name.endswith(".py"):
                continue
            seen += 1
            if seen > limit:
                return
            yield Path(folder) / name


_NOT_SOURCE = frozenset(
    {"venv", "env", "node_modules", "site-packages", "__pycache__", "tests", "test", "build", "dist"}
)


def of_fleet(fleet: WorkerFleet) -> dict[int, Process]:
    """The processes of answering nodes, where they run here: a pool's child must have the node's pid as parent."""
    found: dict[int, Process] = {}
    for node in fleet.nodes:
        children = of_pids(node.processes, parent=node.pid)
        if children or _runs_celery(node.pid, fleet.taken - (node.uptime or 0.0)):
            main = {pid: _named(one) for pid, one in of_pids([node.pid]).items()}
            found |= {**main, **children}
    return found


def _named(main: Process) -> Process:
    """A worker's main process with its command line, and its directory where that is one of ours."""
    import psutil

    try:
        process = psutil.Process(main.pid)
        command = safe(" ".join(process.cmdline()))
    except psutil.Error:
        return main
    return replace(main, command=command, directory=_directory(process) if sees_our_files(main.pid) else "")


def option(words: Sequence[str], name: str) -> str:
    """The value of an option, in any of the ways to write it; empty where it is not given."""
    attached = f"{name}=" if name.startswith("--") else name
    for word, following in zip(words, [*words, ""][1:], strict=True):
        if word == name:
            return following
        if word.startswith(attached) and len(word) > len(attached):
            return word.removeprefix(attached)
    return ""


def _runs_celery(pid: int, since: float) -> bool:
    """Whether the process is a worker that came up at that time; another container has the same numbers."""
    import psutil

    try:
        process = psutil.Process(pid)
        return is_celery(process.cmdline(), "worker") and -SLACK < since - process.create_time() < IMPORTING
    except psutil.Error:
        return False
