"""Results that are somewhere else, for ever, unreadable or lost; schedulers that are not there, or twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace

from intelli_checks.dsn import Dsn
from intelli_checks.model import Outcome
from intelli_fixtures.processes import free_port

SCHEDULE = {"sweep": {"task": "shop.noop", "schedule": "60", "seconds": 60}}

CHORD = """
from celery import chord
from shop import noop
chord([noop.s().set(queue=queue) for queue in ("ai", "nowhere")])(noop.s().set(queue="ai"))
"""


def test_results_in_another_database(lab, failing):
    lab.worker("other", "-c", "1", RESULTS=lab.redis.url(3))
    bad = failing(lab.check(survey=lab.survey("ai")))
    assert list(bad) == ["celery.results"]
    assert "/3, the project reads" in bad["celery.results"]


def test_a_result_store_that_is_down_is_one_line(lab, failing):
    down = f"redis://127.0.0.1:{free_port()}/3"
    lab.worker("orphaned", "-c", "1", RESULTS=down)
    survey = replace(lab.survey("ai"), results=Dsn(down))
    readers = ("celery.canary", "celery.results", "celery.expiry", "celery.json", "celery.lost", "celery.chords")
    assert list(failing(lab.check("redis.results", *readers, survey=survey))) == ["redis.results"]


def test_a_task_that_began_and_has_no_worker_any_more(lab, failing):
    lab.conf = {"task_track_started": True}
    killed = lab.worker("killed", "-c", "1")
    (id_,) = lab.send("early_nap", 60)
    key = f"celery-task-meta-{id_}"
    lab.wait(lambda: b"STARTED" in (lab.redis_client().get(key) or b""), "the task to begin")
    assert failing(lab.check("celery.lost", survey=lab.survey("ai"))) == {}
    killed.kill()
    lab.worker("next", "-c", "1")
    bad = failing(lab.check(survey=lab.survey("ai")))
    assert list(bad) == ["celery.lost"]
    assert "began on killed@lab" in bad["celery.lost"]


def test_results_that_stay_for_ever_and_that_are_no_json(lab, failing, told):
    lab.conf = {"result_expires": None}
    lab.worker("eternal", "-c", "1")
    lab.send("nan", times=12)
    lab.wait(lambda: len(lab.redis_client().keys("celery-task-meta-*")) == 12, "the results")
    results = lab.check(survey=lab.survey("ai"))
    assert failing(results) == {}
    assert "12 of 12 results" in told(results["celery.expiry"])
    assert "12 results holds NaN" in told(results["celery.json"])


def test_a_chord_that_can_never_complete(lab, failing, told):
    lab.worker("header", "-c", "1")
    # In a process of its own: a result object that outlives its Redis complains when it is collected.
    subprocess.run(
        [sys.executable, "-c", CHORD], cwd=lab.folder, env={**os.environ, **lab.env()}, check=True, timeout=60
    )
    client = lab.redis_client()
    lab.wait(lambda: any(client.zcard(k) for k in client.keys("celery-taskset-meta-*.j")), "half of the header")
    waiting = lab.check(survey=lab.survey("ai"))
    assert "celery.chords" not in failing(waiting), "its message waits in a queue, which is another check's finding"
    client.delete("nowhere")
    bad = failing(lab.check(survey=lab.survey("ai")))
    assert list(bad) == ["celery.chords"]
    assert "1 of 2 results" in bad["celery.chords"]


def test_a_scheduler_missing_once_twice_and_stopped(lab, failing, told):
    lab.worker("one", "-c", "1")
    survey = lab.survey("ai", beat=SCHEDULE)

    def said() -> str:
        return told(lab.check("celery.beat", "celery.workers", survey=survey)["celery.beat"])

    missing = lab.check("celery.beat", survey=survey)["celery.beat"]
    assert missing.outcome is Outcome.WARNED
    assert "no scheduler" in told(missing)
    beats = [lab.run("beat", "beat", "-s", str(lab.folder / f"schedule-{number}")) for number in range(2)]
    lab.wait(lambda: "2 schedulers" in said(), "two schedulers to be seen")
    beats[1].kill()
    lab.wait(lambda: "runs as process" in said(), "one scheduler to be seen")
    os.kill(beats[0].pid, signal.SIGSTOP)
    assert list(failing(lab.check("celery.beat", survey=survey))) == ["celery.beat"]


def test_nothing_scheduled_needs_no_scheduler(lab):
    assert lab.check("celery.beat", survey=lab.survey("ai"))["celery.beat"].outcome is Outcome.SKIPPED
