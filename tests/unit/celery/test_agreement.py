"""Do workers and project agree, is it the same fleet as before, does the scheduler pay what it owes?"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.celery.states import NOW, ask, context, node, running

from intelli_checks.dsn import Dsn
from intelli_checks.model import Severity, Skip
from intelli_checks.probes import versions as probe
from intelli_checks.probes.absence import Absence
from intelli_checks.probes.beat import BeatFacts
from intelli_checks.probes.canary import Canary
from intelli_checks.probes.control import Control, Count
from intelli_checks.probes.denials import Denial
from intelli_checks.probes.earlier import Roll, Seen
from intelli_checks.probes.layout import Layout
from intelli_checks.probes.nodes import _settings
from intelli_checks.probes.processes import Process
from intelli_checks.probes.results import ResultSample, ResultStore
from intelli_checks.probes.senders import WORKER, Sender
from intelli_checks.probes.survey import QueueDecl, Survey, TaskDecl
from intelli_checks.probes.versions import versions
from intelli_checks.probes.workers import WorkerFleet
from intelli_checks.registry import registry
from intelli_checks.target import Target
from intelli_ops.state import StateFile

REPORT = """
software -> celery:5.4.0 (opalescent) kombu:5.7.0 py:3.11.7
            billiard:4.2.1 py-amqp:5.3.1
platform -> system:Linux arch:64bit
settings -> transport:redis results:redis://:planted@h/1

