"""Declared queues in, exact command lines out."""

import pytest

from intelli_checks.fleet import Fleet, FleetError, WorkerProfile, choose_pool, declared, of_project
from intelli_checks.probes.survey import QueueDecl, Survey, TaskDecl

POLICY = (
    QueueDecl("ingestion_io", policy={"concurrency": 4, "prefetch": 4, "acks_late": False, "time_limit": 60}),
    QueueDecl("charts_cpu", policy={"concurrency": 2, "prefetch": 1, "acks_late": True, "time_limit": 120}),
    QueueDecl("ai", policy={"concurrency": 2, "prefetch": 1, "acks_late": True, "time_limit": 60}),
)


def test_a_profile_is_the_command_line_of_the_guide():
    fleet = declared("config", POLICY)
    command = " ".join(fleet.argv(fleet.profiles[1]))
    assert command.startswith(
        "celery -A config worker -n charts_cpu@%h -Q charts_cpu -c 2 --prefetch-multiplier=1 -l info"
    )


def test_one_profile_per_declared_queue_with_its_own_limits():
    fleet = declared("config", POLICY)
    assert [(p.name, p.queues, p.concurrency, p.prefetch, p.time_limit) for p in fleet.profiles] == [
        ("ingestion_io", ("ingestion_io",), 4, 4, 60.0),
        ("charts_cpu", ("charts_cpu",), 2, 1, 120.0),
        ("ai", ("ai",), 2, 1, 60.0),
    ]


def test_configuration_replaces_what_the_project_declares():
    fleet = declared(
        "config", POLICY, {"fast": {"queues": ["ai", "ingestion_io"], "concurrency": 8, "pool": "threads"}}
    )
    assert fleet.profiles == (WorkerProfile("fast", ("ai", "ingestion_io"), 8, pool="threads"),)


def test_a_project_without_queues_has_the_implicit_one():
    assert declared("proj", (), default_queue="default").queues == ("default",)


def test_single_consumes_every_queue_and_waits_for_the_longest_task():
    (worker,) = declared("config", POLICY).single().profiles
    assert worker.queues == ("ingestion_io", "charts_cpu", "ai")
    assert worker.time_limit == 120.0
    assert "-c" not in worker.argv("config")


def test_only_narrows_a_shared_worker():
    fleet = declared("config", POLICY, {"io": {"queues": ["ai", "mail"]}, "cpu": {"queues": ["charts"]}})
    assert fleet.only(["mail"]).profiles == (WorkerProfile("io", ("mail",)),)


def test_only_names_the_declared_queues_when_one_is_unknown():
    with pytest.raises(FleetError, match="no worker consumes emails: declared queues are ingestion_io, charts_cpu, ai"):
        declared("config", POLICY).only(["emails"])


def test_solo_takes_no_concurrency():
    assert "-c" not in WorkerProfile("w", ("q",), 4, pool="solo").argv("app")


@pytest.mark.parametrize(("platform", "pool"), [("win32", "solo"), ("linux", "prefork"), ("darwin", "prefork")])
def test_the_pool_follows_the_platform(platform, pool):
    chosen = choose_pool(None, platform)
    assert chosen.name == pool
    assert chosen.reason


def test_prefork_is_refused_where_nothing_forks():
    with pytest.raises(FleetError, match="--pool solo or --pool threads"):
        choose_pool("prefork", "win32")


def test_gevent_is_refused_with_the_command_that_installs_it():
    with pytest.raises(FleetError, match="pip install gevent"):
        choose_pool("gevent", "linux", installed=lambda _: False)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"queue": ["a"]}, r"unknown keys queue: known are .*queues"),
        ({"queues": "a"}, "must be a list of names"),
        ({"concurrency": 0}, "at least 1"),
        ({"concurrency": True}, "at least 1"),
        ({"prefetch": -1}, "at least 0"),
        ({"pool": "processes"}, "choose one of prefork"),
        ({"time_limit": "60"}, "number of seconds"),
    ],
)
def test_a_wrong_table_is_refused_with_its_name(table, message):
    with pytest.raises(FleetError, match=message) as refused:
        declared("app", (), {"w": table})
    assert "[workers.w]" in str(refused.value)


def test_a_queue_name_becomes_a_node_name_celery_can_parse():
    assert declared("app", [QueueDecl("mail@eu %h")]).profiles[0].name == "mail-eu-h"


def test_each_changes_every_profile_and_nothing_else():
    fleet = Fleet("app", (WorkerProfile("a", ("a",)), WorkerProfile("b", ("b",), 2)))
    assert [p.concurrency for p in fleet.each(concurrency=3).profiles] == [3, 3]


def test_a_queue_that_only_a_route_names_gets_a_worker_too() -> None:
    tasks = (TaskDecl("shop.mail", queue="mail"), TaskDecl("shop.plain", queue="celery"), TaskDecl("celery.chord"))
    assert of_project("shop", Survey("here", tasks=tasks)).queues == ("celery", "mail")
    declared_too = Survey("here", queues=(QueueDecl("mail"), QueueDecl("reports")), tasks=tasks)
    assert of_project("shop", declared_too).queues == ("mail", "reports", "celery")
    assert of_project("shop", Survey("here", conf={"task_default_queue": "main"})).queues == ("main",)
