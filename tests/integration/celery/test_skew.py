"""Real workers that differ from the project: in versions, settings, limits and memory."""

from __future__ import annotations

from importlib.metadata import version

from intelli_checks.model import Outcome
from intelli_checks.probes.earlier import Roll


def messages(result) -> str:
    return "; ".join(finding.message for finding in result.findings)


def test_a_worker_that_differs_from_the_project(lab, failing):
    odd = {
        "task_default_queue": "front",
        "worker_max_memory_per_child": 1000,
        "task_time_limit": 60,
        "timezone": "America/New_York",
    }
    lab.worker("odd", "-c", "1", CONF=repr(odd))
    lab.conf = {"task_time_limit": 120, "timezone": "Europe/Berlin"}
    results = lab.check(survey=lab.survey("ai", versions={"celery": "0.1"}))
    assert failing(results) == {}
    assert f"runs celery {version('celery')}; the project has 0.1" in messages(results["celery.versions"])
    assert "task_default_queue = 'front'" in messages(results["celery.settings"])
    assert "has timezone = 'America/New_York', the project 'Europe/Berlin'" in messages(results["celery.settings"])
    assert "gives tasks 60 s, task_time_limit of the project is 120 s" in messages(results["celery.policy"])
    assert "at rest and may take 1 MiB" in messages(results["celery.memory"])


def test_a_worker_like_the_project_is_quiet(lab):
    lab.worker("even", "-c", "1")
    results = lab.check(survey=lab.survey("ai", versions={"celery": version("celery"), "kombu": version("kombu")}))
    for id_ in ("celery.versions", "celery.settings", "celery.policy", "celery.memory"):
        assert results[id_].outcome is Outcome.PASSED, messages(results[id_])


def test_a_worker_is_asked_for_its_versions_once(lab):
    lab.worker("once", "-c", "1")
    first = lab.context(lab.survey("ai"))
    assert first.versions["once@lab"]["kombu"] == version("kombu")
    second = lab.context(lab.survey("ai"))
    second.remembered = Roll().after(first.fleet, {"once@lab": {"kombu": "remembered"}})
    assert second.versions == {"once@lab": {"kombu": "remembered"}}
