"""What stored failures have in common: the system's reasons are told apart from the tasks' own."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from tests.unit.celery.states import ask, context, node

from intelli_checks.probes.results import Failure, ResultSample, _ended_badly, _message, _unknown, _word, failure_of
from intelli_checks.probes.survey import Survey, TaskDecl
from intelli_checks.probes.trace import Trace
from intelli_checks.registry import registry
from intelli_ops import whereabouts

MINUTE = 86400 - 60
"""What is left of a result's day a minute after the task ended."""


def failed(exception: str, message: str = "", ttl: int = MINUTE) -> Failure:
    return Failure(f"id-{exception}", exception, message, ttl)


def asked(*failures: Failure, looked_at: int = 100) -> list[str]:
    return ask("celery.failures", context(node(), result_sample=ResultSample(looked_at, failures=failures)))


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (failed("WorkerLostError"), "1 task lost with the pool process"),
        (failed("SoftTimeLimitExceeded"), "ended by a time limit"),
        (failed("NotRegistered", "'shop.gone'"), "does not know the name"),
        (failed("OperationalError", '["database is locked"]'), "SQLite was locked"),
        (failed("OperationalError", '["no such table: shop_order"]'), "a table or column is missing"),
        (failed("ProgrammingError", '["relation \\"shop_order\\" does not exist'), "a table or column is missing"),
        (failed("OperationalError", '["could not connect"]'), "could not be used from the worker"),
        (failed("ConnectionError", '["Error 111 connecting"]'), "a server could not be reached"),
        (failed("OSError", '[28, "No space left on device"]'), "a disk or a quota is full"),
        (failed("OSError", '[122, "Disk quota exceeded"]'), "a disk or a quota is full"),
        (failed("TaskRevokedError", '["expired"]'), "expired before a worker took them"),
        (failed("EncodeError", '["Object of type coroutine is not JSON serializable"]'), "returned a coroutine"),
        (failed("EncodeError"), "the result could not be stored"),
    ],
)
def test_reasons_of_the_system_are_named(failure, words):
    (found,) = asked(failure)
    assert found.startswith("WARNING: 1 task")
    assert words in found
    assert "(the last 60 s ago)" in found


def test_a_failure_is_told_once_by_its_first_kind():
    found = asked(
        failed("OperationalError", "database is locked"), failed("WorkerLostError"), failed("WorkerLostError")
    )
    assert [line.partition(" task")[0] for line in found] == ["WARNING: 2", "WARNING: 1"]


def test_old_failures_and_those_of_unknown_age_are_no_news():
    assert asked(failed("WorkerLostError", ttl=3600), failed("WorkerLostError", ttl=-1)) == []


def test_failures_of_the_tasks_own_count_only_when_most_fail():
    own = [failed("ValueError") for _ in range(6)]
    assert asked(*own)[0].startswith("INFO: 6 tasks failed with ValueError")
    assert asked(*own, looked_at=9)[0].startswith("WARNING: 6 tasks failed with ValueError")


def test_the_message_is_looked_at_and_never_shown():
    (found,) = asked(failed("ConnectionError", "redis://:hunter2@cache"))
    assert "hunter2" not in found


def test_a_stored_failure_is_read_as_celery_writes_it():
    stored = {
        "status": "FAILURE",
        "result": {
            "exc_type": "OperationalError",
            "exc_message": ["database is locked"],
            "exc_module": "django.db.utils",
        },
        "traceback": "Traceback ...",
    }
    head = json.dumps(stored)[:600]
    assert (_word(head, "exc_type"), "database is locked" in _message(head)) == ("OperationalError", True)


def test_a_name_nobody_knows_is_told_with_the_one_that_was_meant():
    gone = replace(failed("NotRegistered"), task="tasks.nap")
    survey = Survey("here", tasks=(TaskDecl("shop.tasks.nap", queue="ai"),))
    (found,) = ask("celery.failures", context(node(), survey=survey, result_sample=ResultSample(9, failures=(gone,))))
    assert "does not know the name: tasks.nap; did you mean 'shop.tasks.nap'?" in found


def test_what_to_do_for_a_name_nobody_knows_names_its_module():
    gone = replace(failed("NotRegistered"), task="shop.mail.send")
    survey = Survey("here", tasks=(TaskDecl("shop.tasks.nap", queue="ai"),))
    ctx = context(node(), survey=survey, result_sample=ResultSample(9, failures=(gone,)))
    hints = [found.hint for found in registry["celery.failures"].run(ctx)]
    assert 'include=["shop.mail"]' in str(hints[0])


HEADS = [
    ('{"status": "FAILURE", "result": {"exc_type": "NotRegistered", "exc_message": ["tasks.nap"]', True, "tasks.nap"),
    ('{"status": "FAILURE", "result": {"exc_type": "ValueError", "exc_message": ["tasks.nap"]', True, ""),
    ('{"status": "REVOKED", "result": {"exc_type": "TaskRevokedError", "exc_message": ["expired"]', True, ""),
    ('{"status": "REVOKED", "result": {"exc_type": "TaskRevokedError", "exc_message": ["revoked"]', False, ""),
    ('{"status": "SUCCESS", "result": "expired"', False, ""),
]


@pytest.mark.parametrize(("head", "badly", "name"), HEADS)
def test_what_a_stored_result_says_of_its_end(head, badly, name):
    assert (_ended_badly(head), _unknown(head)) == (badly, name)


FAILURES = [
    (HEADS[0][0], "NotRegistered: its worker did not know tasks.nap", "fix: intelli-ops check celery.tasks"),
    (HEADS[1][0], "ValueError", "its traceback is in the worker's log"),
]


@pytest.mark.parametrize(("head", "failure", "then"), FAILURES)
def test_a_task_that_failed_is_told_with_what_was_raised(head, failure, then):
    """And without what the exception says: arguments and passwords are in there."""
    assert failure_of(head) == failure
    told = whereabouts.tell(Trace("7", "FAILURE", failure, store=True), context(node()))
    assert told.lines[0] == f"7: ended: FAILURE, {failure}"
    assert told.lines[1].strip().startswith(then)
