"""What this machine tells about itself, as far as it bears on the system that runs on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Disk:
    """A file system, asked for by a path on it."""

    path: str
    used_for: str
    total: int
    free: int
    """Bytes an ordinary user may still write."""
    inodes_free: float | None = None
    """Share of inodes left; None where the file system does not count them."""


@dataclass(frozen=True, slots=True)
class OpenFiles:
    """A process of the system and how many files and sockets it holds."""

    pid: int
    name: str
    open: int
    limit: int
    """Soft RLIMIT_NOFILE."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Who listens on a port of this machine."""

    port: int
    address: str
    pid: int | None
    name: str
    """Empty where the owner is somebody else's process and not shown to us."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that listens on a port, and its state as psutil names it."""

    pid: int
    name: str
    state: str

    @property
    def stopped(self) -> bool:
        """Whether somebody stopped it (SIGSTOP, a debugger): it goes on only when it is told to."""
        return self.state in {"stopped", "tracing-stop"}

    def __str__(self) -> str:
        doing = "stopped (SIGSTOP, debugger)" if self.stopped else f"busy, blocked or paused (state {self.state})"
        return f"{self.name} (pid {self.pid}) is {doing}"


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of the machine and of the control group (container, systemd unit) we are in; None: no limit, not Linux."""

    total: int
    available: int
    group_limit: int | None = None
    group_used: int | None = None
    group_kills: int = 0
    """Processes of this group the kernel killed for lack of memory (`oom_kill` of memory.events)."""
    stalled: float | None = None
    """Percent of the last minute in which somebody waited for memory (PSI, `some avg60`)."""


@dataclass(frozen=True, slots=True)
class HostFacts:
    """One look at this machine."""

    disks: tuple[Disk, ...]
    files: tuple[OpenFiles, ...]
    listeners: tuple[Listener, ...]
    memory: Memory
    kernel: Mapping[str, str] = field(default_factory=dict)
    """Linux settings a Redis server depends on, by name; empty elsewhere."""
