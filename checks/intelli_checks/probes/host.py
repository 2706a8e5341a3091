"""Look at this machine: disks, open files, listening ports, memory, kernel settings. Reads only; Linux knows most."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from intelli_checks.probes.host_facts import Disk, HostFacts, Listener, Memory, OpenFiles, Owner
from intelli_checks.probes.processes import commands
from intelli_checks.text import safe

OURS = ("celery", "daphne", "uvicorn", "gunicorn", "redis-server", "valkey-server", "manage.py")
"""Words of the command lines whose open files matter."""
_KERNEL = {
    "vm.overcommit_memory": "proc/sys/vm/overcommit_memory",
    "net.core.somaxconn": "proc/sys/net/core/somaxconn",
    "transparent_hugepage": "sys/kernel/mm/transparent_hugepage/enabled",
}
_WORDS_OF_A_COMMAND = 4


def gather(paths: Mapping[str, Path], ports: Iterable[int], root: Path = Path("/")) -> HostFacts:
    """Facts about this machine; `paths` by what they are used for, `root` is where /proc and /sys are found."""
    return HostFacts(
        disks=tuple(_disks(paths)),
        files=tuple(_open_files()),
        listeners=tuple(listeners(ports)),
        memory=memory(root),
        kernel={name: text for name, path in _KERNEL.items() if (text := _read(root / path))},
    )


def _disks(paths: Mapping[str, Path]) -> Iterator[Disk]:
    seen: set[int] = set()
    for used_for, path in paths.items():
        try:
            device = path.stat().st_dev
            usage = shutil.disk_usage(path)
        except OSError:
            continue
        if device not in seen:
            seen.add(device)
            yield Disk(safe(path), used_for, usage.total, usage.free, _inodes_free(path))


def _inodes_free(path: Path) -> float | None:
    if not hasattr(os, "statvfs"):
        return None
    told = os.statvfs(path)
    return told.f_favail / told.f_files if told.f_files else None


def _open_files() -> Iterator[OpenFiles]:
    import psutil

    if sys.platform != "linux":
        return  # nobody tells the limit of another process there
    for process, command in commands():
        words = [Path(word).name for word in command[:_WORDS_OF_A_COMMAND]]
        ours = next((name for name in OURS for word in words if word.startswith(name)), None)
        if ours is None:
            continue
        try:
            limit = process.rlimit(psutil.RLIMIT_NOFILE)[0]
            yield OpenFiles(process.pid, ours, process.num_fds(), limit)
        except (psutil.Error, OSError):
            continue  # somebody else's, or gone meanwhile


def listeners(ports: Iterable[int]) -> Iterator[Listener]:
    """Who listens on `ports` of this machine, as far as that is shown to us."""
    import psutil

    wanted = frozenset(ports)
    if not wanted:
        return
    try:
        connections = psutil.net_connections("tcp")
    except (psutil.Error, OSError):
        return  # macOS shows them to root only
    for found in connections:
        if found.status == psutil.CONN_LISTEN and found.laddr and found.laddr[1] in wanted:
            yield Listener(found.laddr[1], found.laddr[0], found.pid, _name(found.pid))


def owner(port: int) -> Owner | None:
    """The process behind a port of this machine; None when that is not shown to us."""
    import psutil

    try:
        pid = next((found.pid for found in listeners({port}) if found.pid), None)
        process = psutil.Process(pid) if pid else None
        return Owner(process.pid, safe(process.name()), process.status()) if process else None
    except psutil.Error:
        return None


def _name(pid: int | None) -> str:
    import psutil

    try:
        return safe(psutil.Process(pid).name()) if pid else ""
    except psutil.Error:
        return ""


def memory(root: Path) -> Memory:
    """Memory of the machine, and of our control group where there is one (cgroup v2)."""
    import psutil

    machine = psutil.virtual_memory()
    group = _group(root)
    events = _pairs(_read(group / "memory.events"))
    return Memory(
        machine.total,
        machine.available,
        group_limit=_whole(_read(group / "memory.max")),
        group_used=_whole(_read(group / "memory.current")),
        group_kills=events.get("oom_kill", 0),
        stalled=_stalled(_read(root / "proc/pressure/memory")),
    )


def _group(root: Path) -> Path:
    """The folder of our own control group; in a container it is the mount's root."""
    line = next((line for line in _read(root / "proc/self/cgroup").splitlines() if line.startswith("0::")), "0::/")
    own = root / "sys/fs/cgroup" / line.removeprefix("0::").strip("/")
    return own if (own / "memory.events").exists() else root / "sys/fs/cgroup"


def _stalled(text: str) -> float | None:
    """`some avg10=0.00 avg60=0.12 ...` of a pressure file."""
    for line in text.splitlines():
        if line.startswith("some"):
            fields = dict(part.split("=") for part in line.split()[1:])
            return float(fields.get("avg60", 0))
    return None


def _pairs(text: str) -> dict[str, int]:
    return {
        name: int(value) for name, _, value in (line.partition(" ") for line in text.splitlines()) if value.isdigit()
    }


def _whole(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