SECRET:1.2.3
"""
VERSIONS = {"celery": "5.4.0", "kombu": "5.7.0", "py": "3.11.7"}


def test_of_a_report_only_the_versions_are_kept():
    assert versions({"ok": REPORT}) == {**VERSIONS, "billiard": "4.2.1", "amqp": "5.3.1"}
    assert versions({"ok": ["odd"]}) == versions(None) == {}


def test_a_worker_of_other_versions_than_the_project():
    survey = Survey("here", python="3.12.1", versions={"celery": "5.7.0", "kombu": "5.7.0"})
    (found,) = ask("celery.versions", context(node(), survey=survey, versions={"w@h": VERSIONS}))
    assert found == "WARNING: w@h runs celery 5.4.0, Python 3.11; the project has 5.7.0, 3.12"
    same = Survey("here", python="3.11.2", versions={"celery": "5.4.0", "kombu": "5.7.0"})
    assert ask("celery.versions", context(node(), survey=same, versions={"w@h": VERSIONS})) == []


def test_without_a_project_workers_are_compared_with_each_other():
    two = {"w@h": VERSIONS, "v@h": {**VERSIONS, "celery": "5.6.0"}, "u@h": {}}
    assert ask("celery.versions", context(versions=two)) == ["WARNING: v@h runs celery 5.6.0; w@h has 5.4.0"]


def test_a_worker_tells_its_versions_once_in_its_life():
    fleet = WorkerFleet(1, (node(),), taken=NOW)
    roll = Roll().after(fleet, {"w@h": VERSIONS})
    assert probe.gather(Layout(Dsn("redis://127.0.0.1:1")), fleet, roll, 0.1) == {"w@h": VERSIONS}  # nobody was asked
    again = WorkerFleet(1, (node(uptime=5.0),), taken=NOW + 60)
    assert roll.after(again).workers["w@h"].versions == {}


def test_settings_that_differ_between_worker_and_project():
    survey = Survey("here", conf={"task_default_queue": "desk", "worker_max_tasks_per_child": 10})
    ctx = context(node(conf={"settings_module": "a", "task_default_queue": "celery"}), survey=survey)
    found = ask("celery.settings", ctx)
    assert "task_default_queue = 'celery', the project 'desk'" in found[0]
    assert "worker_max_tasks_per_child = None, the project 10" in found[1]
    same = {"settings_module": "a", "task_default_queue": "desk", "worker_max_tasks_per_child": 10}
    assert ask("celery.settings", context(node(conf=same), survey=survey)) == []


BERLIN, YORK = "Europe/Berlin", "America/New_York"


@pytest.mark.parametrize(
    ("theirs", "ours", "namespace"),
    [
        ({"timezone": YORK}, {"timezone": BERLIN}, None),
        ({"CELERY_TIMEZONE": YORK, "TIME_ZONE": BERLIN}, {"timezone": BERLIN}, "CELERY"),
        ({"TIME_ZONE": YORK, "SETTINGS_MODULE": "a"}, {"timezone": BERLIN}, "CELERY"),
        ({"timezone": YORK}, {"timezone": None}, None),
        ({"task_track_started": False}, {"timezone": BERLIN}, None),
    ],
)
def test_a_time_without_a_zone_means_another_moment_there(theirs, ours, namespace):
    survey = Survey("here", conf=ours, extra={"namespace": namespace})
    (found,) = ask("celery.settings", context(node(conf=_settings(theirs)), survey=survey))
    assert "has timezone = " in found
    assert "an eta without a zone means another moment there" in found


@pytest.mark.parametrize(
    ("theirs", "ours", "namespace"),
    [
        ({"timezone": BERLIN}, {"timezone": BERLIN}, None),
        ({"task_track_started": False}, {"timezone": "UTC"}, None),
        ({"timezone": "Etc/UTC"}, {"timezone": None, "enable_utc": True}, None),
        ({"SETTINGS_MODULE": "a"}, {"timezone": "America/Chicago"}, "CELERY"),  # Django's default, told by nobody
        ({"SHOP_TIMEZONE": YORK, "TIME_ZONE": BERLIN}, {"timezone": BERLIN}, "CELERY"),
        ({"SHOP_TIMEZONE": BERLIN, "TIME_ZONE": YORK}, {"timezone": BERLIN}, "SHOP"),
        ({"timezone": "zoneinfo.ZoneInfo(key='Europe/Berlin')"}, {"timezone": BERLIN}, None),
        ({"timezone": YORK}, {"timezone": "zoneinfo.ZoneInfo"}, None),
        ({"enable_utc": False}, {"enable_utc": False, "timezone": BERLIN}, None),
        ({}, {"timezone": BERLIN}, None),
    ],
)
def test_zones_that_are_one_or_that_nobody_knows(theirs, ours, namespace):
    survey = Survey("here", conf=ours, extra={"namespace": namespace})
    assert ask("celery.settings", context(node(conf=_settings(theirs)), survey=survey)) == []


def test_a_worker_that_takes_times_for_local_ones():
    survey = Survey("here", conf={"enable_utc": True, "timezone": None})
    (found,) = ask("celery.settings", context(node(conf=_settings({"CELERY_ENABLE_UTC": False})), survey=survey))
    assert "has enable_utc = False, the project True" in found


def test_what_a_worker_does_not_tell_is_no_difference_where_old_names_are_in_use():
    survey = Survey("here", conf={"task_default_queue": "desk"}, extra={"deprecated": ["CELERY_DEFAULT_QUEUE"]})
    assert ask("celery.settings", context(node(conf={"settings_module": "a"}), survey=survey)) == []
    assert ask("celery.settings", context(node(), survey=Survey("here", conf={"task_default_queue": "desk"}))) == []


@pytest.mark.parametrize(
    ("timeouts", "said"),
    [((0.0, 0.0), "all the time they want"), ((0.0, 300.0), "300 s"), ((0.0, 60.0), None), ((0.0, 45.0), None)],
)
def test_the_limits_a_pool_keeps(timeouts, said):
    survey = Survey("here", conf={"task_time_limit": 60}, queues=(QueueDecl("ai", policy={"time_limit": 45}),))
    found = ask("celery.policy", context(node(timeouts=timeouts), survey=survey))
    assert [f"gives tasks {said}, task_time_limit of the project is 60 s" in line for line in found] == [True] * bool(
        said
    )


def child(pid: int, mib: int, share: float = 0.0) -> Process:
    return Process(pid, 1, "sleeping", 100.0, memory=mib * 2**20, share=share)


def test_a_memory_limit_that_a_process_at_rest_exceeds():
    conf = {"worker_max_memory_per_child": 100 * 1024}
    fat, lean = {7: child(7, 140)}, {7: child(7, 80)}
    (found,) = ask("celery.memory", context(node(processes=(7,), conf=conf), pools=fat))
    assert "takes 140 MiB at rest and may take 100 MiB" in found
    assert ask("celery.memory", context(node(processes=(7,), conf=conf), pools=lean))[0].startswith("INFO")
    working = node(processes=(7,), conf=conf, active=(running(5),))  # a task may need more for a while
    assert ask("celery.memory", context(working, pools=fat))[0].startswith("INFO")
    replaced = {7: child(7, 0), 1: child(1, 150)}  # caught between two processes, as it mostly is under load
    (found,) = ask("celery.memory", context(node(processes=(7,), conf=conf), pools=replaced))
    assert "takes 112 MiB at rest and may take 100 MiB" in found
    replaced[1] = child(1, 110)  # the main process may be larger than its copies
    assert ask("celery.memory", context(working, pools=replaced))[0].startswith("INFO")


def test_a_pool_that_takes_most_of_the_machine_and_is_never_renewed():
    pools = {7: child(7, 4000, 0.4), 8: child(8, 4000, 0.4)}
    (found,) = ask("celery.memory", context(node(processes=(7, 8)), pools=pools))
    assert "takes 80% of this machine's memory, its largest process 4000 MiB" in found
    renewed = node(processes=(7, 8), conf={"worker_max_tasks_per_child": 100})
    assert ask("celery.memory", context(renewed, pools=pools))[0].startswith("INFO")
    assert ask("celery.memory", context(node(processes=(7,)))) == []


def roll(*starts: float, total: int = 0, taken: float = NOW - 300) -> Roll:
    return Roll(taken, {"w@h": Seen(taken, starts, {"shop.nap": total})})


def test_a_worker_that_is_restarted_again_and_again():
    again = context(node(uptime=20.0), earlier=roll(NOW - 700, NOW - 400))
    (found,) = ask("celery.restarts", again)
    assert found == "WARNING: w@h was started 3 times in the last 15 min, the last time 20 s ago"
    once = context(node(uptime=20.0), earlier=roll(NOW - 86400))
    assert ask("celery.restarts", once) == ["INFO: restarted since the last look 5 min ago"]
    assert ask("celery.restarts", context(node(uptime=600.0), earlier=roll(NOW - 601))) == []


def test_who_came_and_who_went():
    other = Roll(NOW - 300, {"old@h": Seen(NOW - 300, (1.0,)), "older@h": Seen(NOW - 9000, (1.0,))})
    found = ask("celery.restarts", context(node(), earlier=other))
    assert found == ["INFO: answered 5 min ago and do not now: old@h", "INFO: new since 5 min ago: w@h"]


def test_what_is_remembered_of_a_fleet_survives_the_file(tmp_path: Path):
    fleet = WorkerFleet(1, (node(total={"shop.nap": 4}),), taken=NOW)
    kept = Roll().after(fleet)
    assert kept.workers["w@h"] == Seen(NOW, (NOW - 600,), {"shop.nap": 4})
    later = WorkerFleet(1, (node(uptime=660.4),), taken=NOW + 60)
    assert kept.after(later).workers["w@h"].starts == (NOW - 600,)  # the same start, told less exactly
    StateFile(tmp_path / "deep/workers.json").write(Target(tmp_path), kept.as_dict())
    assert Roll.of(StateFile(tmp_path / "deep/workers.json").read(Target(tmp_path))) == kept
    assert Roll.of(StateFile(tmp_path / "deep/workers.json").read(Target(tmp_path / "other"))) == Roll()
    assert Roll.of({"taken": 1, "workers": {"w": {"last": "?"}}}) == Roll()


TICKING = Process(9, 1, "sleeping", 3600.0)
SCHEDULED = Survey(
    "here",
    celery_app="shop",
    beat={"nap": {"task": "shop.nap", "seconds": 10.0, "schedule": "every 10 s"}},
    tasks=(TaskDecl("shop.nap", queue="ai"),),
)


def owed(*nodes, survey: Survey = SCHEDULED, beats: BeatFacts | None = None, **more) -> str:
    return ask("celery.beat", context(*nodes, survey=survey, beats=beats or BeatFacts((), (TICKING,)), **more))[0]


def test_a_scheduler_that_is_there_and_does_not_tick():
    assert owed(node(uptime=600.0)) == (
        "ERROR: the scheduler, process 9, does not tick: nap was due 60 times in the last 10 min "
        "and no worker was sent it"
    )
    stood = owed(node(uptime=9999.0, total={"shop.nap": 4}), earlier=roll(total=4))
    assert "does not tick: nap was due 30 times in the last 5 min" in stood
    young = owed(node(uptime=600.0), beats=BeatFacts((), (Process(9, 1, "sleeping", 5.0),)))
    assert young.startswith("WARNING: the scheduler has just come up")


def test_nobody_is_seen_to_schedule_what_is_due():
    assert owed(node(uptime=600.0), beats=BeatFacts()).startswith("WARNING: nap was due 60 times")


@pytest.mark.parametrize(
    "working",
    [
        node(uptime=50.0),  # not long enough
        node(uptime=9999.0, total={"shop.nap": 4}),  # it came at some time, and nobody remembers when
        node(uptime=600.0, active=(running(5),)),  # it is here, or the worker is too busy to say
        node(uptime=600.0, queues=("other",)),  # somebody else's business
    ],
)
def test_a_scheduler_that_may_well_tick(working):
    assert owed(working, earlier=Roll()).startswith("INFO")


def test_a_task_that_came_since_the_last_look():
    assert owed(node(uptime=9999.0, total={"shop.nap": 5}), earlier=roll(total=4)).startswith("INFO")


ON_AMQP = Survey(
    "here",
    celery_app="shop",
    broker=Dsn("amqp://u:planted@mq//"),
    queues=(QueueDecl("ai"), QueueDecl("io")),
    tasks=(TaskDecl("shop.nap", queue="ai"),),
)


def behind(told: Control) -> list[str]:
    ctx = context(survey=ON_AMQP, control=told)
    ctx.target = replace(ctx.target, broker=None)
    return ask("celery.broker", ctx)


def test_a_broker_that_is_no_redis_and_was_named_is_the_one_that_is_judged():
    ctx = context(survey=ON_AMQP, control=Control(reached=False, problem="refused"))
    ctx.target = replace(ctx.target, broker=Dsn("amqp://other//"))
    (found,) = registry["celery.broker"].run(ctx)
    assert (found.severity, found.subject) == (Severity.ERROR, "amqp://other//")


def test_a_broker_that_counts_consumers():
    counts = {"ai": Count(3, 0), "io": Count(0, 1)}
    found = behind(Control(reached=True, broadcasts=True, workers={"w@h": ("io",)}, queues=counts))
    assert found == ["INFO: 1 worker: w@h", "ERROR: no worker consumes ai: 3 messages waiting"]
    busy = Control(reached=True, broadcasts=True, queues={"ai": Count(3, 1), "io": Count(0, 1)})
    assert behind(busy) == []  # consumers that do not answer a broadcast: a busy solo pool


def test_a_broker_that_takes_no_messages_is_the_reason_why_nobody_answers():
    counts = {"ai": Count(3, 0)}
    (found,) = behind(Control(reached=True, broadcasts=True, blocked=True, queues=counts, local=(TICKING,)))
    assert found.startswith("ERROR: the broker takes no messages: an alarm of its memory or disk")


DIFFERS = (
    "Queue.declare: (406) PRECONDITION_FAILED - inequivalent arg 'x-max-priority' for queue 'ai' in vhost 'shop': "
    "received the value '10' of type 'signedint' but current is none"
)


def test_a_queue_that_is_not_as_declared_is_the_reason_why_no_worker_is_there():
    ctx = context(survey=ON_AMQP, control=Control(reached=True, broadcasts=True, refused={"ai": DIFFERS}))
    ctx.target = replace(ctx.target, broker=None)
    (found,) = registry["celery.broker"].run(ctx)
    assert found.message == (
        "queue ai exists otherwise than the project declares it (inequivalent arg 'x-max-priority' for queue 'ai': "
        "received the value '10' of type 'signedint' but current is none): "
        "each worker that starts ends with PRECONDITION_FAILED"
    )
    assert found.hint.endswith("rabbitmqctl -p shop delete_queue ai")


@pytest.mark.parametrize(
    ("problem", "hint"),
    [
        ("AccessRefused: (0, 0): (403) ACCESS_REFUSED - Login was refused", "correct user and password in broker_url"),
        ("NotAllowed: (530) NOT_ALLOWED - vhost shop not found", "rabbitmqctl list_vhosts"),
        ("ConnectionRefusedError: refused", "see that mq:5672 listens"),
    ],
)
def test_a_broker_that_refuses_is_not_said_to_be_down(problem, hint):
    ctx = context(survey=ON_AMQP, control=Control(problem=problem))
    ctx.target = replace(ctx.target, broker=None)
    (found,) = registry["celery.broker"].run(ctx)
    assert found.hint.startswith(hint)


def test_a_broker_that_cannot_tell_is_not_passed():
    with pytest.raises(Skip, match="cannot be told"):
        behind(Control(reached=True))
    found = behind(Control(reached=True, local=(TICKING,)))
    assert found == ["INFO: worker process 9 runs here; this transport cannot ask it"]  # nor is it silent: SQS, SQL
    silent = Control(reached=True, broadcasts=True, local=(TICKING,))
    assert behind(silent)[0].startswith("WARNING: worker process 9 runs here and did not answer")
    assert behind(Control(reached=True, broadcasts=True)) == ["ERROR: no worker answers through this broker"]
    (found,) = behind(Control(problem="ConnectionRefusedError: refused"))
    assert found == "ERROR: the project cannot use its broker: ConnectionRefusedError: refused"


def test_a_neighbour_on_the_same_redis_runs_as_it_likes():
    tasks, results = (TaskDecl("shop.nap", queue="ai"),), Dsn("redis://h/0")
    survey = Survey("here", versions={"celery": "5.7.0"}, tasks=tasks, results=results)
    conf = {"task_default_queue": "mail", "result_backend": "redis://h/3"}

    def said(id_: str, task: str) -> list[str]:
        other = node(queues=("mail",), registered={task: {}}, conf=conf)
        store = ResultStore(Dsn("redis://h/0"))
        bird = Canary("mail", "executed", workers=("w@h",))
        facts = {"versions": {"w@h": {"celery": "5.3.6"}}, "canaries": (bird,), "result_store": store}
        stale = {"newest_source": ("shop.py", NOW), "pools": {1: Process(1, 0, "sleeping", 60.0, started=NOW - 60)}}
        return ask(id_, context(other, survey=survey, **facts, **stale))

    for id_ in ("celery.versions", "celery.settings", "celery.results", "celery.stale"):
        assert said(id_, "mail.send") == []
        assert said(id_, "shop.nap") != []


def test_a_result_store_nobody_could_read_proves_nothing():
    def said(*, result: bool | None) -> list[str]:
        bird = Canary("ai", "executed", workers=("w@h",), result=result)
        facts = {"result_store": ResultStore(Dsn("redis://h/0")), "result_sample": ResultSample()}
        return ask("celery.results", context(node(), canaries=(bird,), **facts))

    assert said(result=None) == []
    assert len(said(result=False)) == 1


LOST = Canary("ai", "executed", workers=("w@h",), result=False)
STORE = {"result_store": ResultStore(Dsn("redis://h/0")), "result_sample": ResultSample()}


def test_a_password_that_was_changed_under_living_workers_is_one_cause():
    old = Sender(1, WORKER, locked_out="SHOP_BROKER")
    web = Sender(2, "the web server", locked_out="SHOP_BROKER")
    ctx = context(node(), survey=Survey("here", results=Dsn("redis://h/0")), canaries=(LOST,), **STORE)
    ctx.gathered["senders"] = Future()
    ctx.gathered["senders"].set_result((old, web))
    (told,) = ask("celery.senders", ctx)
    assert told.startswith(
        "ERROR: the password was changed, and the worker (pid 1, SHOP_BROKER), the web server (pid 2"
    )
    with pytest.raises(Skip) as moot:
        ask("celery.results", ctx)
    assert moot.value.because == "celery.senders"
    ctx.gathered["canaries"] = Future()
    ctx.gathered["canaries"].set_result((replace(LOST, outcome="taken"),))
    with pytest.raises(Skip) as moot:
        ask("celery.canary", ctx)
    assert moot.value.because == "celery.senders"


def test_workers_of_another_machine_with_an_old_password_are_told_by_redis_log():
    denied = (Denial("default", "auth", "AUTH", 3.0),)
    ctx = context(node(), canaries=(LOST,), absence=Absence(denied=denied), **STORE)
    (told,) = ask("celery.results", ctx)
    assert told.endswith("Redis refused a login of user default 3 s ago: an old password?")


@pytest.mark.parametrize(("found", "bad"), [(True, 0), (False, 1)])
def test_a_result_store_by_another_name_is_the_same_where_a_result_arrives(found, bad):
    worker = node(conf={"result_backend": "redis://redis:6379/1"})
    bird = replace(LOST, result=found)
    survey = Survey("here", results=Dsn("redis://127.0.0.1:6379/1"))
    assert len(ask("celery.results", context(worker, survey=survey, canaries=(bird,), senders=(), **STORE))) == bad


@pytest.mark.parametrize(
    ("option", "age", "said"),
    [
        ("--max-memory-per-child=1000", 2.0, "ERROR: w@h replaces its pool process after each task"),
        ("--max-memory-per-child 1000", 400.0, "ERROR: nobody took a no-op task"),
        ("", 2.0, "ERROR: nobody took a no-op task"),
    ],
    ids=["renewed", "limit alone", "no limit"],
)
def test_a_pool_that_is_renewed_with_each_task_has_not_lost_its_connection(option, age, said):
    pools = {
        1: Process(1, 0, "sleeping", 600.0, command=f"celery -A shop worker {option}".strip()),
        7: Process(7, 1, "sleeping", age, memory=80_000_000),
    }
    (found,) = ask(
        "celery.canary",
        context(node(processes=(7,)), pools=pools, canaries=(Canary("ai", "waiting", 4.0, workers=("w@h",)),)),
    )
    assert found.startswith(said)


def test_a_memory_limit_of_the_command_line_is_judged_as_one_of_the_settings():
    pools = {
        1: Process(1, 0, "sleeping", 600.0, command="celery worker --max-memory-per-child 1000"),
        7: Process(7, 1, "sleeping", 60.0, memory=80_000_000),
    }
    (found,) = ask("celery.memory", context(node(processes=(7,)), pools=pools))
    assert found.startswith("WARNING: a pool process of w@h takes 76 MiB at rest and may take 1 MiB")
