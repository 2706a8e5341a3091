"""Real faults, injected for real: the right check names them, and it is the first to fail."""

from __future__ import annotations

import os
import signal

import psutil
import pytest


@pytest.fixture(autouse=True)
def no_time_to_come_up(monkeypatch):
    """Workers of these tests are seconds old, and no excuse."""
    monkeypatch.setattr("intelli_checks.probes.nodes.STARTING", 3.0)


def old_enough(lab) -> bool:
    return all((node.uptime or 0) > 3 for node in lab.fleet().nodes)


def first(bad: dict[str, str]) -> tuple[str, str]:
    assert bad, "nothing failed"
    return next(iter(bad.items()))


def test_no_worker_at_all(lab, failing, told):
    results = lab.check(survey=lab.survey("ai"))
    assert list(failing(results)) == ["celery.workers"]
    assert "no worker listens" in told(results["celery.workers"])
    assert "celery -A shop worker -l info -Q ai" in results["celery.workers"].findings[0].hint


def test_the_worker_is_on_another_database(lab, failing):
    lab.worker("lost", "-c", "1", wait=False, BROKER=lab.redis.url(2))
    lab.wait(lambda: any(c["cmd"] == "brpop" for c in lab.redis_client().client_list()), "a consumer", 40)
    id_, words = first(failing(lab.check(survey=lab.survey("ai"))))
    assert id_ == "celery.workers"
    assert "on database 2" in words


def test_the_worker_uses_another_key_prefix(lab, failing):
    lab.worker("plain", "-c", "1")
    lab.conf = {"broker_transport_options": {"global_keyprefix": "web:"}}
    id_, words = first(failing(lab.check(survey=lab.survey("ai"))))
    assert id_ == "celery.workers"
    assert "key prefix ''" in words
    assert "plain@lab" in words


def test_a_stopped_worker_beside_a_good_one(lab, failing):
    lab.worker("good", "-c", "1")
    stopped = lab.worker("stopped", "-c", "1")
    os.kill(stopped.pid, signal.SIGSTOP)
    bad = failing(lab.check(survey=lab.survey("ai")))
    assert list(bad) == ["celery.silent"]
    assert f"process {stopped.pid} is stopped" in bad["celery.silent"]


def test_the_only_worker_is_stopped(lab, failing):
    stopped = lab.worker("stopped", "-c", "1")
    os.kill(stopped.pid, signal.SIGSTOP)
    bad = failing(lab.check(survey=lab.survey("ai")))
    assert list(bad) == ["celery.workers"]
    assert f"kill -CONT {stopped.pid}" in str(lab.check("celery.workers")["celery.workers"].findings)


def test_stopped_children_behind_a_healthy_ping(lab, failing):
    worker = lab.worker("frozen", "-c", "2")
    children = [child.pid for child in psutil.Process(worker.pid).children()]
    for pid in children:
        os.kill(pid, signal.SIGSTOP)
    bad = failing(lab.check(survey=lab.survey("ai")))
    assert list(bad) == ["celery.pool"]
    assert "all pool processes" in bad["celery.pool"]


def test_the_canary_sees_a_frozen_pool_where_processes_cannot_be_seen(lab, failing, monkeypatch):
    """As from outside a container."""
    worker = lab.worker("far", "-c", "1", queues="ai,charts")
    for child in psutil.Process(worker.pid).children():
        os.kill(child.pid, signal.SIGSTOP)
    monkeypatch.setattr("intelli_checks.probes.processes.of_fleet", lambda fleet: {})
    lab.wait(lambda: old_enough(lab), "the worker to be up for a while")
    bad = failing(lab.check(survey=lab.survey("ai")))
    assert list(bad) == ["celery.canary"]
    assert bad["celery.canary"].count("took a no-op task and did not execute it") == 2
    second = failing(lab.check(survey=lab.survey("ai")))
    assert list(second) == ["celery.pool"], "the first canary is in its hands now, and stands still"


def test_children_that_never_report_for_duty(lab, failing):
    lab.conf = {"worker_proc_alive_timeout": 1.0}
    lab.worker("spiral", "-c", "1", SLOW_START="3600")
    lab.send("noop", times=2)
    seen = {lab.fleet().nodes[0].processes}
    os.kill(next(iter(seen))[0], signal.SIGKILL)  # only children started later have to report within the limit

    def replaced() -> bool:
        seen.add(lab.fleet().nodes[0].processes)
        return len(seen) > 2 and old_enough(lab)

    lab.wait(replaced, "the children to be replaced", 40)
    id_, words = first(failing(lab.check(survey=lab.survey("ai"))))
    assert id_ == "celery.pool"
    assert "killed and replaced" in words


def test_two_workers_of_one_name(lab, failing):
    lab.worker("twin", "-c", "1")
    lab.worker("twin", "-c", "1", wait=False)
    lab.wait(lambda: len(lab.fleet().nodes) == 2, "both to answer", 40)
    assert list(failing(lab.check(survey=lab.survey("ai")))) == ["celery.nodenames"]


def test_a_queue_without_a_worker(lab, failing):
    lab.worker("other", "-c", "1", queues="ai")
    lab.send("noop", queue="charts", times=3)
    bad = failing(lab.check(survey=lab.survey("ai", "charts")))
    assert list(bad) == ["celery.queues"]
    assert "no worker consumes charts: 3 messages waiting" in bad["celery.queues"]


