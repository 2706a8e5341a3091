"""One process under supervision: started so that it cannot outlive us, stopped step by step."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from intelli_ops.supervisor.logs import Pump, RotatingFile
from intelli_ops.supervisor.platforms import Platform, Step
from intelli_ops.supervisor.state import identity
from intelli_ops.supervisor.winjob import Job


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether a unit does its work, and the words for it: its address, or what it still waits for."""

    ready: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Drain:
    """What a unit that is to stop still does."""

    busy: tuple[str, ...] = ()
    """A line for each thing it still runs; empty once it is idle."""
    known: bool = True
    """False when it could not be asked."""


@dataclass(frozen=True, slots=True)
class Service:
    """What to run and how to know that it works."""

    name: str
    argv: tuple[str, ...]
    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The whole environment of the process; passwords travel here, never in `argv`, which every user can read."""
    needs: tuple[str, ...] = ()
    """Units that must be ready before this one starts, and that are stopped after it."""
    ready: Callable[[], Readiness] | None = None
    """Asked on a thread until it says yes; must come back within a second or so. None: ready once it runs."""
    config: bytes | None = field(default=None, repr=False)
    """Written to its standard input."""
    once: bool = False
    """A job to be done before others start, not a server."""
    patience: float = 10.0
    """Seconds a warm stop may take before it gets colder."""
    drain: Callable[[], Drain] | None = None
    """Told to take no new work and asked what still runs, again and again, before a warm stop."""
    alive: Callable[[], Readiness] | None = None
    """Asked once it is ready, every `alive_every` seconds; after `misses` times no in a row it is started anew."""
    alive_every: float = 5.0
    misses: int = 4


class Child:
    """One life of a service's process."""

    def __init__(self, service: Service, platform: Platform, guard: Guard, log: RotatingFile, show: Any) -> None:
        """Start it; raises OSError when that cannot be done at all."""
        if threading.current_thread() is not threading.main_thread():
            # The kernel's parent-death signal follows the thread that forked, not the process.
            raise RuntimeError("processes are started from the main thread only")
        self.service, self.platform, self.guard = service, platform, guard
        self.process: subprocess.Popen[bytes] = subprocess.Popen(  # noqa: S603 - argv list of our own making
            platform.wrap(service.argv, os.getpid()),
            cwd=service.directory,
            env=dict(service.environment),
            stdin=subprocess.DEVNULL if service.config is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            **platform.popen_options(),
        )
        self.started = time.monotonic()
        self.identity = identity(self.pid)
        guard.watch(self.pid)
        self.job = Job(int(vars(self.process)["_handle"])) if platform.windows else None  # no public name for it
        assert self.process.stdout is not None  # noqa: S101 - PIPE above
        self.pump = Pump(service.name, self.process.stdout, log, show)  # type: ignore[arg-type] # raw, unbuffered
        self.pump.start()
        self._configure()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def uptime(self) -> float:
        return time.monotonic() - self.started

    @property
    def tail(self) -> list[str]:
        """The last lines it wrote."""
        return list(self.pump.tail)

    def _configure(self) -> None:
        source: IO[bytes] | None = self.process.stdin
        if source is None or self.service.config is None:
            return
        with contextlib.suppress(OSError), source:  # one that ended already is found by `poll`
            source.write(self.service.config)

    def poll(self) -> int | None:
        """The exit code once it ended (negative: the signal), having swept away what it left in its group."""
        if self.process.returncode is None:
            if self._group_is_ours():
                self._kill_group()
            if self.process.poll() is not None:
                self._bury()
        return self.process.returncode

    def _group_is_ours(self) -> bool:
        """Whether it ended and is not reaped yet, so that its pid, and its group's, cannot belong to anybody else."""
        if sys.platform == "win32" or not hasattr(os, "waitid"):  # on macOS only since Python 3.13
            return False
        with contextlib.suppress(ChildProcessError):
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        return False

    def _bury(self) -> None:
        self.guard.forget(self.pid)
        if self.job:
            self.job.close()
        self.pump.join(timeout=1.0)  # its last words; a grandchild that left the group may hold the pipe open

    def stop(self, step: Step) -> None:
        """Ask, or tell, it to end; see `platforms.Step`."""
        if self.process.returncode is not None:
            return
        number = self.platform.signal_for(step)
        if number is not None:
            with contextlib.suppress(OSError):
                self.process.send_signal(number)
        elif self.job:
            self.job.kill()
        else:
            self._kill_group()

    def _kill_group(self) -> None:
        if sys.platform == "win32":
            self.process.kill()
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


class Guard:
    """The process that ends our children should we be killed; see `guard.py`."""

    def __init__(self, platform: Platform) -> None:
        command = platform.guard()
        self.process = command and subprocess.Popen(  # noqa: S603 - our own script
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, bufsize=0, start_new_session=True
        )

    def watch(self, group: int) -> None:
        self._tell(f"+{group}\n")

    def forget(self, group: int) -> None:
        self._tell(f"-{group}\n")

    def close(self) -> None:
        """End the guard; call when every child is gone."""
        if self.process and self.process.stdin:
            self.process.stdin.close()
            self.process.wait(timeout=5)

    def _tell(self, line: str) -> None:
        if self.process and self.process.stdin:
            with contextlib.suppress(OSError):  # somebody killed it: the shim still does its part
                self.process.stdin.write(line.encode())
