"""J1 to J6: workers end in every way there is, in the middle of a task."""

import os
import resource
import signal
from dataclasses import replace

import psutil
import pytest
from stack import PROFILES

from intelli_fixtures.processes import runs, until

CHART = "tone_curve"
RESTART_SECONDS = 3 + 1 + 5
"""Lease, sweep, and what a machine may take: by then a lost task runs again."""


def test_j1_a_killed_pool_process_costs_one_attempt(stack, image):
    stack.serve()
    worker = stack.worker()
    with stack.endpoint.held():
        job = stack.caught(image)
        stack.kill_holder(worker)
        took, _ = stack.timed(stack.asked)
    assert took < RESTART_SECONDS
    assert stack.finished(job["id"])["status"] == "succeeded"
    assert stack.describing(job["id"])["attempt"] == 2
    assert worker.child.returncode is None
    until(lambda: len(worker.pool_pids()) == 2, 20, "the pool is whole again")


def test_j2_a_killed_main_process_leaves_no_child_and_loses_nothing(stack, image):
    stack.serve()
    worker = stack.worker()
    with stack.endpoint.held():
        job = stack.caught(image)
        children = worker.pool_pids()
        assert children
        os.kill(worker.child.pid, signal.SIGKILL)  # the main process alone: its children must notice by themselves
        until(lambda: not any(map(runs, children)), 2, "the children of the dead worker ended")
        stack.worker()
    assert stack.finished(job["id"])["status"] == "succeeded"
    assert stack.describing(job["id"])["attempt"] == 2


def test_j3_a_terminated_worker_finishes_its_short_task(stack, image):
    stack.serve()
    worker = stack.worker()
    with stack.endpoint.held():
        job = stack.caught(image)
        worker.child.signal(signal.SIGTERM)
        worker.child.wait_until(lambda: "Warm shutdown" in worker.child.output(), 10, "warm shutdown")
    assert worker.child.wait(20) == 0
    assert stack.finished(job["id"])["status"] == "succeeded"
    assert stack.describing(job["id"])["attempt"] == 1


def test_j3_a_task_longer_than_the_stop_timeout_runs_again(stack, image):
    stack.serve()
    worker = stack.worker()
    with stack.endpoint.held():
        job = stack.caught(image)
        worker.child.stop(timeout=2)  # terminate, wait, kill: what every supervisor does
        assert worker.child.returncode == -signal.SIGKILL
        stack.worker()
    assert stack.finished(job["id"])["status"] == "succeeded"
    assert stack.describing(job["id"])["attempt"] == 2


def test_j4_a_cold_shutdown_leaves_no_task_started_for_ever(stack, image):
    stack.serve()
    worker = stack.worker()
    with stack.endpoint.held():
        job = stack.caught(image)
        worker.child.signal(signal.SIGQUIT)
        worker.child.wait(20)
        stack.worker()
    assert stack.finished(job["id"])["status"] == "succeeded"
    assert stack.describing(job["id"])["attempt"] == 2


def test_j5_a_task_that_kills_its_process_gets_three_attempts_and_others_flow(stack, image):
    stack.serve()
    worker = stack.worker()
    with stack.endpoint.held():
        poison = stack.caught(image)
        stack.kill_holder(worker)
        stack.asked()
        other = stack.submit([image], [CHART])
        assert stack.finished(other["id"])["status"] == "succeeded"
        assert stack.job(poison["id"])["status"] == "running"
        stack.kill_holder(worker)
        stack.asked()
        stack.kill_holder(worker)
        assert stack.finished(poison["id"])["status"] == "failed"
    task = stack.describing(poison["id"])
    assert (task["attempt"], task["error"]["code"]) == (3, "worker_lost")
    assert worker.child.returncode is None


@pytest.mark.parametrize("soft", ["on", "off"], ids=["soft limit", "hard limit"])
def test_j6_a_task_beyond_its_time_limit_fails_once(stack, image, soft):
    stack.env |= {"DJANGO_SETTINGS_MODULE": "short_limits", "SOFT": soft}
    stack.serve()
    worker = stack.worker()
    with stack.endpoint.held():
        job = stack.caught(image)
        assert stack.finished(job["id"])["status"] == "failed"
    task = stack.describing(job["id"])
    assert (task["attempt"], task["error"]["code"]) == (1, "timeout")
    assert worker.child.returncode is None
    after = stack.submit([image], ["describe"])
    assert stack.finished(after["id"])["status"] == "succeeded"


def test_j6_a_task_without_memory_fails_and_its_worker_goes_on(stack, image, tmp_path):
    from PIL import Image

    large = tmp_path / "large.png"
    Image.new("RGB", (3500, 3500), "white").save(large)
    stack.serve()
    stack.worker(PROFILES["ingestion_io"])
    charts = stack.worker(replace(PROFILES["charts_cpu"], concurrency=1))
    stack.submit([image], [CHART])  # the pool process loads what it needs before its memory is capped
    stack.all_succeeded()
    (pid,) = charts.pool_pids()
    cap = psutil.Process(pid).memory_info().vms + 20 * 2**20
    resource.prlimit(pid, resource.RLIMIT_AS, (cap, cap))
    starved = stack.submit([large], [CHART])
    assert stack.finished(starved["id"])["status"] == "failed"
    (task,) = (task for task in stack.job(starved["id"])["tasks"] if task["kind"] == "chart")
    assert task["error"]["code"] == "oom"
    after = stack.submit([image], [CHART])
    assert stack.finished(after["id"])["status"] == "succeeded"