def test_a_misspelt_queue_is_one_line(lab, failing, told):
    lab.worker("typo", "-c", "1", queues="chart_cpu,ai")
    results = lab.check(survey=lab.survey("charts_cpu", "ai"))
    assert list(failing(results)) == ["celery.queues"]
    assert len(results["celery.queues"].findings) == 1
    assert "typo@lab consumes chart_cpu, which nobody sends to" in told(results["celery.queues"])


def test_what_was_misrouted_collects_in_the_default_queue(lab, failing):
    lab.worker("other", "-c", "1", queues="ai")
    lab.send("noop", queue="celery")
    id_, words = first(failing(lab.check(survey=lab.survey("ai"))))
    assert id_ == "celery.queues"
    assert "no worker consumes celery" in words


def test_a_worker_without_queues(lab, failing):
    lab.worker("empty", "-c", "1")
    lab.app().control.cancel_consumer("ai", reply=True, timeout=3)
    lab.wait(lambda: old_enough(lab), "the worker to be up for a while")
    id_, words = first(failing(lab.check(survey=lab.survey("ai"))))
    assert id_ == "celery.consuming"
    assert "consumes no queue" in words


def test_bytes_that_end_a_worker(lab, failing):
    lab.worker("other", "-c", "1", queues="charts")
    lab.redis_client().lpush("ai", b"\x80\x04garbage")
    bad = failing(lab.check("celery.poison", survey=lab.survey("charts", "ai")))
    assert "no worker can decode" in bad["celery.poison"]


def test_a_serializer_the_workers_refuse(lab, failing):
    worker = lab.worker("busy", "-c", "1", "--prefetch-multiplier", "1")
    lab.send("nap", 30, times=2)
    lab.active(1)
    lab.send("noop", serializer="pickle")
    bad = failing(lab.check("celery.poison", survey=lab.survey("ai")))
    assert "application/x-python-serialize" in bad["celery.poison"]
    assert worker.returncode is None


def test_a_task_nobody_knows(lab, failing):
    lab.worker("busy", "-c", "1", "--prefetch-multiplier", "1")
    lab.send("nap", 30, times=2)
    lab.active(1)
    lab.send("brand_new")
    survey = lab.survey("ai", tasks=("shop.nap", "shop.brand_new"))
    bad = failing(lab.check("celery.unregistered", survey=survey))
    assert list(bad) == ["celery.tasks"]
    assert "shop.brand_new" in bad["celery.tasks"]
    assert "shop.brand_new" in failing(lab.check("celery.unregistered"))["celery.unregistered"]


def test_messages_of_a_worker_that_was_killed(lab, failing):
    killed = lab.worker("killed", "-c", "1", "--prefetch-multiplier", "3")
    lab.send("nap", 60, times=3)
    lab.wait(lambda: lab.redis_client().hlen("unacked") == 3, "three messages to be taken")
    killed.kill()
    lab.worker("next", "-c", "1")
    lab.wait(lambda: lab.oldest_unacked() > 6, "the messages to be old enough")
    bad = failing(lab.check(survey=lab.survey("ai")))
    assert list(bad) == ["celery.unacked"]
    assert "3 delivered messages held by no worker" in bad["celery.unacked"]


def test_one_task_in_two_hands(lab, failing):
    lab.conf = {"broker_transport_options": {"visibility_timeout": 2, "unacked_restore_interval": 1,
                                             "unacked_restore_throttle": 1}}  # fmt: skip
    lab.worker("one", "-c", "1")
    lab.worker("two", "-c", "1")
    lab.send("nap", 30)
    lab.wait(lambda: sum(len(node.active) for node in lab.fleet().nodes) >= 2, "a second delivery", 40)
    id_, words = first(failing(lab.check(survey=lab.survey("ai"))))
    assert id_ == "celery.duplicates"
    assert "in 2 hands" in words


def test_an_eta_beyond_the_visibility_timeout(lab, failing):
    lab.conf = {"broker_transport_options": {"visibility_timeout": 600}}
    lab.worker("patient", "-c", "1")
    lab.send("noop", countdown=3000)
    lab.wait(lambda: any(node.scheduled for node in lab.fleet().nodes), "the task to be scheduled")
    bad = failing(lab.check(survey=lab.survey("ai")))
    assert list(bad) == ["celery.eta"]


def test_a_task_that_kills_its_process_again_and_again(lab, failing):
    lab.worker("victim", "-c", "1")
    lab.wait(lambda: (lab.fleet().nodes[0].uptime or 0) >= 3, "the worker to be older than its next child")
    lab.send("die")
    seen: list[dict[str, str]] = []

    def found() -> bool:
        seen.append(failing(lab.check("celery.redelivery")))
        return "celery.redelivery" in seen[-1]

    lab.wait(found, "a redelivered task", 40)
    assert "again and again" in seen[-1]["celery.redelivery"]


def test_a_worker_whose_password_the_broker_refuses(lab, failing):
    lab.redis_client().execute_command("ACL", "SETUSER", "worker", "on", ">open", "~*", "&*", "+@all")
    lab.worker("refused", "-c", "1", wait=False, BROKER=f"redis://worker:shut@127.0.0.1:{lab.redis.port}/0")
    lab.wait(lambda: lab.redis_client().acl_log(), "a refusal", 40)
    id_, words = first(failing(lab.check(survey=lab.survey("ai"))))
    assert id_ == "celery.workers"
    assert "user worker fails to log in" in words
