"""Why nobody listens: what is said of workers that are elsewhere, refused, hung, or not there at all."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.celery.states import CONSUMER, NOW, ask, context, node, sent_here

from intelli_checks.dsn import Dsn
from intelli_checks.model import Unavailable
from intelli_checks.probes.absence import Absence, Elsewhere
from intelli_checks.probes.clients import Client
from intelli_checks.probes.keyspace import Keyspace
from intelli_checks.probes.led_elsewhere import Led
from intelli_checks.probes.messages import Message
from intelli_checks.probes.processes import Process
from intelli_checks.probes.queues import Delivered, Queue, QueueDepths, Unacked
from intelli_checks.probes.redis_facts import Refusal
from intelli_checks.probes.senders import WORKER, Sender
from intelli_checks.probes.survey import QueueDecl, Survey
from intelli_checks.probes.watch import Look, Suspect, Watch
from intelli_checks.probes.workers import WorkerFleet
from intelli_checks.registry import registry

NOBODY = "no worker listens on this broker"


def test_a_worker_that_may_not_read_the_answers_of_others_ends_at_once():
    refused = (Refusal("LLEN intelli-ops.reply.celery.pidbox", "NOPERM", "NOPERM no permissions to access a key"),)
    found = ask("celery.workers", context(keyspace=Keyspace(), absence=Absence(refused=refused)))
    assert found[0].startswith("ERROR: no worker listens on this broker, and one that user default starts ends at once")
    found = ask("celery.workers", context(keyspace=Keyspace(), absence=Absence()))
    assert found == ["ERROR: no worker listens on this broker"]


@pytest.mark.parametrize(
    ("idle", "uptime", "conf", "said"),
    [
        (118, 125, {}, "ERROR: 1 worker connected 2 min ago, has taken nothing since and answers nobody"),
        (40, 125, {}, "WARNING: 1 worker holds its connection"),  # it took messages until 40 s ago: it drains
        (118, 86400, {}, "WARNING: 1 worker holds its connection"),  # its first one: told to stop as soon as it came
        (118, 125, {"worker_enable_remote_control": False}, "WARNING: 1 worker holds its connection"),
    ],
)
def test_a_worker_whose_consumer_did_not_come_back_is_told_from_one_that_drains(idle, uptime, conf, said):
    client = Client("10.0.0.1:5", 0, "brpop", blocked=False, idle=idle, age=120)
    fleet = WorkerFleet(0, clients=(client,), taken=NOW)
    depths = QueueDepths({"ai": Queue("ai", {"ai": 3})}, taken=NOW, uptime=uptime)
    survey = Survey("here", conf=conf, queues=(QueueDecl("ai"),))
    ctx = context(fleet=fleet, depths=depths, survey=survey, absence=Absence(), keyspace=Keyspace())
    (found,) = ask("celery.workers", ctx)
    assert found.startswith(said)


def test_one_of_two_workers_whose_consumer_did_not_come_back():
    gone = Client("127.0.0.1:7001", 0, "brpop", blocked=False, idle=118, age=120)
    here = Process(44, 1, "sleeping", 900.0, ports=(7000, 7001))
    survey = Survey("here", queues=(QueueDecl("ai"),))

    def said(*clients: Client) -> list[str]:
        fleet = WorkerFleet(1, (node(),), clients=clients, taken=NOW)
        depths = QueueDepths({"ai": Queue("ai", {"ai": 3})}, taken=NOW)
        return ask("celery.silent", context(fleet=fleet, survey=survey, depths=depths, absence=Absence(local=(here,))))

    assert said(CONSUMER, gone)[0].startswith("ERROR: worker process 44 connected 2 min ago, has taken nothing since")
    assert said(CONSUMER) == []
    assert said(gone) == []  # the one that answers, full since it began


@pytest.mark.parametrize(
    ("port", "idle", "others", "said"),
    [
        (7001, 0, (), "WARNING: worker process 44 asks for messages and has not answered for 2.4 s"),
        (9999, 0, (), "WARNING: worker process 44 asks for messages and has not answered for 2.4 s"),
        (9999, 0, (node(),), "ERROR: worker process 44 is alive and does not answer: its event loop hangs"),
        (7001, 3, (), "ERROR: worker process 44 is alive and does not answer: its event loop hangs"),
    ],
    ids=["slow", "behind a proxy", "another's connection", "hung"],
)
def test_a_worker_on_a_slow_line_does_not_hang(port, idle, others, said):
    """It went on asking for messages while it was watched."""
    taking = Client(f"127.0.0.1:{port}", 0, "brpop", blocked=False, idle=idle, age=600)
    fleet = WorkerFleet(1 + len(others), others, silent=1, clients=(taking,), taken=NOW)
    seen = Look(fleet, QueueDepths(taken=NOW))
    watched = Watch(seen, seen, frozenset({Suspect("silent", "1")}), 2.4)
    here = Process(
        44, 1, "sleeping", 600, ports=(7000, 7001), directory="/srv/shop", children=(Process(45, 44, "s", 9),)
    )
    survey = Survey("here", project="/srv/shop")
    ctx = context(fleet=fleet, survey=survey, watch=watched, absence=Absence(local=(here,)))
    (found,) = ask("celery.silent" if others else "celery.workers", ctx)
    assert found.startswith(said)


def test_workers_on_another_database_are_the_reason_only_where_nobody_consumes_on_this_one():
    """Staging and production may share a server: one's silent worker is not the other's wrong database."""
    there = Elsewhere("database", "5", WorkerFleet(1, (node(registered={"shop.tasks.nap": {}}),)))
    absence = Absence(elsewhere=(there,))
    alone = WorkerFleet(0, clients=(), taken=NOW)
    (found,) = ask("celery.workers", context(fleet=alone, survey=sent_here(), absence=absence))
    assert "the workers are on database 5 of this Redis" in found
    silent = WorkerFleet(0, clients=(CONSUMER,), taken=NOW)
    found = ask("celery.workers", context(fleet=silent, survey=sent_here(), absence=absence, depths=QueueDepths()))
    assert "database 5" not in str(found)


def test_a_driver_no_worker_can_connect_with_explains_why_none_is_there():
    versions, extra = {"kombu": "5.7.0", "redis": "5.0.8"}, {"driver_wanted": "6.1.0"}
    survey = replace(sent_here(), broker=Dsn("redis://h/0"), versions=versions, extra=extra)
    ctx = context(fleet=WorkerFleet(0, clients=(), taken=NOW), survey=survey, absence=Absence())
    with pytest.raises(Unavailable) as raised:
        ask("celery.workers", ctx)
    assert raised.value.cause == "celery.broker_url"


def _local_worker(age: float, *peers: str) -> str:
    """What is said of the only worker process here, which has no connection to the project's broker."""
    process = Process(7, 1, "sleeping", age=age, directory="/srv/shop", peers=peers)
    survey = Survey("here", project="/srv/shop")
    fleet = WorkerFleet(0, (), clients=(), taken=NOW)
    (found,) = ask("celery.workers", context(fleet=fleet, survey=survey, absence=Absence(local=(process,))))
    return found


