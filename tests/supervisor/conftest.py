"""A supervisor in a process of its own, whose every change can be waited for."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from intelli_fixtures.processes import runs, until

PROJECT = """
import os, time
from celery import Celery

app = Celery("shop", broker=os.environ["SHOP_BROKER"], backend=os.environ["SHOP_BROKER"])
app.conf.task_default_queue = "mail"

@app.task(name="shop.nap")
def nap(seconds):
    time.sleep(seconds)
    return seconds
"""
CONFIG = """
app = "shop"
[workers.mail]
queues = ["mail"]
concurrency = 1
time_limit = 20
[workers.reports]
queues = ["reports"]
concurrency = 1
pool = "threads"
"""

DRIVER = Path(__file__).with_name("driver.py")


class Driven:
    """A running driver: what it told so far, and what it has started."""

    def __init__(self, folder, services, policy):
        spec = {"folder": str(folder), "services": services, "policy": policy}
        with (folder / "terminal").open("wb") as terminal:
            self.process = subprocess.Popen(
                [sys.executable, str(DRIVER), json.dumps(spec)],
                stdout=subprocess.PIPE,
                stderr=terminal,
                text=True,
                start_new_session=True,
            )
        self.folder = folder
        self.events = []
        self._queue = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self._queue.put(json.loads(line))
        self._queue.put(None)

    def wait_for(self, wanted, timeout=20.0):
        """The first event, past or to come, for which `wanted(event)` holds."""
        for event in self.events:
            if wanted(event):
                return event
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            with contextlib.suppress(queue.Empty):
                event = self._queue.get(timeout=left)
                if event is None:
                    break
                self.events.append(event)
                if wanted(event):
                    return event
        return pytest.fail(f"never happened; told so far: {self.events}; terminal: {self.terminal[-2000:]}")

    def phase(self, name, phase, timeout=20.0):
        """The event in which unit `name` came to `phase`."""
        return self.wait_for(lambda event: event.get("name") == name and event.get("phase") == phase, timeout)

    def wait_for_output(self, text, timeout=20.0):
        """Wait until the terminal shows `text`: then the child runs its own code, its signal handlers in place."""
        deadline = time.monotonic() + timeout
        while text not in self.terminal:
            if time.monotonic() > deadline:
                pytest.fail(f"{text!r} never shown: {self.terminal[-2000:]}")
            threading.Event().wait(0.02)

    def wait_for_file(self, name, timeout=20.0):
        deadline = time.monotonic() + timeout
        while not (self.folder / name).exists():
            assert time.monotonic() < deadline, f"{name} never written"
            threading.Event().wait(0.02)

    def changes(self, name):
        return [event for event in self.events if event.get("name") == name]

    @property
    def terminal(self):
        return (self.folder / "terminal").read_text()

    @property
    def family(self):
        """Every process the supervisor has, as it is now."""
        return [process.pid for process in psutil.Process(self.process.pid).children(recursive=True)]

    def end(self, timeout=20.0):
        """Wait for its end; the exit code."""
        code = self.process.wait(timeout)
        while (event := self._queue.get(timeout=5)) is not None:
            self.events.append(event)
        return code

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        self._reader.join(5)
        self.process.stdout.close()


@pytest.fixture
def drive(tmp_path):
    driven = []

    def start(*services, **policy):
        driven.append(Driven(tmp_path, list(services), policy))
        return driven[-1]

    yield start
    for one in driven:
        one.close()


@pytest.fixture
def gone():
    """Whether every one of these processes ended within `timeout` seconds."""

    def wait(pids, timeout):
        with contextlib.suppress(TimeoutError):
            return until(lambda: not any(map(runs, pids)), timeout, "their end")
        return False

    return wait


class Shop:
    """A project in a folder whose name has a space, and the command line run in it."""

    config = CONFIG

    def __init__(self, folder, broker):
        self.folder = folder / "my shop"
        self.folder.mkdir()
        (self.folder / "shop.py").write_text(PROJECT)
        (self.folder / "intelli-ops.toml").write_text(CONFIG)
        self.environment = {**os.environ, "SHOP_BROKER": broker, "NO_COLOR": "1"}
        self.started = []

    def run(self, *argv, timeout=90):
        return subprocess.run(
            [sys.executable, "-m", "intelli_ops", *argv],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def start(self, *argv):
        """`start-workers` in the foreground; its output is in the file `output`."""
        with (self.folder / "output").open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "intelli_ops", "start-workers", *argv],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    @property
    def output(self):
        return (self.folder / "output").read_text()

    @property
    def record(self):
        with contextlib.suppress(OSError, ValueError):
            return json.loads((self.folder / ".intelli-ops" / "workers" / "workers.json").read_text())
        return {"units": []}

    def log(self, name):
        return (self.folder / ".intelli-ops" / "workers" / "logs" / f"{name}.log").read_text()

    def pids(self):
        return {unit["name"]: unit.get("pid") for unit in self.record["units"]}

    def wait_until(self, wanted, timeout=60):
        deadline = time.monotonic() + timeout
        while not wanted():
            if time.monotonic() > deadline:
                pytest.fail(f"never came true; record: {self.record}; output: {self.output[-3000:]}")
            threading.Event().wait(0.05)

    def wait_ready(self):
        self.wait_until(lambda: self.record.get("ready"))

    def app(self):
        from celery import Celery

        return Celery(broker=self.environment["SHOP_BROKER"], backend=self.environment["SHOP_BROKER"])

    def close(self):
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.wait()


@pytest.fixture
def shop(tmp_path, intelli_redis):
    shop = Shop(tmp_path, intelli_redis.url())
    yield shop
    shop.run("stop-workers", "--now")
    shop.close()
