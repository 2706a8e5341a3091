"""A job from the POST to the last artifact, over real Redis, real workers and a real WebSocket."""

import io
import json
import threading
from collections import Counter

import pytest
from PIL import Image

CHARTS = ("histogram", "sobel_edges", "otsu_threshold", "fft_spectrum", "dominant_colours", "tone_curve")
PNG = b"\x89PNG\r\n\x1a\n"


def is_last(frame):
    return frame.get("name") in {"job.succeeded", "job.failed", "job.cancelled"}


def numbers(frames):
    return [frame["seq"] for frame in frames]


@pytest.fixture(scope="module")
def watched(system, intelli_images):
    """One job of two photographs and every algorithm, watched from its first moment: its frames and its document."""
    from intelli_fixtures.websocket import Sockets

    answer = system.submit(intelli_images.photographs[:2], [*CHARTS, "describe"], key="the-watched-job")
    assert answer.status == 202
    job = answer.json()
    assert answer.headers["Location"] == f"/api/jobs/{job['id']}/"
    sockets = Sockets()
    frames = sockets.connect(f"{system.ws_url}/ws/jobs/{job['id']}/").collect(is_last, timeout=100)
    sockets.close()
    return frames, system.job(job["id"])


def test_the_socket_tells_everything_in_order_without_a_gap(watched):
    (snapshot, *events), job = watched
    assert (snapshot["type"], snapshot["seq"]) == ("snapshot", snapshot["job"]["seq"])
    assert {event["type"] for event in events} == {"event"}
    assert numbers(events) == list(range(snapshot["seq"] + 1, job["seq"] + 1))
    assert events[-1]["name"] == "job.succeeded"


def test_every_task_ran_once_on_the_queue_of_its_kind(watched):
    _, job = watched
    assert job["status"] == "succeeded"
    assert {task["status"] for task in job["tasks"]} == {"succeeded"}
    assert {task["attempt"] for task in job["tasks"]} == {1}
    images = len(job["images"])
    assert Counter(task["queue"] for task in job["tasks"]) == {
        "ingestion_io": images, "charts_cpu": images * len(CHARTS), "ai": images,
    }  # fmt: skip
    assert job["progress"] == {"total": len(job["tasks"]), "finished": len(job["tasks"])}


def test_a_task_is_started_before_it_ends_and_ends_once(watched, system, intelli_websocket):
    _, job = watched
    frames = intelli_websocket.connect(f"{system.ws_url}{job['links']['websocket']}?after=0").collect(is_last)
    assert numbers(frames) == list(range(1, job["seq"] + 1))
    told = {}
    for frame in frames:
        if frame["name"].startswith("task."):
            told.setdefault(frame["data"]["task"]["id"], []).append(frame["name"])
    assert told == {task["id"]: ["task.started", "task.succeeded"] for task in job["tasks"]}


def test_a_replay_starts_behind_the_number_the_client_has(watched, system, intelli_websocket):
    _, job = watched
    url = f"{system.ws_url}{job['links']['websocket']}?after={job['seq'] - 3}"
    frames = intelli_websocket.connect(url).collect(is_last)
    assert numbers(frames) == [job["seq"] - 2, job["seq"] - 1, job["seq"]]


def test_artifacts_are_there_whole_and_right(watched, system):
    _, job = watched
    images = {image["id"]: image for image in job["images"]}
    charts = [task for task in job["tasks"] if task["kind"] == "chart"]
    for task in charts:
        by_name = {artifact["name"]: artifact for artifact in task["artifacts"]}
        figure = system.artifact(by_name[f"{task['algorithm']}.png"])
        assert figure.startswith(PNG)
        with Image.open(io.BytesIO(figure)) as picture:
            picture.load()
        data = json.loads(system.artifact(by_name[f"{task['algorithm']}.json"]))
        image = images[task["image"]]
        assert (data["width"], data["height"]) == (image["width"], image["height"])
    assert {task["algorithm"] for task in charts} == set(CHARTS)


def test_descriptions_come_from_the_configured_endpoint(watched, system):
    _, job = watched
    for task in job["tasks"]:
        if task["kind"] == "describe":
            (artifact,) = task["artifacts"]
            assert json.loads(system.artifact(artifact))["text"] == "A picture."


def test_every_odd_image_is_read(system, intelli_images):
    names = list(intelli_images.odd)
    job = system.submit(intelli_images.odd.values(), ["histogram"]).json()
    job = system.finished(job["id"])
    failed = {
        names[n]: job["tasks"][n]["error"] for n, image in enumerate(job["images"]) if image["status"] == "failed"
    }
    assert failed == {}
    sizes = {name: (image["width"], image["height"]) for name, image in zip(names, job["images"], strict=True)}
    assert sizes["exif-rotated"] == (96, 160)  # stored as 160 x 96, shown upright
    assert sizes["prime-sized"] == (211, 37)
    assert sizes["one-pixel"] == (1, 1)


def test_the_same_key_again_does_nothing_twice(watched, system, intelli_images):
    _, job = watched
    asked = system.endpoint.requests
    again = system.submit(intelli_images.photographs[:2], [*CHARTS, "describe"], key="the-watched-job")
    assert (again.status, again.json()) == (200, job)
    assert system.job(job["id"]) == job
    assert system.endpoint.requests == asked


def test_one_key_sent_by_many_at_once_makes_one_job(system, intelli_images):
    image = [intelli_images.odd["gray"]]
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(system.submit(image, ["histogram"], key="at-once")))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(answer.status for answer in answers) == [200, 200, 200, 202]
    (job_id,) = {answer.json()["id"] for answer in answers}
    assert {task["attempt"] for task in system.finished(job_id)["tasks"]} == {1}


def test_one_key_for_another_request_is_a_conflict(watched, system, intelli_images):
    answer = system.submit([intelli_images.odd["gray"]], ["histogram"], key="the-watched-job")
    assert answer.status == 409


def test_what_is_no_image_is_refused_and_leaves_nothing(system, tmp_path):
    fake = tmp_path / "notes.png"
    fake.write_text("not a picture", encoding="utf-8")
    before = system.request("GET", "/api/jobs/").json()["count"]
    answer = system.submit([fake], ["histogram"])
    assert answer.status == 400
    assert b"images[0]" in answer.data
    assert system.request("GET", "/api/jobs/").json()["count"] == before
