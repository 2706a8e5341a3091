"""The whole system, with real processes."""

import hashlib
import os
import signal

import pytest
from system_fixtures import both_databases

from intelli_fixtures.processes import until

CHARTS = ["histogram", "sobel_edges", "otsu_threshold", "fft_spectrum", "dominant_colours", "tone_curve"]


@pytest.fixture
def images(intelli_images):
    return intelli_images.all()


def is_end(frame):
    return frame.get("name") in {"job.succeeded", "job.failed", "job.cancelled"}


@both_databases
def test_a_job_runs_on_all_queues_and_its_events_arrive_in_order(stack, images):
    stack.serve()
    stack.worker()
    job = stack.submit(images[:2], [*CHARTS, "describe"])
    frames = stack.watch(job["id"]).collect(is_end)
    assert frames[0]["type"] == "snapshot"
    assert [frame["seq"] for frame in frames] == list(range(frames[0]["seq"], frames[-1]["seq"] + 1))
    done = stack.job(job["id"])
    assert done["status"] == "succeeded", done
    assert done["progress"] == {"total": 16, "finished": 16}
    for task in done["tasks"]:
        for artifact in task["artifacts"]:
            answer = stack.request("GET", artifact["url"])
            assert hashlib.sha256(answer.data).hexdigest() == artifact["sha256"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Content-Disposition"].startswith("attachment")
    assert sum(len(task["artifacts"]) for task in done["tasks"]) == 2 * (6 * 2 + 1)


@both_databases
def test_a_killed_worker_loses_nothing(stack, images):
    stack.serve()
    worker = stack.worker()
    job = stack.submit(images[:1], CHARTS)
    stack.wait_for_row("SELECT * FROM jobs_imagetask WHERE kind = 'chart' AND status = 'running'")
    worker.child.kill()
    stack.worker()
    done = stack.finished(job["id"])
    assert done["status"] == "succeeded"
    assert max(task["attempt"] for task in done["tasks"]) == 2


def test_a_killed_pool_child_loses_nothing(stack, images):
    stack.serve()
    worker = stack.worker()
    job = stack.submit(images[:1], CHARTS)
    stack.wait_for_row("SELECT * FROM jobs_imagetask WHERE kind = 'chart' AND status = 'running'")
    for pid in worker.pool_pids():
        os.kill(pid, signal.SIGKILL)
    done = stack.finished(job["id"])
    assert done["status"] == "succeeded"
    assert worker.child.returncode is None
    until(lambda: len(worker.pool_pids()) == 2, 20, "the pool is whole again")


def test_twenty_five_jobs_at_once_each_run_once(stack, images):
    stack.serve()
    stack.worker()
    jobs = [stack.submit(images[:1], ["histogram", "tone_curve"]) for _ in range(25)]
    for job in jobs:
        done = stack.finished(job["id"], 90)
        assert done["status"] == "succeeded"
        assert {task["attempt"] for task in done["tasks"]} == {1}


def test_the_same_idempotency_key_does_nothing_twice(stack, images):
    stack.serve()
    stack.worker()
    first = stack.submit(images[:1], ["histogram"], **{"Idempotency-Key": "k"})
    again = stack.submit(images[:1], ["histogram"], **{"Idempotency-Key": "k"})
    assert again["id"] == first["id"]
    assert stack.post(images[:1], ["tone_curve"], **{"Idempotency-Key": "k"}).status == 409
    assert stack.finished(first["id"])["status"] == "succeeded"
    assert len(stack.rows("SELECT id FROM jobs_job")) == 1


def test_a_post_during_a_frozen_redis_is_quick_and_the_job_runs_afterwards(stack, images):
    stack.serve()
    stack.worker()
    stack.redis.freeze()
    try:
        took = [stack.timed(lambda: stack.submit(images[:1], ["histogram"]))[0] for _ in range(3)]
    finally:
        stack.redis.thaw()
    assert max(took) < 5
    for job_id in stack.submitted:
        assert stack.finished(job_id)["status"] == "succeeded"
