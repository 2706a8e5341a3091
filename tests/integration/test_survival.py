"""Workers and Redis die in the middle of things, and nothing is lost or done twice."""

import json
import signal

from intelli_fixtures.processes import until


def is_last(frame):
    return frame.get("name") in {"job.succeeded", "job.failed", "job.cancelled"}


def succeeded_once(job):
    """Every task of the job succeeded and holds exactly one set of artifacts."""
    assert {task["status"] for task in job["tasks"]} == {"succeeded"}, job
    names = [[artifact["name"] for artifact in task["artifacts"]] for task in job["tasks"]]
    assert all(len(group) == len(set(group)) for group in names)
    return True


def assert_gapless(system, intelli_websocket, job):
    frames = intelli_websocket.connect(f"{system.ws_url}{job['links']['websocket']}?after=0").collect(is_last)
    assert [frame["seq"] for frame in frames] == list(range(1, job["seq"] + 1))
    ended = [frame for frame in frames if frame["name"] in {"task.succeeded", "task.failed"}]
    assert len(ended) == len(job["tasks"])


def test_a_worker_killed_in_mid_task_loses_nothing(system, intelli_images, intelli_websocket):
    worker = system.by_queue["ai"]
    with system.endpoint.held():
        job_id = system.submit([intelli_images.odd["alpha"]], ["describe"]).json()["id"]
        assert system.endpoint.asked.acquire(timeout=30), "the task never reached the endpoint"
        (task,) = (task for task in system.job(job_id)["tasks"] if task["kind"] == "describe")
        assert (task["status"], task["attempt"]) == ("running", 1)
        worker.child.kill()
        assert worker.child.returncode == -signal.SIGKILL
    system.start_worker("ai")
    job = system.finished(job_id)
    (task,) = (task for task in job["tasks"] if task["kind"] == "describe")
    assert succeeded_once(job)
    assert task["attempt"] == 2
    (artifact,) = task["artifacts"]
    assert json.loads(system.artifact(artifact))["text"] == "A picture."
    assert_gapless(system, intelli_websocket, job)


def test_a_worker_killed_under_load_loses_nothing(system, intelli_images, intelli_websocket):
    images = [*intelli_images.photographs, intelli_images.odd["palette"], intelli_images.odd["cmyk"]]
    job_id = system.submit(images, ["histogram", "sobel_edges", "dominant_colours"]).json()["id"]
    socket = intelli_websocket.connect(f"{system.ws_url}/ws/jobs/{job_id}/")
    socket.collect(lambda frame: frame.get("name") == "task.started" and frame["data"]["task"]["kind"] == "chart")
    system.by_queue["charts_cpu"].child.kill()
    system.start_worker("charts_cpu")
    job = system.finished(job_id)
    assert succeeded_once(job)
    assert max(task["attempt"] for task in job["tasks"]) == 2
    assert_gapless(system, intelli_websocket, job)


def test_readiness_tells_a_frozen_redis_and_liveness_does_not_care(system):
    def answer(path):
        response = system.request("GET", path, timeout=10)
        told.append(response.data)
        return response.status

    told = []
    until(lambda: answer("/health/ready") == 200, 30, lambda: f"readiness, {told[-1]}")  # a busy machine needs longer
    assert answer("/health/live") == 200
    system.redis.freeze()
    try:
        assert (answer("/health/live"), answer("/health/ready")) == (200, 503)
    finally:
        system.redis.thaw()
    until(lambda: answer("/health/ready") == 200, 30, "readiness after the thaw")


def test_jobs_accepted_before_redis_lost_its_memory_are_done(system, intelli_images, intelli_websocket):
    job_ids = [system.submit([path], ["histogram"]).json()["id"] for path in intelli_images.photographs]
    system.redis.restart()
    jobs = [system.finished(job_id, meanwhile=system.keep_workers) for job_id in job_ids]
    assert all(succeeded_once(job) for job in jobs)
    for job in jobs:
        assert_gapless(system, intelli_websocket, job)
