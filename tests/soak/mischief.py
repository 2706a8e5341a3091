"""Random faults, the same for the same seed: workers, Redis, the web process and the network are killed and broken."""

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import psutil

PAUSE_SECONDS = (3.0, 9.0)  # between two faults
FREEZE_SECONDS, BROKEN_SECONDS = 3.0, 4.0


class Ground(NamedTuple):
    """What both systems stand on, and how it will be shaken."""

    redis: Any
    link: Any
    seconds: float
    seed: int

    def through(self, url: str) -> str:
        """The URL of the Redis, over the network that breaks."""
        return str(self.link.redirect(url))


class Mischief:
    """What a supervisor would start again is started again; nothing else is mended for the system."""

    def __init__(self, ground: Ground, start_worker: Callable[[], Any], start_web: Callable[[], Any] | None) -> None:
        self.redis, self.link, self.start_worker, self.start_web = ground.redis, ground.link, start_worker, start_web
        self.spared, self.worker = start_worker().wait_consuming(), start_worker()
        self.gave_up = 0  # how often the worker that nothing was done to ended by itself
        self.web = start_web() if start_web else None
        self.done: Counter[str] = Counter()
        self._seconds = ground.seconds
        self._plan = random.Random(ground.seed)  # for the plan alone: what a fault draws must not shift the next
        self._any = random.Random(ground.seed)

    def run(self) -> None:
        """Break something every few seconds. From the main thread: children die with the thread that starts them."""
        ends = time.monotonic() + self._seconds
        while time.monotonic() < ends:
            wait(self._plan.uniform(*PAUSE_SECONDS))
            fault = self._plan.choice(FAULTS)
            fault(self)
            self.done[fault.__name__] += 1
            self.revive()

    def revive(self) -> None:
        """Play the supervisor."""
        if self.worker.child.returncode is not None:
            self.worker = self.start_worker()
        if self.spared.child.returncode is not None:
            self.spared = self.start_worker()
            self.gave_up += 1
        if self.start_web and self.web.child.returncode is not None:
            self.web = self.start_web()

    def worker_killed(self) -> None:
        self.worker.child.kill()

    def main_process_killed(self) -> None:
        os.kill(self.worker.child.pid, signal.SIGKILL)
        self.worker.child.wait(10)

    def pool_process_killed(self) -> None:
        with contextlib.suppress(psutil.Error):  # it may be starting at this moment
            os.kill(self._any.choice(sorted(self.worker.pool_pids()) or [self.worker.child.pid]), signal.SIGKILL)

    def worker_terminated(self) -> None:
        self.worker.child.signal(signal.SIGTERM)

    def redis_killed(self) -> None:
        self.redis.restart()

    def redis_frozen(self) -> None:
        self.redis.freeze()
        wait(FREEZE_SECONDS)
        self.redis.thaw()

    def web_killed(self) -> None:
        if self.web:
            self.web.child.kill()

    def network_cut(self) -> None:
        self.link.down()
        wait(BROKEN_SECONDS)
        self.link.up()

    def network_silent(self) -> None:
        self.link.add("timeout", timeout=0)
        self.link.add("timeout", stream="upstream", timeout=0)
        wait(BROKEN_SECONDS)
        self.link.clear()

    def network_reset(self) -> None:
        self.link.add("reset_peer", timeout=0)
        wait(BROKEN_SECONDS)
        self.link.clear()


FAULTS = (
    Mischief.worker_killed,
    Mischief.main_process_killed,
    Mischief.pool_process_killed,
    Mischief.worker_terminated,
    Mischief.redis_killed,
    Mischief.redis_frozen,
    Mischief.web_killed,
    Mischief.network_cut,
    Mischief.network_silent,
    Mischief.network_reset,
)


def wait(seconds: float) -> None:
    """Let time pass: here it is the load, not the state of anything, that is waited for."""
    threading.Event().wait(seconds)
