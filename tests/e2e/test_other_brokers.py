"""Brokers that are not Redis: asked through the project's own app, never passed unasked, never waited for."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from intelli_fixtures import peers
from intelli_fixtures.processes import Child, free_port, until

TIMEOUT = 20.0
APP = """
from celery import Celery

app = Celery("shop", broker={broker!r})
app.conf.broker_transport_options = {{
    "data_folder_in": "spool", "data_folder_out": "spool", "processed_folder": "done", "control_folder": "control",
}}
app.conf.task_routes = {{"shop.scan": "scans"}}

@app.task
def scan():
    return 1

@app.task
def letter():
    return 2
"""


@pytest.fixture
def shop(cli):
    """Write the project for a broker and check it; the checks by id, and the seconds it took."""
    folder = cli.directory / "shop"
    for name in ("spool", "done", "control"):
        (folder / name).mkdir(parents=True)

    def check(broker: str, *more: str):
        (folder / "shop.py").write_text(APP.format(broker=broker))
        began = time.monotonic()
        options = ("--project", str(folder), "--app", "shop", "--timeout", str(TIMEOUT), "--format", "json")
        done = cli("check", "celery", *options, *more)
        checks = {one["id"]: one for one in json.loads(done.stdout)["checks"]}
        assert "planted" not in done.stdout + done.stderr
        return done.returncode, checks, time.monotonic() - began

    check.folder = folder
    return check


def broken(checks) -> list[str]:
    return [id_ for id_, one in checks.items() if one["outcome"] in {"failed", "errored"}]


def words(checks, id_: str = "celery.broker") -> str:
    return " ".join(finding["message"] for finding in checks[id_]["findings"]) or str(checks[id_]["reason"])


def test_an_amqp_broker_that_is_down(shop):
    code, checks, seconds = shop(f"amqp://u:planted@127.0.0.1:{free_port()}//")
    assert (code, broken(checks)) == (1, ["celery.broker"])
    assert "refused" in words(checks)
    assert checks["celery.workers"]["outcome"] == "skipped"
    assert seconds < TIMEOUT


def test_an_amqp_broker_that_never_says_a_word(shop):
    with peers.silent() as peer:
        code, checks, seconds = shop(f"amqp://u:planted@127.0.0.1:{peer.port}//")
    assert (code, broken(checks)) == (1, ["celery.broker"])
    assert seconds < TIMEOUT + 1


def test_a_broker_that_is_named_is_asked_in_place_of_the_projects(shop):
    code, checks, _ = shop("filesystem://", "--broker", f"amqp://u:planted@127.0.0.1:{free_port()}//")
    assert (code, broken(checks)) == (1, ["celery.broker"])
    assert "refused" in words(checks)


def test_a_broker_of_files_with_and_without_a_worker(shop):
    code, checks, _ = shop("filesystem://")
    assert (code, broken(checks)) == (1, ["celery.broker"])
    assert "no worker answers" in words(checks)

    folder: Path = shop.folder
    argv = [sys.executable, "-m", "celery", "-A", "shop", "worker", "-c1", "-P", "solo", "-l", "info"]
    worker = Child([*argv, "--without-mingle", "--without-gossip"], log=folder / "log", cwd=folder, name="files")
    try:
        until(lambda: " ready." in worker.output(), 60, "the worker to be ready")
        code, checks, _ = shop("filesystem://")
    finally:
        worker.kill()
    assert "1 worker: celery@" in words(checks)
    assert "no worker consumes scans" in words(checks)
    assert "consumes celery" not in words(checks)
    assert (code, broken(checks)) == (1, ["celery.broker"])


def test_memory_is_never_passed(shop):
    code, checks, _ = shop("memory://")
    assert (code, broken(checks)) == (1, ["celery.broker_url"])
    assert checks["celery.broker"]["outcome"] == "skipped"
