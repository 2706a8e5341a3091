"""J13 and J14: the disk is full, the database is locked."""

import subprocess
import threading

import pytest
from system_fixtures import both_databases

CHART = "tone_curve"
LOCK_SECONDS = 10.0


def refused(stack, job):
    """The job's only chart, which found no room and left nothing."""
    assert stack.finished(job["id"])["status"] == "failed"
    (chart,) = (task for task in stack.job(job["id"])["tasks"] if task["kind"] == "chart")
    assert (chart["attempt"], chart["error"]["code"], chart["artifacts"]) == (1, "storage_full", [])
    assert not [path for path in stack.media.glob("artifacts/**/*") if path.is_file()]


def works_again(stack, image):
    assert stack.finished(stack.submit([image], [CHART])["id"])["status"] == "succeeded"


@pytest.fixture
def small_disk(stack):
    """Artifacts live on a file system of 16 KB until the test calls the returned function."""
    folder = stack.media / "artifacts"
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small file system needs root")
    yield lambda: subprocess.run(["mount", "-o", "remount,size=16m", str(folder)], check=True)
    stack.workers.stop()
    stack.assert_invariants()
    stack.submitted.clear()
    for table in ("event", "artifact", "imagetask", "image", "job"):  # their files go with the mount
        stack.rows(f"DELETE FROM jobs_{table}")
    stack.live.child.stop()
    subprocess.run(["umount", str(folder)], check=True)


def test_j13_a_full_disk(stack, image, small_disk):
    stack.serve()
    stack.worker()
    refused(stack, stack.submit([image], [CHART]))
    small_disk()
    works_again(stack, image)


@both_databases
def test_j14_a_database_locked_for_seconds_costs_time_and_nothing_else(stack, image):
    """Longer than a lease, so that heartbeats come late too; shorter than the 20 s everybody waits."""
    stack.serve()
    stack.worker()
    with stack.endpoint.held():
        stack.caught(image)
        answers = []
        posts = [threading.Thread(target=lambda: answers.append(stack.post([image], ["describe"]))) for _ in "123"]
        with stack.database.locked():
            for post in posts:
                post.start()
            stack.hold(LOCK_SECONDS)
            assert not answers
        for post in posts:
            post.join(25)
    assert [answer.status for answer in answers] == [202] * 3
    stack.submitted += [answer.json()["id"] for answer in answers]
    stack.all_succeeded()
