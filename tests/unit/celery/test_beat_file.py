"""The scheduler's file is found wherever it was told to keep it."""

from __future__ import annotations

import pytest
from tests.unit.celery.states import ask, context, node

from intelli_checks.probes import beat, processes
from intelli_checks.probes.beat import BeatFacts
from intelli_checks.probes.processes import Process
from intelli_checks.probes.survey import Survey
from intelli_checks.probes.workers import WorkerFleet
from intelli_checks.registry import registry


@pytest.mark.parametrize(
    ("configured", "told", "where"),
    [
        (None, "", "project/celerybeat-schedule"),
        ("{tmp}/var/beat", "", "var/beat.db"),
        (None, "-s {tmp}/var/beat", "var/beat.dat"),
        (None, "--schedule=run/beat", "project/run/beat"),
        ("{tmp}/nowhere/beat", "", None),
    ],
)
def test_the_schedule_is_found(configured, told, where, tmp_path, monkeypatch):
    home = tmp_path / "project"
    home.mkdir()
    if where:
        (tmp_path / where).parent.mkdir(exist_ok=True)
        (tmp_path / where).touch()
    command = f"celery -A shop beat {told}".format(tmp=tmp_path)
    running = Process(1, 1, "sleeping", 60.0, command=command, directory=str(home))
    monkeypatch.setattr(processes, "celery", lambda _: (running,))
    conf = {"beat_schedule_filename": configured and configured.format(tmp=tmp_path)}
    seen = beat.gather(WorkerFleet(0), home, Survey("here", project=str(home), conf=conf))
    assert (seen.schedule, seen.written is not None) == (str(tmp_path / where) if where else "", bool(where))
    assert seen.no_folder == ("" if where else str(tmp_path / "nowhere"))


def test_a_scheduler_that_cannot_come_up_is_told_from_one_that_nobody_started():
    survey = Survey("here", celery_app="shop", beat={"nap": {"task": "shop.nap", "seconds": None}})
    here = {1: Process(1, 0, "sleeping", 600.0)}
    lost = context(node(), survey=survey, pools=here, beats=BeatFacts(no_folder="/var/run/shop"))
    assert "keeps its file in /var/run/shop, which does not exist; 1 scheduled task due" in ask("celery.beat", lost)[0]
    absent = context(node(), survey=survey, pools=here, beats=BeatFacts())
    assert ask("celery.beat", absent)[0].startswith("WARNING: all workers run here and no scheduler does")


BEAT, WORKER = "celery -A shop beat", "celery -A shop worker -B"


@pytest.mark.parametrize(
    ("commands", "hint"),
    [
        ((BEAT, BEAT), "kill 2   # and start beat once"),
        ((BEAT, WORKER), "restart the worker without -B (pid 2)"),
        ((WORKER, WORKER), "restart the workers without -B, all but one (pids 1, 2), and start beat once"),
    ],
)
def test_a_worker_is_not_killed_for_the_scheduler_in_it(commands, hint):
    seen = tuple(Process(pid, 0, "sleeping", 60.0, command=command) for pid, command in enumerate(commands, 1))
    survey = Survey("here", beat={"nap": {"task": "shop.nap", "seconds": None}})
    registry.load()
    found = next(iter(registry["celery.beat"].run(context(node(), survey=survey, beats=BeatFacts(processes=seen)))))
    assert found.hint == hint
