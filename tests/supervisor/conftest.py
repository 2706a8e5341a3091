"""A supervisor in a process of its own, whose every change can be waited for."""

import contextlib
import json
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

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
        living = []
        for pid in pids:
            with contextlib.suppress(psutil.NoSuchProcess):
                living.append(psutil.Process(pid))
        return not psutil.wait_procs(living, timeout=timeout)[1]

    return wait