def test_a_worker_on_another_broker_is_told_with_its_address():
    assert "takes its tasks from 10.0.0.9:6379" in _local_worker(3, "10.0.0.9:6379", "10.0.0.9:6379", "10.0.0.5:5432")
    assert "is connected to no broker, or to another one" in _local_worker(60, "10.0.0.5:5432")
    assert _local_worker(3, "10.0.0.5:5432").startswith("WARNING: worker process 7 was started 3 s ago")


MAILS = node(pid=7, registered={"mail.tasks.send": {}})


@pytest.mark.parametrize(
    ("elsewhere", "command", "ours"),
    [
        ((), "celery -A shop.celery worker", True),
        ((), "celery --app=shop.work:app worker", True),
        ((), "celery worker", True),
        ((), "celery -A mail.celery worker", False),
        ((Elsewhere("database", "3", WorkerFleet(1, (MAILS,))),), "celery -A work worker", False),
        ((Elsewhere("database", "3", WorkerFleet(1, (replace(MAILS, pid=8),))),), "celery -A work worker", True),
    ],
)
def test_the_worker_of_another_application_in_this_folder_is_not_the_project_s(elsewhere, command, ours):
    process = Process(7, 1, "sleeping", age=600, directory="/srv/shop", command=command, peers=("10.0.0.9:6379",) * 2)
    survey = replace(sent_here(), project="/srv/shop", celery_app="shop.celery:app")
    absence = Absence(local=(process,), elsewhere=elsewhere)
    ctx = context(fleet=WorkerFleet(0, (), clients=(), taken=NOW), survey=survey, absence=absence)
    (found,) = ask("celery.workers", ctx)
    assert ("the project's worker process 7" in found) is ours


