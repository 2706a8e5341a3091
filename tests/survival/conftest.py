"""A live copy of the whole system for each test, an AI endpoint that can be made to wait, and INV afterwards."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

TESTS = Path(__file__).resolve().parents[1]
OVERLAY = Path(__file__).parent / "overlay"
sys.path[:0] = [str(TESTS / "backend"), str(TESTS / "integration")]

from ai_endpoint import serving  # noqa: E402  found through the path above
from stack import Stack  # noqa: E402
from system_fixtures import *  # noqa: E402, F403


class Survivor(Stack):
    """A stack whose `describe` tasks stop in the middle for as long as its endpoint is held."""

    def __init__(self, *parts, endpoint):
        super().__init__(*parts)
        self.endpoint = endpoint
        self.env |= {
            "AI_BASE_URL": f"http://127.0.0.1:{endpoint.server_port}/v1",
            "AI_MODEL": "test-1",
            "INTELLI_LEASE_SECONDS": "3",
            "PYTHONPATH": str(OVERLAY),
        }

    def drive(self, code):
        """Run code against the stack's own database, in a process of its own."""
        return self.manage("shell", "-v0", "-c", code)

    def caught(self, image):
        """Submit a job and return it once a worker is in the middle of its description."""
        job = self.submit([image], ["describe"])
        self.asked()
        return job

    def asked(self):
        assert self.endpoint.asked.acquire(timeout=40), "the task never reached the endpoint"

    def hold(self, seconds):
        """Leave a fault in place for as long as it is promised to be survived: time itself is the condition."""
        threading.Event().wait(seconds)

    def kill_holder(self, worker):
        """SIGKILL the one pool process that is talking to the endpoint."""
        port = self.endpoint.server_port
        for pid in worker.pool_pids():
            connections = psutil.Process(pid).net_connections("tcp")
            if any(c.raddr and c.raddr.port == port and c.status == "ESTABLISHED" for c in connections):
                os.kill(pid, signal.SIGKILL)
                return
        pytest.fail("no pool process talks to the endpoint")

    def describing(self, job_id):
        """The job's description task."""
        (task,) = (task for task in self.job(job_id)["tasks"] if task["kind"] == "describe")
        return task

    def all_finished(self, timeout=90):
        """Every submitted job, once it has ended."""
        return [self.finished(job_id, timeout) for job_id in self.submitted]

    def all_succeeded(self, timeout=90):
        statuses = [job["status"] for job in self.all_finished(timeout)]
        assert statuses == ["succeeded"] * len(self.submitted)


@pytest.fixture(scope="session")
def ai_endpoint():
    with serving() as endpoint:
        yield endpoint


@pytest.fixture
def redis_config():
    """Directives of the test's own Redis; a test overrides this by parametrisation."""
    return {}


@pytest.fixture
def redis(intelli_redis_server, redis_config):
    return intelli_redis_server(config=redis_config)


@pytest.fixture
def stack(redis, starters, database, tmp_path, ai_endpoint) -> Iterator[Survivor]:
    made = Survivor(redis, starters, database, tmp_path, endpoint=ai_endpoint)
    yield made
    ai_endpoint.open.set()
    made.assert_invariants()
    made.assert_agreement()
    made.http.clear()
    # Nothing is left to be promised, and waiting for fifty polite ends took minutes.
    for process in (*made.workers.started, *made.servers.started):
        process.child.kill()


@pytest.fixture
def image(intelli_images) -> Path:
    """The smallest work there is."""
    return intelli_images.odd["one-row"]
