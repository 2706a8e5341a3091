"""What goes on while faults happen: jobs are submitted, followed, and memory is read."""

import contextlib
import itertools
import statistics
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable

import psutil
import urllib3

from intelli_fixtures.processes import until
from intelli_ops.jobs.follow import Follower

FOLLOW_SECONDS = 180
MEGABYTE = 2**20


class Again(threading.Thread):
    """Calls `step` over and over until stopped; what it raises ends the thread and is raised again by `stop`."""

    def __init__(self, step: Callable[[], None], pause: float) -> None:
        super().__init__(daemon=True)
        self._step, self._pause, self._ending = step, pause, threading.Event()
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            while not self._ending.wait(self._pause):
                self._step()
        except BaseException as error:  # noqa: BLE001  told where somebody listens
            self._error = error

    def stop(self) -> None:
        self._ending.set()
        self.join(FOLLOW_SECONDS + 10)
        if self._error:
            raise self._error
        assert not self.is_alive(), f"{self._step} hangs"


class Load:
    """Jobs submitted one by one, each until it is accepted, in turns through all web processes."""

    def __init__(self, stack, image, bases):
        self._stack, self._bases, self._turns = stack, bases, itertools.cycle(bases)
        self._fields = [("images", (image.name, image.read_bytes())), ("algorithms", "describe")]
        self._http = urllib3.PoolManager(timeout=urllib3.Timeout(total=30), retries=False)
        self.posts, self.followed, self.reconnections = [], 0, 0

    def submit(self):
        """One job; where a web process dies meanwhile, the next one is asked with the same key."""
        key = str(uuid.uuid4())
        self._stack.submitted.append(until(lambda: self._accepted(key), 60, "an accepted job"))

    def _accepted(self, key):
        began, url = time.monotonic(), f"{next(self._turns)}/api/jobs/"
        try:
            answer = self._http.request("POST", url, fields=self._fields, headers={"Idempotency-Key": key})
        except urllib3.exceptions.HTTPError:
            return None
        assert answer.status in {200, 202}, answer.data
        self.posts.append(time.monotonic() - began)
        return answer.json()["id"]

    def follow(self):
        """The newest job to its end, over the web process that is killed. A gap raises."""
        if not self._stack.submitted:
            return
        follower = Follower(self._bases[-1], self._stack.submitted[-1], seq=0)
        for _ in follower.follow(FOLLOW_SECONDS):
            pass
        self.followed += 1
        self.reconnections += follower.reconnections


class Memory:
    """Resident megabytes of whole process families over their lives; `pids` tells which run now, by name."""

    def __init__(self, pids):
        self._pids = pids
        self._read = defaultdict(list)

    def sample(self):
        for name, pid in self._pids().items():
            with contextlib.suppress(psutil.NoSuchProcess):
                parent = psutil.Process(pid)
                family = [parent, *parent.children(recursive=True)]
                self._read[name, pid].append(sum(map(_resident, family)) / MEGABYTE)

    def levels(self):
        """Of the longest life by each name, the median of its second quarter and that of its last."""
        longest = {name: reads for (name, _), reads in sorted(self._read.items(), key=lambda item: len(item[1]))}
        return {name: _levels(reads) for name, reads in longest.items()}


def _levels(read):
    quarter = max(1, len(read) // 4)
    return statistics.median(read[quarter : 2 * quarter]), statistics.median(read[-quarter:])


def _resident(process):
    try:
        return process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0