@pytest.mark.parametrize(
    ("age", "remote", "said"),
    [
        (3, True, "WARNING: worker process 7 was started 3 s ago and is not ready yet"),
        (600, True, "process 7 is connected to this Redis, on another database or with another key prefix"),
        (600, False, "INFO: worker process 7 is connected to this Redis, with remote control off"),
    ],
)
def test_a_worker_on_this_very_redis_that_does_not_tell_its_clients(age, remote, said):
    """Managed servers deny CLIENT LIST: a healthy worker was told to take its tasks from where it should."""
    process = Process(7, 1, "sleeping", age=age, directory="/srv/shop", peers=("10.0.0.9:6379",) * 3)
    survey = Survey("here", project="/srv/shop", conf={"worker_enable_remote_control": remote})
    absence = Absence(local=(process,), server="10.0.0.9:6379")
    (found,) = ask("celery.workers", context(fleet=WorkerFleet(0, taken=NOW), survey=survey, absence=absence))
    assert said in found


@pytest.mark.parametrize(
    ("theirs", "queues", "said"),
    [
        ({"mail.send"}, ("celery",), "(pids 1, 2), and one is another application's (mail.send): it takes"),
        ({"shop.tasks.nap"}, ("celery",), "(pids 1, 2)"),
        ({"mail.send"}, ("mails",), "(pids 1, 2)"),
    ],
)
def test_namesakes_of_two_applications(theirs, queues, said):
    both = (node(queues=("celery",)), node(pid=2, queues=queues))
    told = {"w@h": (frozenset({"shop.tasks.nap", "celery.accumulate"}), frozenset({*theirs, "celery.accumulate"}))}
    (found,) = ask("celery.nodenames", context(fleet=WorkerFleet(2, both, namesakes=told), survey=sent_here()))
    assert found.startswith(f"ERROR: 2 workers are called w@h {said}")
    assert ("application" in said) is ("application" in found)


@pytest.mark.parametrize(("database", "blamed"), [(3, False), (0, True)])
def test_a_neighbours_worker_on_another_database_is_not_the_projects(database, blamed):
    """It was asked there and has none of the project's tasks; the project's own worker is simply not there."""
    process = Process(7, 1, "sleeping", 600, directory="/srv/mail", ports=(7000, 7001), peers=("127.0.0.1:6379",) * 2)
    mailbox = Client("127.0.0.1:7000", database, "psubscribe", blocked=False, idle=9, age=600, patterns=1)
    taking = Client("127.0.0.1:7001", database, "brpop" if database else "llen", blocked=True, idle=0, age=600)
    there = Elsewhere("database", "3", WorkerFleet(1, (node(registered={"mail.send": {}}),)))
    fleet = WorkerFleet(0, (), clients=(mailbox, taking), taken=NOW)
    absence = Absence((there,) if database else (), local=(process,))
    (found,) = ask("celery.workers", context(fleet=fleet, survey=sent_here(), absence=absence))
    assert ("process 7" in found) is blamed
    assert found.startswith("ERROR: no worker listens on this broker")


@pytest.mark.parametrize(
    ("theirs", "blamed"), [({"mail.send"}, False), (set(), True)], ids=["a neighbour", "as bare as the project"]
)
def test_a_project_without_tasks_of_its_own_does_not_take_a_neighbours_workers_for_its_own(theirs, blamed):
    there = Elsewhere("database", "3", WorkerFleet(1, (node(registered={task: {} for task in theirs}),)))
    bare = replace(sent_here(), tasks=())
    (found,) = ask("celery.workers", context(fleet=WorkerFleet(0, ()), survey=bare, absence=Absence((there,))))
    assert ("database 3" in found) is blamed
    assert blamed or found.startswith("ERROR: no worker listens on this broker")


def test_a_worker_that_root_starts_refuses_to_unpickle():
    survey = Survey("here", conf={"accept_content": ["json", "pickle"]}, extra={"root_refused": True})
    found = ask("celery.workers", context(keyspace=Keyspace(), absence=Absence(), survey=survey))
    assert found == [
        "ERROR: no worker listens on this broker, and one that root starts ends at once: workers accept pickle"
    ]


