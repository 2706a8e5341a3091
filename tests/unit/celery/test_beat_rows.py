"""A schedule that lives in the database: rows that nobody checks when they are written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.celery.test_judgements import ask, context, node

from intelli_checks.context import Context
from intelli_checks.model import Skip
from intelli_checks.probes.beat import BeatFacts
from intelli_checks.probes.processes import Process
from intelli_checks.probes.survey import Audit, Survey, TaskDecl
from intelli_checks.registry import registry

PROJECT = Survey(
    "here",
    celery_app="shop.celery:app",
    conf={"beat_scheduler": "django_celery_beat.schedulers:DatabaseScheduler"},
    tasks=(TaskDecl("shop.tasks.sweep", queue="ai"),),
)


def scheduled(*, beat: bool = True, **row: Any) -> list[str]:
    audits = {"here": Audit("here", schedule={"nightly": {"task": "shop.tasks.sweep", "queue": None, **row}})}
    beats = BeatFacts(answering=("beat@h",)) if beat else BeatFacts()
    return ask("celery.beat_database", context(node(), survey=PROJECT, audits=audits, beats=beats))


def test_a_row_that_can_run_is_silent() -> None:
    assert scheduled() == []
    assert scheduled(queue="ai") == []


def test_a_row_names_a_task_nobody_registers() -> None:
    (found,) = scheduled(task="shop.tasks.swep")
    assert found.startswith("ERROR: the database schedules shop.tasks.swep")
    assert "did you mean 'shop.tasks.sweep'?" in found


def test_a_row_sends_to_a_queue_without_a_worker() -> None:
    (found,) = scheduled(queue="nightly")
    assert "to queue nightly, which no worker consumes" in found


def test_rows_without_a_scheduler() -> None:
    (found,) = scheduled(beat=False)
    assert found.startswith("INFO: could not tell")


def test_celerys_own_clean_up_is_no_schedule() -> None:
    with pytest.raises(Skip, match="schedules nothing"):
        scheduled(task="celery.backend_cleanup")


def test_a_row_that_last_ran_in_the_future() -> None:
    assert scheduled(ahead=20.0) == []
    (found,) = scheduled(ahead=9 * 3600.0)
    assert found == "ERROR: nightly last ran 9 h from now, by its row: it is not sent before that"


@pytest.mark.parametrize(
    ("command", "entries", "said"),
    [
        ("celery -A shop beat", (), "ERROR: the database schedules nightly, and the scheduler, process 7, does not"),
        ("celery -A shop worker -B -S w.state", (), "ERROR: the database schedules nightly"),
        ("celery -A shop beat", ("other",), "WARNING: the database schedules nightly"),
        ("celery -A shop beat", ("nightly",), ""),  # a leftover: the settings' own entry, which is sent
        ("celery -A shop beat -S django", (), ""),
        ("celery -A shop worker -B --scheduler=django", (), ""),
    ],
)
def test_rows_that_the_scheduler_does_not_read(command: str, entries: tuple[str, ...], said: str) -> None:
    beats = BeatFacts(processes=(Process(7, 1, "sleeping", 600.0, command=command),))
    found = ask("celery.beat_database", unsaid(beats, *entries))
    assert [words[: len(said)] for words in found] == ([said] if said else [])


def test_rows_where_no_setting_names_their_scheduler_and_none_runs() -> None:
    ctx = unsaid(BeatFacts(), pools={1: Process(1, 0, "sleeping", 600.0)})
    registry.load()
    (found,) = registry["celery.beat_database"].run(ctx)
    assert found.message.startswith("all workers run here and no scheduler does: 1 scheduled task will not be sent")
    assert found.hint == "celery -A shop.celery:app beat -S django"
    with pytest.raises(Skip):
        ask("celery.beat_database", unsaid(BeatFacts(), "other"))


def test_two_schedulers_that_only_their_command_lines_send_to_the_database() -> None:
    twice = [Process(pid, 1, "sleeping", 600.0, command="celery -A shop beat -S django") for pid in (7, 8)]
    (found, _) = ask("celery.beat", unsaid(BeatFacts(processes=tuple(twice))))
    assert found.startswith("ERROR: 2 schedulers run here (pids 7, 8)")


def test_a_workers_state_file_is_no_scheduler() -> None:
    worker = Process(7, 1, "sleeping", 600.0, command="celery -A shop worker -B -S /run/w.state")
    found = ask("celery.beat", context(node(), survey=PROJECT, beats=BeatFacts(processes=(worker,))))
    assert found == ["INFO: runs as process 7"]


def test_rows_that_send_the_same_at_the_same_times() -> None:
    row = {"task": "shop.tasks.sweep", "queue": None}
    rows = {"old": {**row, "same": "a"}, "nightly": {**row, "same": "a"}, "weekly": {**row, "same": "b"}}
    survey = replace(PROJECT, beat={"nightly": {"task": "shop.tasks.sweep", "seconds": None}})
    beats = BeatFacts(answering=("beat@h",))
    registry.load()
    ctx = context(node(), survey=survey, audits={"here": Audit("here", schedule=rows)}, beats=beats)
    (found,) = registry["celery.beat_database"].run(ctx)
    assert found.message.startswith("old, nightly send shop.tasks.sweep with the same arguments at the same times")
    assert found.hint.startswith("switch off old in the admin")


def unsaid(beats: BeatFacts, *entries: str, **facts: Any) -> Context:
    """A project with one row in the database and no setting that names its scheduler."""
    survey = replace(
        PROJECT,
        conf={"beat_scheduler": "celery.beat:PersistentScheduler"},
        django={"INSTALLED_APPS": ["django_celery_beat"]},
        beat={name: {"task": "shop.tasks.sweep", "seconds": None} for name in entries},
    )
    audits = {"here": Audit("here", schedule={"nightly": {"task": "shop.tasks.sweep", "queue": None}})}
    return context(node(), survey=survey, audits=audits, beats=beats, **facts)
