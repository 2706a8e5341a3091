"""`intelli-ops start-workers` beside `celery multi`: three workers ready, their memory, an idle fleet stopped.

python benchmarks/workers.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil
from check import private_redis
from common import Run, celery, clean_environment, copied_backend, ms, paired, show, tool, wait

from intelli_checks.dsn import Dsn
from intelli_checks.probes import fleet
from intelli_checks.probes.layout import Layout

QUEUES = ("ingestion_io", "charts_cpu", "ai")
READY_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Fleet:
    """The three workers of the reference system, started in one of two ways."""

    backend: Path
    env: Mapping[str, str]
    layout: Layout
    scratch: Path

    @property
    def multi(self) -> list[str]:
        """What both `celery multi` commands must be told, with the values of the queue policy."""
        place = [f"--workdir={self.backend}", f"--pidfile={self.scratch}/%n.pid", f"--logfile={self.scratch}/%n%I.log"]
        queues = [word for queue in QUEUES for word in (f"-Q:{queue}", queue)]
        slots = ["-c:ingestion_io", "4", "-c:charts_cpu", "2", "-c:ai", "2"]
        return [*QUEUES, "-l", "info", *queues, *slots, *place]

    def ours(self) -> tuple[float, float, float]:
        """Seconds until all consume, bytes the fleet then takes, seconds until all are gone."""
        start = [*tool(), "start-workers", "--detach", "--project", str(self.backend)]
        return self._cleanly(start, [*tool(), "stop-workers", "--project", str(self.backend)])

    def theirs(self) -> tuple[float, float, float]:
        """The same with `celery multi start` and `stopwait`."""
        stop = [*celery(), "-A", "config", "multi", "stopwait", *self.multi]
        return self._cleanly([*celery(), "-A", "config", "multi", "start", *self.multi], stop)

    def _cleanly(self, start: list[str], stop: list[str]) -> tuple[float, float, float]:
        try:
            return self._timed(start, stop)
        finally:  # after a failure: detached workers end for nobody
            for process in filter(self._is_ours, psutil.process_iter()):
                process.kill()

    def _timed(self, start: list[str], stop: list[str]) -> tuple[float, float, float]:
        began = time.perf_counter()
        starting = subprocess.Popen(start, cwd=self.backend, env=dict(self.env), stdout=subprocess.DEVNULL)
        wait(self._all_consume, READY_SECONDS, "three workers that consume")
        ready = time.perf_counter() - began
        starting.wait(READY_SECONDS)
        pids = [process for process in psutil.process_iter() if self._is_ours(process)]
        memory = sum(process.memory_full_info().pss for process in pids)
        began = time.perf_counter()
        subprocess.run(stop, cwd=self.backend, env=dict(self.env), stdout=subprocess.DEVNULL, timeout=90, check=True)
        # A zombie is gone; when init takes note of it is another matter, and took 1.5 s here.
        wait(lambda: not any(map(self._is_ours, pids)), READY_SECONDS, "all workers to be gone")
        return ready, memory, time.perf_counter() - began

    def _all_consume(self) -> bool:
        found = fleet.gather(self.layout, 5, declared=True)
        return {queue for node in found.nodes for queue in node.queues} >= set(QUEUES)

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.cwd() == str(self.backend) and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False


def main() -> None:
    """Measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    memory: dict[str, list[float]] = {"ours": [], "theirs": []}
    with ExitStack() as stack:
        folder = stack.enter_context(copied_backend())
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="intelli-bench-")))
        redis = private_redis(stack, scratch)
        names = ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "REDIS_URL")
        env = {**clean_environment(), **dict(zip(names, map(redis.url, (0, 0, 1)), strict=True))}
        fleet_ = Fleet(folder / "backend", env, Layout.of(Dsn(redis.url(0))), scratch)

        def run(name: str) -> Run:
            ready, taken, stopped = getattr(fleet_, name)()
            memory[name].append(taken)
            return Run(ready, stopped)

        medians = paired(rounds, ours=lambda: run("ours"), theirs=lambda: run("theirs"))
    ours, theirs = medians["ours"], medians["theirs"]
    megabytes = {name: statistics.median(values) / 1e6 for name, values in memory.items()}
    ratio = megabytes["ours"] / megabytes["theirs"]
    rows = [
        ("`intelli-ops start-workers` / `stop-workers`", ms(ours.wall), f"{megabytes['ours']:.0f} MB", ms(ours.cpu)),
        ("`celery multi start` / `stopwait`", ms(theirs.wall), f"{megabytes['theirs']:.0f} MB", ms(theirs.cpu)),
        ("ours : theirs", f"{ours.wall / theirs.wall:.2f}", f"{ratio:.2f}", f"{ours.cpu / theirs.cpu:.2f}"),
    ]
    note = (
        "Three workers of the reference system; ready means that all consume, memory is the proportional set size of "
        f"their eleven processes then. Medians of {rounds}, in turns."
    )
    show("Starting and stopping", ("command", "three workers ready", "memory", "idle fleet stopped"), rows, note)


if __name__ == "__main__":
    main()
