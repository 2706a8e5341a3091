"""A schedule that lives in the database: rows that nobody checks when they are written."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.celery.test_judgements import ask, context, node

from intelli_checks.model import Skip
from intelli_checks.probes.beat import BeatFacts
from intelli_checks.probes.survey import Audit, Survey, TaskDecl

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