@pytest.mark.parametrize(
    ("sender", "said", "typed"),
    [
        (
            Sender(44, WORKER, variable="-b", broker="redis://:***@h/5"),
            ": it was started with -b redis://:***@h/5",
            "without -b",
        ),
        (
            Sender(44, WORKER, config="CELERY_CONFIG_MODULE", module="prod"),
            ": it was started with CELERY_CONFIG_MODULE=prod",
            "give pid 44 the CELERY_CONFIG_MODULE of whoever sends",
        ),
        (Sender(45, WORKER, variable="-b", broker="redis://h/5"), "", "compare its broker_url"),
        (Sender(44, "the web server", variable="BROKER", broker="redis://h/5"), "", "compare its broker_url"),
    ],
    ids=["option", "module", "another worker", "no worker"],
)
def test_a_worker_elsewhere_is_told_with_what_it_was_started_with(sender, said, typed):
    away = Process(44, 1, "sleeping", 900.0, directory="/srv/shop", peers=("10.0.0.9:6379", "10.0.0.9:6379"))
    survey = Survey("here", project="/srv/shop")
    ctx = context(survey=survey, absence=Absence(local=(away,)), keyspace=Keyspace(), senders=(sender,))
    registry.load()
    (found,) = registry["celery.workers"].run(ctx)
    assert found.message.endswith(f"worker process 44 takes its tasks from 10.0.0.9:6379{said}")
    assert typed in found.hint


def test_a_worker_elsewhere_is_told_with_the_variable_that_holds_the_address_of_its_connection():
    away = Process(44, 1, "sleeping", 900.0, directory="/srv/shop", peers=("10.0.0.9:6379", "10.0.0.9:6379"))
    survey, led = Survey("here", project="/srv/shop"), Led(44, "10.0.0.9:6379", "SHOP_REDIS", "redis://10.0.0.9")
    facts = {"absence": Absence(local=(away,)), "keyspace": Keyspace(), "senders": (), "led_elsewhere": (led,)}
    registry.load()
    (found,) = registry["celery.workers"].run(context(survey=survey, **facts))
    assert found.message.endswith("from 10.0.0.9:6379: it was started with SHOP_REDIS=redis://10.0.0.9")
    assert "give pid 44 the SHOP_REDIS of whoever sends" in found.hint
    assert "CELERY_BROKER_URL" not in found.hint


def test_workers_on_another_database_are_told_with_what_they_were_started_with():
    there = Elsewhere("database", "5", WorkerFleet(1, (node(pid=44),), database=5))
    sender = Sender(44, WORKER, variable="CELERY_BROKER_URL", broker="redis://h/5")
    ctx = context(survey=Survey("here"), absence=Absence(elsewhere=(there,)), keyspace=Keyspace(), senders=(sender,))
    (found,) = ask("celery.workers", ctx)
    assert found.endswith("w@h: it was started with CELERY_BROKER_URL=redis://h/5")


def test_where_nobody_configures_a_broker_a_worker_that_has_one_says_where_from():
    survey = Survey("here", celery_app="shop:app", broker=Dsn("amqp://guest@localhost//"))
    sender = Sender(44, WORKER, config="--config", module="prod")
    registry.load()
    (found,) = registry["celery.broker_url"].run(context(survey=survey, senders=(sender,)))
    assert found.message.endswith("a worker (pid 44) has one, it was started with --config prod")
    assert found.hint.startswith("export CELERY_CONFIG_MODULE=prod ")
    (found,) = ask("celery.broker_url", context(survey=survey, senders=()))
    assert "a worker" not in found


@pytest.mark.parametrize("redelivered", [False, True], ids=["once", "more than once"])
def test_a_message_that_may_end_its_worker_is_told_with_task_and_id(redelivered):
    message = Message(id="9", task="shop.die", redelivered=redelivered)
    depths = QueueDepths({}, Unacked(1, (Delivered("t-1", NOW - 60, message),), NOW - 60), NOW)
    registry.load()
    (gone,) = registry["celery.workers"].run(context(depths=depths, keyspace=Keyspace(), absence=Absence()))
    assert "the last one held shop.die (9) when it ended" in gone.message
    assert ("HDEL unacked t-1" in gone.hint) is redelivered
    (orphan,) = registry["celery.unacked"].run(context(node(), depths=depths))
    assert "shop.die (9)" in orphan.message
    assert ("may be what ends its worker" in orphan.message) is redelivered
    assert ("control revoke 9" in orphan.hint) is redelivered
