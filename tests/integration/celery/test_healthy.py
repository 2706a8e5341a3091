"""States that look suspicious and are healthy: nothing may fail there."""

from __future__ import annotations

import os
import signal

import pytest

from intelli_checks.model import Outcome
from intelli_fixtures.proxy import proxy


def litter(lab) -> list[str]:
    """Keys that our own questions would leave behind."""
    keys = [key.decode() for key in lab.redis_client().keys("*")]
    return [key for key in keys if ".reply." in key or "_kombu.binding.reply" in key or "celery-task-meta" in key]


def test_a_fleet_at_rest_is_green_and_every_queue_is_proved(lab, failing, told):
    lab.worker("one", "-c", "2", queues="ai,charts", wait=False)
    lab.worker("two", "-c", "1", "-P", "threads", queues="charts", wait=False)
    lab.run("beat", "beat", "--enable-remote-control", "-s", str(lab.folder / "schedule"))
    lab.wait(lambda: len(lab.fleet().nodes) == 2 and lab.fleet().others, "two workers and a beat", 40)
    results = lab.check()
    assert failing(results) == {}
    assert "2 workers" in told(results["celery.workers"])
    assert told(results["celery.canary"]).count("executed in") == 2
    assert litter(lab) == []
    assert sum(result.seconds for result in results.values()) < 3


def test_a_redis_far_away_makes_answers_late_and_no_worker_silent(lab, failing, monkeypatch):
    """A third of a second there and back: each step of a question takes that long, and nobody is to be blamed."""
    lab.worker("one", "-c", "2")
    with proxy(lab.redis.port) as link:
        link.add("latency", latency=160, stream="upstream")
        link.add("latency", latency=160)
        monkeypatch.setattr(lab, "url", lab.url.replace(str(lab.redis.port), str(link.port)))
        results = lab.check()
    assert failing(results) == {}
    assert [id_ for id_, result in results.items() if result.outcome is Outcome.WARNED] == []


def test_a_busy_solo_worker_is_busy_not_dead(lab, failing, told):
    lab.worker("solo", "-P", "solo")
    lab.send("nap", 30)
    lab.wait(lambda: lab.redis_client().hlen("unacked") == 1, "the task to be taken")
    results = lab.check()
    assert failing(results) == {}
    assert "solo" in told(results["celery.workers"])


def test_every_slot_busy_is_no_fault(lab, failing, told):
    lab.worker("busy", "-c", "1", "--prefetch-multiplier", "1")
    lab.send("nap", 30, times=3)
    lab.active(1)
    results = lab.check(survey=lab.survey("ai"))
    assert failing(results) == {}
    assert "no canary sent" in told(results["celery.canary"])


def test_a_deep_queue_that_drains_is_no_fault(lab, failing, told):
    lab.send("nap", 0.01, times=1500)
    lab.worker("deep", "-c", "1", wait=False)
    lab.active(1)
    results = lab.check()
    assert failing(results) == {}
    assert "messages waiting" in told(results["celery.backlog"])


@pytest.mark.parametrize(
    "conf",
    [
        {"task_ignore_result": True},
        {"result_backend": "disabled://"},
        {"broker_transport_options": {"fanout_prefix": False}},
        {"broker_transport_options": {"global_keyprefix": "shop:"}},
        {"broker_transport_options": {"priority_steps": [0, 5], "sep": ":", "queue_order_strategy": "priority"}},
        {"control_exchange": "shop"},
    ],
    ids=["ignored-results", "no-results", "no-fanout-prefix", "keyprefix", "priorities", "control-exchange"],
)
def test_unusual_settings_are_followed(lab, failing, told, conf):
    """With the project's own settings, and with nothing but the broker's URL."""
    lab.conf = conf
    lab.worker("odd", "-c", "1")
    for survey in (lab.survey("ai"), None):
        results = lab.check(survey=survey)
        assert failing(results) == {}
        assert "1 worker: odd@lab" in told(results["celery.workers"])
        assert "executed in" in told(results["celery.canary"])
    assert litter(lab) == []


def test_answers_in_pickle_are_counted_and_never_loaded(lab, failing, told):
    lab.conf = {"task_serializer": "pickle", "accept_content": ["json", "pickle"]}
    lab.worker("pickled", "-c", "1", wait=False, C_FORCE_ROOT="1")
    lab.wait(lambda: lab.fleet().opaque, "an answer", 40)
    results = lab.check(survey=lab.survey("ai"))
    assert failing(results) == {}
    assert "other than JSON" in told(results["celery.workers"])


def test_remote_control_switched_off_is_a_choice(lab, failing, told):
    lab.conf = {"worker_enable_remote_control": False}
    lab.worker("deaf", "-c", "1", wait=False)
    lab.send("noop")
    lab.wait(lambda: lab.redis_client().keys("celery-task-meta-*"), "the worker to work", 40)
    results = lab.check(survey=lab.survey("ai"))
    assert failing(results) == {}
    assert "remote control off" in told(results["celery.workers"])


def test_priorities_are_counted_and_no_fault(lab, failing, told):
    lab.worker("prio", "-c", "1", "--prefetch-multiplier", "1")
    lab.send("nap", 20, times=4, priority=9)
    lab.active(1)
    results = lab.check()
    assert failing(results) == {}
    assert "messages waiting" in told(results["celery.backlog"])


def test_another_application_on_the_same_redis_is_left_alone(lab, failing):
    lab.worker("ours", "-c", "1")
    lab.redis_client().lpush("other:jobs", "not celery at all", "{}")
    lab.redis_client().lpush("queue-of-another-tool", "rq:job:1")
    assert failing(lab.check(survey=lab.survey("ai"))) == {}


def test_the_only_worker_of_a_queue_being_restarted_is_no_fault(lab, failing, told):
    lab.worker("steady", "-c", "1", queues="charts")
    lab.worker("next", "-c", "1", wait=False, SLOW_IMPORT="6")
    results = lab.check("celery.queues", survey=lab.survey("ai", "charts"))
    assert failing(results) == {}
    assert "coming up" in told(results["celery.queues"])


def test_a_rolling_restart_is_no_fault(lab, failing):
    lab.worker("old", "-c", "1")
    draining = lab.worker("leaving", "-c", "1", "--prefetch-multiplier", "1")
    lab.send("nap", 8, times=2)
    lab.active(2)
    os.kill(draining.pid, signal.SIGTERM)
    lab.wait(lambda: lab.fleet().listeners == 1, "the worker to drain")
    assert failing(lab.check(survey=lab.survey("ai"))) == {}


def test_a_canary_behind_the_tasks_of_a_full_worker_proves_nothing(lab, failing, told):
    """With room in its prefetch the busy worker may win the canary from the idle one; whoever takes it, all is well."""
    lab.worker("hog", "-c", "1", "--prefetch-multiplier", "8")
    lab.send("nap", 30, times=2)
    lab.active(1)
    lab.worker("idle", "-c", "1", queues="ai,charts")
    results = lab.check()
    assert failing(results) == {}
    assert "executed in" in told(results["celery.canary"])


def test_a_queue_of_an_application_that_shares_the_worker_names_is_its_own_business(lab, told):
    lab.worker("ours", "-c", "1")
    survey = lab.survey("web", tasks=("blog.publish",))
    assert "knows none of this project's tasks" in told(lab.check(survey=survey)["celery.queues"])
