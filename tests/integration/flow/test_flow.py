"""One real job through a foreign project, with one hop broken each time."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from tests.integration.channels.harness import failing, told

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


def test_a_worker_that_sends_into_another_layer_is_heard_by_nobody(follow, relay):
    results = follow(worker={"url": relay.redis.url(7)})
    assert list(failing(results)) == [JOB]
    assert "event: the job shipped by HTTP" in told(results[JOB])
