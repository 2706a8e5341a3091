"""One real job through a foreign project, with one hop broken each time."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from tests.integration.channels.harness import RELAY, failing, told

JOB = "flow.job"


def test_a_healthy_job_comes_through_and_is_cleaned_up(follow, relay):
    results = follow(repeat=3)
    assert failing(results) == {}
    assert "n 3" in told(results[JOB])
    with closing(sqlite3.connect(relay.folder / "db.sqlite3")) as database:
        assert database.execute("select count(*) from orders_order").fetchone() == (0,)


@pytest.mark.parametrize(
    ("fault", "hop", "evidence"),
    [
        ("rollback", "row", "never appeared"),
        ("no_message", "queue", "no queue holds a message"),
        ("atomic", "queue", "no queue holds a message"),
        ("unconsumed", "worker", "wait in nobody, which no worker consumes"),
        ("stuck", "task", "orders.fulfil on"),
        ("other_media", "artifact", "answers 404"),
        ("handler", "socket", "1011"),
        ("group", "event", "heard 1 frames"),
    ],
)
def test_the_first_broken_hop_is_named(follow, fault, hop, evidence):
    results = follow(fault, timeout=4)
    assert list(failing(results)) == [JOB]
    assert f"{hop}: " in told(results[JOB])
    assert evidence in told(results[JOB])


def test_an_artifact_that_cannot_be_written_is_told_with_the_jobs_own_words(follow, relay):
    (relay.folder / "media").write_text("a file where a folder is wanted")
    results = follow()
    assert list(failing(results)) == [JOB]
    assert "task: the job ended lost" in told(results[JOB])
    assert "File exists" in told(results[JOB])


def test_repetition_ends_with_the_time_and_blames_no_job_for_it(follow):
    results = follow(repeat=500, timeout=8, limit=25.0)
    assert failing(results) == {}
    assert "worst" in told(results[JOB])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_a_full_disk_is_told_with_the_systems_own_words(follow, relay):
    (relay.folder / "media").mkdir()
    for number in range(1, 9):
        (relay.folder / "media" / f"{number}.txt").symlink_to("/dev/full")
    results = follow()
    assert list(failing(results)) == [JOB]
    assert "task: the job ended lost" in told(results[JOB])
    assert "No space left on device" in told(results[JOB])


def test_an_event_before_the_socket_was_open_is_lost_and_told_so(follow):
    results = follow("no_snapshot", timeout=6)
    assert list(failing(results)) == [JOB]
    assert "before its WebSocket was open" in told(results[JOB])


def test_the_command_serves_a_foreign_project_with_its_section_alone(start, relay, tmp_path):
    web, picture = start(), tmp_path / "hops.png"
    asked = ["check", "flow", "--stage", "deep", "--repeat", "5", "--plot", str(picture), "--format", "json"]
    done = subprocess.run(
        [sys.executable, "-m", "intelli_ops", *asked, "--timeout", "60", "--web", web],
        cwd=RELAY, env={**os.environ, **relay.env()}, capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (job,) = (check for check in json.loads(done.stdout)["checks"] if check["id"] == JOB)
    hops = {found["subject"]: found["facts"] for found in job["findings"]}
    assert {"accepted", "row visible", "taken", "ended", "last event", "artifacts read"} <= hops.keys()
    for facts in hops.values():
        assert facts["floor_ms"] <= facts["p50_ms"] <= facts["p95_ms"] <= facts["worst_ms"]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_worker_that_sends_into_another_layer_is_heard_by_nobody(follow, relay):
    results = follow(worker={"url": relay.redis.url(7)})
    assert list(failing(results)) == [JOB]
    assert "event: the job shipped by HTTP" in told(results[JOB])
