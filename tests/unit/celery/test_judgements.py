"""Facts in, findings out: what the checks make of states that are hard to bring about on purpose."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from tests.unit.celery.states import CONSUMER, NOW, ask, context, node, running, sent_here

from intelli_checks.dsn import Dsn
from intelli_checks.families.declared import idle_routes
from intelli_checks.model import Skip
from intelli_checks.probes.absence import Absence
from intelli_checks.probes.canary import Canary, Scene
from intelli_checks.probes.canary import gather as release
from intelli_checks.probes.clients import Client
from intelli_checks.probes.layout import Layout
from intelli_checks.probes.messages import Message
from intelli_checks.probes.nodes import Node, Request, parse_node
from intelli_checks.probes.processes import Process
from intelli_checks.probes.queues import Delivered, Queue, QueueDepths, Unacked
from intelli_checks.probes.survey import QueueDecl, Survey, TaskDecl
from intelli_checks.probes.watch import Look, Suspect, watch
from intelli_checks.probes.workers import WorkerFleet
from intelli_checks.registry import registry


@pytest.mark.parametrize(("seconds", "said"), [(300, ["ERROR"]), (61, []), (10, [])])
def test_a_task_beyond_its_limit(seconds, said):
    registered = {"shop.nap": {"time_limit": "60"}}
    found = ask("celery.stuck", context(node(active=(running(seconds),), registered=registered)))
    assert [words.partition(":")[0] for words in found] == said


def test_the_pools_own_limit_counts_where_the_task_has_none():
    (found,) = ask("celery.stuck", context(node(active=(running(900),), timeouts=(0.0, 120.0))))
    assert "15 min, its limit is 2 min" in found


@pytest.mark.parametrize(
    ("seconds", "limits", "said"),
    [
        (300, {"soft_time_limit": "60"}, ["WARNING"]),
        (90, {"soft_time_limit": "60"}, []),
        (300, {"soft_time_limit": "60", "time_limit": "290"}, []),
    ],
)
def test_a_soft_limit_that_the_task_catches_ends_nothing(seconds, limits, said):
    found = ask("celery.stuck", context(node(active=(running(seconds),), registered={"shop.nap": limits})))
    assert [words.partition(":")[0] for words in found] == said
    assert all("its soft limit is 60 s: it caught SoftTimeLimitExceeded" in words for words in found)


def test_two_applications_in_one_queue():
    survey = Survey("here", tasks=(TaskDecl("shop.nap", queue="celery"), TaskDecl("shop.pay", queue="celery")))
    stranger = node(queues=("celery",), registered={"mail.send": {}, "celery.accumulate": {}})
    (found,) = ask("celery.tasks", context(stranger, survey=survey))
    assert found == (
        "ERROR: w@h is another application's (mail.send) and takes messages of this one from celery: "
        "it knows none of these tasks and drops them"
    )
    older = node(queues=("celery",), registered={"shop.nap": {}})
    assert ask("celery.tasks", context(older, survey=survey)) == [
        "ERROR: w@h does not know shop.pay: it will drop them unseen"
    ]


@pytest.mark.parametrize(
    ("sent_to", "consumed", "hint"),
    [
        ("ai ", "ai", "write 'ai' for 'ai ' in task_routes; restart whoever sends"),
        ("ai", " ai", "no blanks in -Q: celery -A APP worker -l info -Q ai"),
        ("ai ", "charts", "celery -A APP worker -l info -Q 'ai '"),
    ],
)
def test_a_blank_is_part_of_a_queues_name(sent_to, consumed, hint):
    survey = Survey("here", tasks=(TaskDecl("shop.nap", queue=sent_to),))
    worker = replace(node(), queues=(consumed,))
    fleet = WorkerFleet(1, (worker,), clients=(CONSUMER,), taken=NOW)
    look = Look(fleet, QueueDepths({sent_to: Queue(sent_to)}, taken=NOW))
    lonely = watch(look, lambda: look, frozenset({sent_to}), 0.7)
    registry.load()
    found = next(iter(registry["celery.queues"].run(context(worker, survey=survey, watch=lonely, absence=Absence()))))
    assert ("a blank is part of a name" in found.message) == (consumed.strip() == "ai")
    assert found.hint == hint


def test_limits_nobody_enforces():
    threads = Node("t@h", pool="threads", registered={"shop.nap": {"time_limit": "60"}, "shop.noop": {}})
    assert ask("celery.limits", context(threads)) == [
        "WARNING: the threads pool of t@h ignores the time limits of 1 task: shop.nap"
    ]
    assert ask("celery.limits", context(node(registered={"shop.nap": {"time_limit": "60"}}))) == []


def test_the_policy_table_against_a_running_worker():
    survey = Survey(
        "here",
        queues=(QueueDecl("ai", policy={"concurrency": 2, "prefetch": 1}),),
        tasks=(TaskDecl("shop.nap", queue="ai", acks_late=True, time_limit=60),),
    )
    told = {"shop.nap": {"acks_late": "False", "time_limit": "120"}}
    found = ask("celery.policy", context(node(registered=told), survey=survey))
    assert "acks_late is False, the project says True" in found[0]
    assert "time_limit is 120.0, the project says 60" in found[0]
    assert "has 1 slot, the policy of ai says 2" in found[1]
    assert "reserves up to 4 messages, the policy of ai says 1" in found[2]


def test_one_worker_for_all_queues_is_a_choice():
    survey = Survey("here", queues=(QueueDecl("ai", policy={"concurrency": 2, "prefetch": 1}), QueueDecl("io")))
    assert ask("celery.policy", context(node(queues=("ai", "io")), survey=survey)) == []


def test_a_worker_that_hoards_while_another_is_idle():
    waiting = tuple(Request(str(number), "shop.nap", queue="ai") for number in range(3))
    busy, idle = node(active=(running(5),), reserved=waiting), Node("idle@h", queues=("ai",), concurrency=1)
    (found,) = ask("celery.prefetch", context(busy, idle))
    assert "w@h holds 3 waiting tasks while idle@h is idle" in found
    assert ask("celery.prefetch", context(busy)) == []


def test_a_storm_of_retries():
    tail = tuple(Message(id=str(number), task="shop.flaky", retries=number % 6) for number in range(60))
    depths = QueueDepths({"ai": Queue("ai", {"ai": 60}, tail)}, taken=NOW)
    assert ask("celery.retries", context(node(), depths=depths)) == []
    tail = tuple(Message(id=str(number), task="shop.flaky", retries=5) for number in range(60))
    depths = QueueDepths({"ai": Queue("ai", {"ai": 60}, tail)}, taken=NOW)
    assert (
        "60 of the next 60 messages are retries, most of shop.flaky"
        in ask("celery.retries", context(node(), depths=depths))[0]
    )


def test_a_message_so_large_that_moving_it_is_the_work():
    tail = (Message(task="shop.nap", size=900), Message(task="shop.report", size=60 * 2**20))
    depths = QueueDepths({"ai": Queue("ai", {"ai": 2}, tail)}, taken=NOW)
    told, _ = ask("celery.backlog", context(node(), depths=depths))
    assert told.startswith("WARNING: a message of 60 MiB waits, for shop.report")


def test_tasks_that_expired_while_they_waited():
    def moment(seconds: float) -> str:
        return datetime.fromtimestamp(NOW + seconds, UTC).isoformat()

    tail = (
        Message(id="1", task="shop.report", expires=moment(-90)),
        Message(id="2", task="shop.report", expires=moment(60)),
        Message(id="3", task="shop.nap", expires="soon"),
        Message(id="4", task="shop.nap"),
    )
    depths = QueueDepths({"ai": Queue("ai", {"ai": 4}, tail)}, taken=NOW)
    (found,) = ask("celery.expired", context(node(), depths=depths))
    assert "1 of the next 4 messages expired while they waited, the first 90 s ago (shop.report)" in found
    depths = QueueDepths({"ai": Queue("ai", {"ai": 3}, tail[1:])}, taken=NOW)
    assert ask("celery.expired", context(node(), depths=depths)) == []


def orphaned() -> QueueDepths:
    return QueueDepths({}, Unacked(1, (Delivered("t", NOW - 60, Message(id="9", task="shop.nap")),), NOW - 60), NOW)


def test_nothing_is_missed_in_what_was_not_asked_for():
    idle = node(concurrency=2)
    waiting = QueueDepths({"ai": Queue("ai", {"ai": 5}, (Message(tag="x"),))}, orphaned().unacked, NOW)
    assert {one.kind for one in Look(WorkerFleet(1, (idle,), taken=NOW), waiting).suspects(frozenset())} == {
        "queue",
        "orphan",
    }
    assert Look(WorkerFleet(1, (idle,), taken=NOW, untold=True), waiting).suspects(frozenset()) == frozenset()


def test_an_orphan_needs_everybody_accounted_for():
    assert ask("celery.unacked", context(node(), depths=orphaned()))[0].startswith(
        "ERROR: 1 delivered message held by no"
    )
    deaf = WorkerFleet(2, (node(),), silent=1, clients=(CONSUMER, CONSUMER), taken=NOW)
    assert ask("celery.unacked", context(depths=orphaned(), fleet=deaf))[0].startswith("INFO")
    unseen = WorkerFleet(1, (node(),), clients=None, taken=NOW)
    assert ask("celery.unacked", context(depths=orphaned(), fleet=unseen))[0].startswith("INFO")
    draining = WorkerFleet(1, (node(),), clients=(CONSUMER, CONSUMER), taken=NOW)
    assert ask("celery.unacked", context(depths=orphaned(), fleet=draining))[0].startswith("INFO")


def test_what_a_worker_holds_is_no_orphan():
    held = node(active=(Request("9", "shop.nap", started=NOW - 60),))
    assert ask("celery.unacked", context(held, depths=orphaned())) == [
        "INFO: 1 message delivered and not yet acknowledged"
    ]


def test_a_redelivered_task_alone_proves_nothing():
    again = node(active=(running(5, redelivered=True),))
    assert ask("celery.redelivery", context(again))[0].startswith("INFO")
    fresh = Process(7, 1, "sleeping", age=2.0)
    assert ask("celery.redelivery", context(again, pools={7: fresh}))[0].startswith("ERROR")


@pytest.mark.parametrize(("ahead", "said"), [(3600.0, "60 min ahead"), (-120.0, "2 min behind"), (5.0, "")])
def test_the_canary_tells_the_workers_time(ahead, said):
    bird = Canary("ai", "executed", 0.02, result=True, done_at=NOW + ahead, sent_at=NOW, workers=("w@h",))
    found = ask("celery.clock", context(node(), canaries=(bird,)))
    assert (said in found[0]) if said else found == []


def test_a_canary_nobody_took_and_one_nobody_executed():
    birds = (Canary("ai", "waiting", 4.0, workers=("w@h",)), Canary("ai", "taken", 4.0, workers=("w@h",)))
    found = ask("celery.canary", context(node(), canaries=birds))
    assert "nobody took a no-op task" in found[0]
    assert "did not execute it" in found[1]
    behind = Canary("ai", "behind", 4.0, workers=("w@h",))
    assert ask("celery.canary", context(node(), canaries=(behind,)))[0].startswith("INFO: taken, and waits behind")
    young = Node("w@h", queues=("ai",), uptime=2.0)
    assert all(words.startswith("INFO") for words in ask("celery.canary", context(young, canaries=birds)))


def test_a_full_pool_need_not_take_more():
    depths = QueueDepths({"ai": Queue("ai", {"ai": 3}, (Message(tag="t"),))})
    for active, kinds in (((running(5),), set()), ((), {"queue"})):
        look = Look(WorkerFleet(1, (node(active=active),)), depths)
        assert {suspect.kind for suspect in look.suspects(frozenset())} == kinds


def test_looks_end_when_everything_has_moved():
    stuck = Look(WorkerFleet(1, (node(reserved=(Request("1", "t"),)),)), QueueDepths())
    moved = Look(WorkerFleet(1, (node(total={"t": 1}),)), QueueDepths())
    looks = iter([stuck, moved])
    seen = watch(stuck, lambda: next(looks), frozenset(), 5.0)
    assert seen.standing == frozenset()
    assert seen.last is moved
    still = watch(stuck, lambda: stuck, frozenset(), 0.7)
    assert {suspect.kind for suspect in still.standing} == {"pool"}
    assert Suspect("pool", "w@h", "['1'] 0") in still.standing


@pytest.mark.parametrize(
    ("pools", "said"),
    [
        ({1: Process(1, 0, "sleeping", 600.0)}, "the process that ran it is dead"),
        ({1: Process(1, 0, "sleeping", 600.0), 7: Process(7, 1, "zombie", 300.0)}, "the process that ran it is dead"),
        ({7: Process(7, 1, "running", 5.0)}, "its process has just replaced one"),
        ({7: Process(7, 1, "running", 500.0)}, "was delivered again"),  # once, and it runs
        ({}, "was delivered again"),  # on another machine
    ],
)
def test_a_task_that_kills_its_processes(pools, said):
    worker = node(processes=(7,), active=(running(3, redelivered=True),))
    (found,) = ask("celery.redelivery", context(worker, pools=pools))
    assert said in found
    assert found.startswith("INFO" if "was delivered" in said else "ERROR")


def test_a_redelivered_message_is_waited_for_until_its_task_begins():
    message = Message(id="1", task="shop.nap", redelivered=True, tag="t")
    between = QueueDepths(taken=NOW, unacked=Unacked(1, (Delivered("t", NOW, message),)))
    first = Look(WorkerFleet(1, (node(),)), between)
    then = Look(WorkerFleet(1, (node(active=(running(0, redelivered=True),)),)), between)
    assert watch(first, lambda: then, frozenset(), 2.0).last is then
    once = QueueDepths(taken=NOW, unacked=Unacked(1, (Delivered("t", NOW, replace(message, redelivered=False)),)))
    assert watch(Look(first.fleet, once), lambda: then, frozenset(), 2.0).seconds == 0.0


def test_a_worker_told_to_consume_nothing_explains_the_connection_it_keeps():
    kept = replace(CONSUMER, blocked=False, idle=30)
    fleet = WorkerFleet(1, (node(queues=()),), clients=(kept,), taken=NOW)
    assert fleet.unexplained == 0
    assert replace(fleet, clients=(kept, CONSUMER)).unexplained == 1
    ctx = context(fleet=fleet)
    assert ask("celery.consuming", ctx) == ["ERROR: w@h answers and consumes no queue at all"]
    with pytest.raises(Skip):
        ask("celery.queues", ctx)


def _unconsumed(survey: Survey, worker: Node) -> list[str]:
    fleet = WorkerFleet(1, (worker,), clients=(CONSUMER,), taken=NOW)
    still = watch(Look(fleet, QueueDepths()), lambda: Look(fleet, QueueDepths()), frozenset(), 0)
    lonely = replace(still, standing=frozenset({Suspect("unconsumed", "celery")}))
    return ask("celery.queues", context(fleet=fleet, survey=survey, watch=lonely, absence=Absence()))


def test_a_worker_with_another_default_queue_explains_the_one_nobody_consumes():
    worker = node(queues=("shop",), conf={"task_default_queue": "shop"}, registered={"shop.tasks.nap": {}})
    (found,) = _unconsumed(sent_here(), worker)
    assert "w@h consumes shop: that is its task_default_queue, the project's is celery" in found


def test_the_worker_of_another_application_explains_no_queue_nobody_consumes():
    """Two applications of one repository on one broker: their default queues were to be made one."""
    worker = node(queues=("mail",), conf={"task_default_queue": "mail"}, registered={"mail.tasks.send": {}})
    found = _unconsumed(sent_here(), worker)
    assert found
    assert not [line for line in found if "task_default_queue" in line]


def test_a_pattern_that_takes_no_task_explains_the_queue_nobody_consumes():
    survey = sent_here(task_routes={"shp.tasks.*": {"queue": "slow"}})
    (found,) = _unconsumed(survey, node(queues=("slow",), conf={"accept_content": ["json"]}))
    assert "The route shp.tasks.* to slow, which is consumed, takes no task; did you mean 'shop.tasks.*'?" in found
    assert idle_routes(survey) == {"shp.tasks.*": "; did you mean 'shop.tasks.*'?"}
    assert idle_routes(sent_here(task_routes={"shop.*": "slow"})) == {}


def test_a_worker_of_another_app_explains_missing_results():
    survey = replace(sent_here(), results=Dsn("redis://h/0"))
    stranger = node(queues=("celery",), registered={"celery.ping": {}})
    ctx = context(stranger, survey=survey)
    assert "its application imported none" in ask("celery.tasks", ctx)[0]
    with pytest.raises(Skip):
        ask("celery.results", ctx)


def test_a_worker_that_leaves_before_it_told_its_tasks_is_not_one_that_has_none():
    """Asked for in a second round, which a worker in its warm shutdown may not live to see."""
    leaving = parse_node("w@h", {"stats": {}, "active_queues": [{"name": "celery"}]})
    waiting = QueueDepths(
        {"celery": Queue("celery", {"celery": 1}, tail=(Message(id="1", task="shop.tasks.nap"),))}, taken=NOW
    )
    other = node(queues=("celery",), registered={"shop.tasks.rest": {}})
    ctx = context(leaving, survey=sent_here(), depths=waiting)
    assert ask("celery.tasks", ctx) == ["INFO: w@h did not tell its tasks: it is shutting down, or busy"]
    assert ask("celery.unregistered", context(fleet=WorkerFleet(2, (leaving, other)), depths=waiting)) == []
    assert ask("celery.unregistered", context(other, depths=waiting))
    assert ask("celery.tasks", context(node(queues=("celery",)), survey=sent_here()))[0].startswith("ERROR")


def _full(seconds: float, behind: int, **more: object) -> list[str]:
    depths = QueueDepths({"ai": Queue("ai", {"ai": behind})}, taken=NOW)
    return ask("celery.stuck", context(node(active=(running(seconds),), **more), depths=depths))


@pytest.mark.parametrize(
    ("function", "seconds", "behind", "more", "deadlocked"),
    [
        ("nap", 45, 3, {"timeouts": (0.0, 600.0)}, True),  # the limit ends it in ten minutes, and the next begins
        ("nap", 45, 3, {}, True),
        ("nap", 5, 3, {}, False),
        ("nap", 45, 0, {}, False),
        ("nap", 45, 3, {"concurrency": 2}, False),
        ("buy", 45, 3, {}, False),  # a view that waits for a task
    ],
)
def test_a_pool_whose_tasks_wait_for_tasks_that_need_it(function, seconds, behind, more, deadlocked):
    waits = {"kind": "get", "file": "/srv/shop/tasks.py", "line": 12, "function": function}
    survey = replace(sent_here(), project="/srv/shop", extra={"usage": [waits]})
    depths = QueueDepths({"ai": Queue("ai", {"ai": behind})}, taken=NOW)
    found = ask("celery.stuck", context(node(active=(running(seconds),), **more), depths=depths, survey=survey))
    assert any(one.startswith("ERROR") and "(shop.nap, tasks.py:12); 3 tasks waiting" in one for one in found) is (
        deadlocked
    )


def test_a_pool_full_of_tasks_that_nothing_ends():
    (found,) = _full(45, 3)
    assert "all taken by tasks that no time limit will end: shop.nap for 45 s; 3 tasks waiting" in found
    assert found.startswith("WARNING")
    threads = _full(45, 3, pool="threads", registered={"shop.nap": {"time_limit": "60"}})
    assert len(threads) == 1  # the limit is set, and this pool keeps none


@pytest.mark.parametrize(
    ("seconds", "behind", "more"),
    [
        (5, 3, {}),
        (45, 0, {}),
        (45, 3, {"concurrency": 2}),
        (45, 3, {"timeouts": (0.0, 120.0)}),
        (45, 3, {"registered": {"shop.nap": {"time_limit": "60"}}}),
    ],
    ids=["young", "nothing waits", "a free slot", "a limit of the pool", "a limit of the task"],
)
def test_a_busy_pool_is_busy(seconds, behind, more):
    assert _full(seconds, behind, **more) == []


def test_a_canary_that_was_begun_and_not_ended_is_held_by_what_runs_around_it():
    bird = Canary("ai", "begun", 3.0, workers=("w@h",), pid=44)
    registry.load()
    (found,) = registry["celery.canary"].run(context(node(), canaries=(bird,)))
    assert found.message.startswith("w@h began a no-op task and has not ended it after 3.0 s: what runs around every")
    assert found.hint.startswith("py-spy dump --pid 44")
    survey = Survey("here", results=Dsn("redis://h/0"))
    lost = node(conf={"result_backend": "redis://gone/0"})
    (said,) = ask("celery.canary", context(lost, canaries=(bird,), survey=survey))
    assert said == "INFO: begun, not ended; its worker stores results elsewhere: see celery.results"


def test_a_canary_that_never_ended_tells_as_much_as_another_and_takes_no_second_slot():
    left = Request("9", "celery.accumulate", queue="ai", started=NOW - 60, pid=44)
    fleet = WorkerFleet(1, (node(active=(left,)),), taken=NOW)
    scene = Scene(Layout(Dsn("redis://h/0")), fleet, QueueDepths(taken=NOW))
    (bird,) = release(scene, 4.0)
    assert (bird.outcome, bird.seconds, bird.pid, bird.workers) == ("begun", 60.0, 44, ("w@h",))


def _mute(*clients: Client) -> list[str]:
    """What is said of a standing message where workers answer nobody."""
    depths = QueueDepths({"celery": Queue("celery", {"celery": 1})}, taken=NOW)
    fleet = WorkerFleet(0, (), clients=clients, taken=NOW)
    look = Look(fleet, depths)
    seen = replace(watch(look, lambda: look, frozenset(), 0), standing=frozenset({Suspect("unconsumed", "celery")}))
    return ask("celery.queues", context(fleet=fleet, depths=depths, survey=sent_here(), watch=seen))


def test_a_message_that_lies_still_beside_workers_that_wait():
    assert "1 message in celery, not taken while 1 worker" in _mute(CONSUMER)[0]
    full = replace(CONSUMER, blocked=False, idle=30)
    assert _mute(CONSUMER, full) == ["INFO: no worker tells what it consumes"]
