"""Work that waits for a reason of the worker's own: rate limits, and priority lists it does not read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.celery.test_judgements import NOW, ask, context, node

from intelli_checks.dsn import Dsn
from intelli_checks.probes.absence import Absence
from intelli_checks.probes.canary import Scene, _rest
from intelli_checks.probes.keyspace import Keyspace
from intelli_checks.probes.layout import Layout
from intelli_checks.probes.messages import Message
from intelli_checks.probes.nodes import Node
from intelli_checks.probes.queues import Delivered, Queue, QueueDepths, Unacked
from intelli_checks.probes.survey import QueueDecl, Survey, TaskDecl
from intelli_checks.probes.watch import Look, Suspect, has_room, watch
from intelli_checks.probes.workers import WorkerFleet

MAIL, OTHER = "shop.mail", "shop.nap"


def limited(rate: str) -> Node:
    return node(registered={MAIL: {"rate_limit": rate}, OTHER: {}})


def parked(number: int, behind: tuple[str, ...] = ()) -> QueueDepths:
    oldest = tuple(Delivered(str(n), NOW - 60, Message(id=str(n), task=MAIL)) for n in range(number))
    tail = tuple(Message(id=f"q{n}", task=task) for n, task in enumerate(behind))
    queue = Queue("ai", {"ai": len(tail)} if tail else {}, tail)
    return QueueDepths({"ai": queue}, Unacked(number, oldest, NOW - 60), NOW)


def test_tasks_in_a_token_bucket_are_neither_orphans_nor_a_deaf_worker() -> None:
    look = Look(WorkerFleet(1, (limited("1/h"),), taken=NOW), parked(4, (OTHER,)))
    assert look.suspects(frozenset({"ai"})) == frozenset()
    idle = Look(WorkerFleet(1, (limited("1/h"),), taken=NOW), parked(3, (OTHER,)))
    assert {suspect.kind for suspect in idle.suspects(frozenset())} == {"queue"}
    assert not has_room(limited("1/h"), 4)


CASES = [
    ("1/h", 4, (OTHER,), "ERROR", "takes nothing else meanwhile, from ai; 1 message of other tasks waiting"),
    ("1/h", 4, (MAIL,), "WARNING", "5 tasks shop.mail held back by the rate limit 1/h"),
    ("10/m", 4, (OTHER,), "WARNING", "1 message of other tasks waiting"),
    ("10/m", 3, (), "INFO", "held back"),
    ("1/h", 1, (OTHER,), "WARNING", "held back"),
]


@pytest.mark.parametrize(("rate", "number", "behind", "severity", "words"), CASES)
def test_a_rate_limit_is_judged_by_what_it_holds_up(
    rate: str, number: int, behind: tuple[str, ...], severity: str, words: str
) -> None:
    (found,) = ask("celery.rate_limits", context(limited(rate), depths=parked(number, behind)))
    assert found.startswith(severity)
    assert words in found


def test_a_full_worker_of_several_queues_blocks_them_all() -> None:
    worker = node(registered={MAIL: {"rate_limit": "1/h"}}, queues=("ai", "mail"))
    (found,) = ask("celery.rate_limits", context(worker, depths=parked(4)))
    assert found.startswith("ERROR")
    assert "from ai and mail" in found or "from ai, mail" in found


def test_no_canary_is_sent_to_a_worker_full_of_held_back_tasks() -> None:
    scene = Scene(Layout(Dsn("redis://h/0")), WorkerFleet(1, (limited("1/h"),), taken=NOW), parked(4))
    assert "rate limit" in _rest(scene, "ai")
    assert _rest(replace(scene, depths=parked(3)), "ai") == ""


def test_a_task_without_a_rate_limit_is_not_held_back() -> None:
    assert ask("celery.rate_limits", context(node(registered={MAIL: {}}), depths=parked(4))) == []


def layouts(options: dict[str, Any], waiting: dict[str, int], **survey: Any) -> list[str]:
    """What is said of a worker with these transport options, where the project has none."""
    worker = node(conf={"result_backend": "redis://h/1", "broker_transport_options": options})
    depths = QueueDepths({"ai": Queue("ai", waiting)}, taken=NOW)
    return ask("celery.queues", context(worker, depths=depths, survey=Survey("here", **survey)))


def test_priority_lists_that_the_worker_does_not_read() -> None:
    (found,) = [line for line in layouts({"sep": ":"}, {"ai\x06\x163": 2}) if "sep" in line]
    assert found.startswith("ERROR: w@h has another sep in broker_transport_options")
    (found,) = [line for line in layouts({"priority_steps": [0, 5]}, {"ai\x06\x163": 1}) if "steps" in line]
    assert found.startswith("ERROR")


def test_other_steps_matter_only_where_priorities_are_used() -> None:
    (found,) = [line for line in layouts({"priority_steps": [0, 5]}, {}) if "steps" in line]
    assert found.startswith("WARNING")
    (found,) = [
        line for line in layouts({"priority_steps": [0, 5]}, {}, conf={"task_default_priority": 5}) if "steps" in line
    ]
    assert found.startswith("ERROR")
    assert not [line for line in layouts({"visibility_timeout": 9}, {"ai\x06\x163": 2}) if "broker_transport" in line]


def test_a_limit_the_project_does_not_set_is_a_fault() -> None:
    survey = Survey("here", tasks=(TaskDecl(MAIL, queue="ai"),))
    (found,) = ask("celery.rate_limits", context(limited("1/h"), depths=parked(3), survey=survey))
    assert found.startswith("ERROR")
    assert "the project sets none: sent by control rate_limit, or older code" in found
    same = Survey("here", tasks=(TaskDecl(MAIL, queue="ai", rate_limit="1/h"),))
    assert ask("celery.rate_limits", context(limited("1/h"), depths=parked(3), survey=same))[0].startswith("WARNING")


@pytest.mark.parametrize(
    ("name", "declared", "cause"),
    [
        ("ai-3", (), True),
        ("ai:6", (), True),
        ("ai-4", (), False),  # no priority that Celery writes by default
        ("io-3", (), False),  # nobody consumes a queue io
        ("ai-3", ("ai-3",), False),
    ],
)
def test_a_list_that_a_sender_with_another_separator_writes(name, declared, cause) -> None:
    depths = QueueDepths({name: Queue(name, {name: 2}, (Message(id="1", task=MAIL),))}, taken=NOW)
    queues = tuple(QueueDecl(queue) for queue in declared)
    survey = Survey("here", queues=queues, tasks=(TaskDecl(MAIL, queue="ai"),))
    worker = node()
    look = Look(WorkerFleet(1, (worker,), taken=NOW), depths)
    seen = replace(watch(look, lambda: look, frozenset(), 0), standing=frozenset({Suspect("unconsumed", name)}))
    ctx = context(worker, depths=depths, survey=survey, watch=seen, absence=Absence(), keyspace=Keyspace())
    (found,) = (one for one in ask("celery.queues", ctx) if name in one)
    assert found.startswith(f"ERROR: no worker consumes {name}: 2 messages waiting")
    assert (f"a sender whose sep is {name[2]!r}" in found) is cause
