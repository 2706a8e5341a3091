"""The flow on both databases: races of twenty have one winner, and the state machine's own tests hold on PostgreSQL."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from system_fixtures import both_databases

HERE = Path(__file__).parent
RACES = """
import threading
from concurrent.futures import ThreadPoolExecutor
from django.contrib.auth.models import AnonymousUser
from django.db import connection
from apps.jobs import flow, publish, submissions

publish.publish = lambda ids: None
submission = submissions.Submission([], ["http://example.org/a.png"], ["histogram"])
job, _ = submissions.accept(AnonymousUser(), submission, None)
start = threading.Barrier(20)

def race(step):
    def run(_):
        start.wait()
        try:
            return step()
        finally:
            connection.close()
    with ThreadPoolExecutor(20) as pool:
        won = [result for result in pool.map(run, range(20)) if result]
    assert len(won) == 1, won
    return won[0]

for task in job.tasks.all():
    held = race(lambda: flow.claim(task.id))
    race(lambda: flow.image_ready(held, 8, 6) if task.kind == "ingest" else flow.succeed(held, []))
print("one winner each")
"""


@both_databases
def test_j14_of_twenty_at_once_one_claims_and_one_finishes(stack):
    assert "one winner each" in stack.manage("shell", "-v0", "-c", RACES)


@pytest.mark.timeout(300)
def test_the_state_machine_and_the_api_on_postgresql(postgresql_server):
    """The same tests, in a process of their own since Django reads its database once."""
    files = [HERE / name for name in ("test_flow.py", "test_api.py")]
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files]
    env = {**os.environ, "DATABASE_URL": postgresql_server.database().url}
    env.pop("DJANGO_SETTINGS_MODULE", None)  # left by whoever imported `config.asgi`; conftest.py sets it by itself
    done = subprocess.run(argv, cwd=HERE.parents[1], env=env, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
