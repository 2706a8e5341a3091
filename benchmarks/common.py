"""What the benchmarks share: a reference system of their own, paired runs, medians, a table to paste."""

from __future__ import annotations

import json
import os
import platform
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
UP_SECONDS = 90.0
COMMAND_SECONDS = 60.0
_LEFT_OUT = ("PYTHONDONTWRITEBYTECODE", "CELERY_", "REDIS_", "DATABASE_", "DJANGO_", "MEDIA_", "INTELLI_")


@dataclass(frozen=True, slots=True)
class System:
    """A reference system that `intelli-ops up` runs."""

    folder: Path
    record: Mapping[str, Any]
    pid: int

    @property
    def backend(self) -> Path:
        """The Django project's folder."""
        return self.folder / "backend"

    @property
    def state(self) -> Path:
        """Database, media and logs."""
        return self.folder / ".intelli-ops" / "up"

    def processor(self) -> float:
        """Seconds of processor time that the whole system has used so far, processes that ended included."""
        import psutil

        up = psutil.Process(self.pid)
        return sum(sum(process.cpu_times()[:4]) for process in [up, *up.children(recursive=True)])

    @property
    def environment(self) -> dict[str, str]:
        """What a command must be told to look at this system."""
        return {
            **clean_environment(),
            "CELERY_BROKER_URL": self.record["broker"],
            "CELERY_RESULT_BACKEND": self.record["results"],
            "REDIS_URL": self.record["layer"],
            "DATABASE_URL": f"sqlite:///{self.state / 'db.sqlite3'}",
            "MEDIA_ROOT": self.record["media"],
            "INTELLI_OPS_WEB": self.record["web"],
        }


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a command."""

    wall: float
    """Seconds."""
    cpu: float
    """Seconds of processor time, children included."""


def clean_environment() -> dict[str, str]:
    """This environment without what would point a command at another system, or keep one contestant uncompiled."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_LEFT_OUT)}


@contextmanager
def copied_backend() -> Iterator[Path]:
    """A folder of its own with a copy of `backend/`, so that nothing meets what runs in the checkout."""
    with tempfile.TemporaryDirectory(prefix="intelli-bench-") as name:
        folder = Path(name).resolve()
        ignored = shutil.ignore_patterns("__pycache__", "*.sqlite3*", ".env", ".venv", "media", ".intelli-ops")
        shutil.copytree(ROOT / "backend", folder / "backend", ignore=ignored)
        yield folder


@contextmanager
def reference_system() -> Iterator[System]:
    """Run `intelli-ops up` on a Redis of its own until the block ends; raises RuntimeError when it does not come up."""
    with copied_backend() as folder:
        log = folder / "up.log"
        with log.open("wb") as output:
            up = subprocess.Popen(
                [*tool(), "up", "--quiet", "--project", str(folder)],
                env=clean_environment(), stdout=output, stderr=output, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        try:
            record = folder / ".intelli-ops" / "up" / "system.json"
            wait(lambda: up.poll() is not None or _ready(record), UP_SECONDS, "the reference system to come up")
            if up.poll() is not None:
                raise RuntimeError(log.read_text("utf-8", "replace")[-2000:])
            yield System(folder, json.loads(record.read_text("utf-8")), up.pid)
        finally:
            up.send_signal(signal.SIGINT)
            up.wait(UP_SECONDS)


def _ready(record: Path) -> bool:
    try:
        return bool(json.loads(record.read_text("utf-8"))["ready"])
    except (OSError, ValueError, KeyError):
        return False


def tool() -> list[str]:
    """`intelli-ops` as it is installed beside this interpreter."""
    return [str(Path(sys.executable).parent / "intelli-ops")]


def celery() -> list[str]:
    """`celery` as it is installed beside this interpreter."""
    return [str(Path(sys.executable).parent / "celery")]


def measure(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], codes: Sequence[int] = (0,)) -> Run:
    """Run a command to its end; raises RuntimeError when its exit code is none of `codes`."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(argv, cwd=cwd, env=dict(env), capture_output=True, timeout=COMMAND_SECONDS, check=False)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in codes:
        raise RuntimeError(f"{' '.join(argv)} exited {done.returncode}\n{done.stdout.decode()}{done.stderr.decode()}")
    return Run(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def paired(rounds: int, **contestants: Callable[[], Run]) -> dict[str, Run]:
    """Medians of `rounds` runs of each, taken in turns, so that whatever else the machine does meets all of them."""
    runs: dict[str, list[Run]] = {name: [] for name in contestants}
    for contestant in contestants.values():
        contestant()  # once for the caches of bytecode and files
    for number in range(rounds):
        order = list(contestants.items())
        for name, contestant in order if number % 2 else reversed(order):
            runs[name].append(contestant())
    return {name: median(several) for name, several in runs.items()}


def median(runs: Sequence[Run]) -> Run:
    """The median of each figure."""
    return Run(statistics.median(run.wall for run in runs), statistics.median(run.cpu for run in runs))


def wait(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Return as soon as `condition` holds; raises TimeoutError after `seconds`."""
    ends = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > ends:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        time.sleep(0.02)


def ms(seconds: float) -> str:
    """Milliseconds, as precise as they deserve."""
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.2f} ms"


def show(title: str, header: Sequence[str], rows: Sequence[Sequence[object]], note: str = "") -> None:
    """Print one Markdown section, with the machine it was measured on."""
    lines = [f"### {title}", "", *([note, ""] if note else []), _row(header), _row(["---"] * len(header))]
    print("\n".join([*lines, *map(_row, rows), "", machine(), ""]), flush=True)


def _row(cells: Sequence[object]) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def machine() -> str:
    """One line about where this ran, and how busy it was."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("celery", "kombu", "redis", "django", "channels"))
    load = f", load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    where = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores{load}"
    return f"Measured {time.strftime('%Y-%m-%d')} on {where}; Python {platform.python_version()}, {packages}."
