"""Each check of declared configuration against surveys that must speak, and surveys that must stay silent."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.settings.cases import SILENT, SPEAKS
from tests.unit.settings.surveys import cached, core, groups, name, project, routed, use

from intelli_checks import Severity, Skip
from intelli_checks.dsn import Dsn
from intelli_checks.families import (
    celery_absence,
    celery_app,
    celery_settings,
    channels_events,
    channels_layers,
    django,
)
from intelli_checks.families import declared_delivery as delivery
from intelli_checks.families import declared_routing as routing
from intelli_checks.probes.survey import LayerDecl, Survey, TaskDecl


def judged(check: Callable[..., Any], survey: Survey) -> list[Any]:
    return list(inspect.unwrap(check)(survey))


@pytest.mark.parametrize(
    ("check", "survey", "severity", "words"), SPEAKS, ids=lambda value: getattr(value, "__name__", None) or ""
)
def test_a_fault_is_named(check, survey, severity, words):
    findings = judged(check, survey)
    assert findings, "silent"
    assert (findings[0].severity.name, words in findings[0].message) == (severity, True), findings
    assert findings[0].hint or severity == "INFO"


@pytest.mark.parametrize(("check", "survey"), SILENT, ids=lambda value: getattr(value, "__name__", None) or "")
def test_health_is_silent(check, survey):
    assert judged(check, survey) == []


def test_every_check_has_both_a_failing_and_a_silent_case():
    asked = {check for check, *_ in SPEAKS}
    silent = {check for check, _ in SILENT}
    only_informs = {
        celery_settings.deprecated,
        celery_settings.startup,
        delivery.acks_late,
        routing.queue_order,
        django.sqlite,
    }
    assert asked - silent <= only_informs


def test_only_redis_has_a_visibility_timeout():
    with pytest.raises(Skip):
        judged(delivery.visibility, project(broker=Dsn("amqp://mq//")))


def test_a_misspelt_broker_url_is_told_once():
    survey = project(conf={"broker_url": None}, extra=name("unknown", meant="CELERY_BROKER_URL"))
    with pytest.raises(Skip) as caught:
        judged(celery_settings.broker_url, survey)
    assert caught.value.because == "celery.names"


def test_a_string_of_hosts_and_a_missing_backend_are_problems():
    layer = LayerDecl(
        "default", "channels_redis.cor.RedisChannelLayer", problem="ModuleNotFoundError: No module named ..."
    )
    found = judged(channels_layers.layer, project(layers=(layer,)))
    assert [finding.severity.name for finding in found] == ["ERROR"]


@pytest.mark.parametrize(
    "survey",
    [
        routed(extra=groups("job_*", None)),
        routed(extra=groups()),
        routed(extra=groups("job_*", complete=False)),
        routed(extra=groups("job_*"), foreign=True),
    ],
    ids=["computed", "none", "cut short", "library"],
)
def test_groups_that_the_code_does_not_tell_are_no_fault(survey):
    with pytest.raises(Skip, match="does not tell"):
        judged(channels_events.group_names, survey)


WANTED = [
    ("ImproperlyConfigured", "Set the DJANGO_SECRET_KEY environment variable", "set DJANGO_SECRET_KEY where"),
    ("KeyError", "'CLINIC_MAIL'", "set CLINIC_MAIL where"),
    ("KeyError", "'name'", "correct "),
    ("ValueError", "the variable x is not set", "correct "),
]


@pytest.mark.parametrize(("kind", "message", "hint"), WANTED)
def test_a_variable_nobody_set_is_to_be_set(kind, message, hint):
    error = {"step": "settings", "type": kind, "message": message}
    assert celery_app._remedy(project(), error).startswith(hint)


@pytest.mark.parametrize(
    ("installed", "hint"),
    [
        (["django.contrib.auth"], 'INSTALLED_APPS += ["orders"]'),
        (["shop.orders"], "import it as shop.orders.models, as INSTALLED_APPS has it"),
        (["shop.orders.apps.OrdersConfig"], "import it as shop.orders.models, as INSTALLED_APPS has it"),
    ],
)
def test_a_model_of_an_app_that_is_not_installed_by_that_name(installed, hint):
    message = "Model class orders.models.Order doesn't declare an explicit app_label and isn't in an application in ..."
    error = {"step": "celery", "type": "RuntimeError", "message": message}
    assert celery_app._remedy(project(django={"INSTALLED_APPS": installed}), error).startswith(hint)


def test_quotes_around_a_url_are_to_be_removed():
    error = {"step": "celery", "type": "ModuleNotFoundError", "message": "-", "missing": '"redis'}
    assert celery_app._remedy(project(), error).startswith("write redis://... without the quotes")
    found = judged(celery_settings.broker_url, project(conf={"broker_url": '"redis://h/0"'}, broker=None))
    assert "wrapped in quotes" in found[0].message


def test_an_option_the_url_may_not_have():
    refused = "Connection._init_params() got an unexpected keyword argument 'socket_timeout'"
    (found,) = judged(celery_settings.broker_url, project(extra={"broker_refused": refused}))
    assert "an option kombu does not take there, socket_timeout" in found.message
    assert "CELERY_BROKER_TRANSPORT_OPTIONS = {'socket_timeout': ...}" in found.hint


@pytest.mark.parametrize(
    ("redis", "told"),
    [
        ("5.0.8", "ERROR kombu 5.7.0 connects with redis-py 6.1.0 or later, and 5.0.8 is installed"),
        (None, "ERROR the broker is a Redis, and the package redis is not installed"),
        ("6.1.0", ""),
        ("10.0.0", ""),
    ],
)
def test_a_driver_kombu_does_not_connect_with(redis, told):
    versions = {"kombu": "5.7.0", **({"redis": redis} if redis else {})}
    found = judged(celery_settings.broker_url, project(versions=versions, extra={"driver_wanted": "6.1.0"}))
    assert "; ".join(f"{one.severity.name} {one.message}" for one in found).startswith(told)
    assert bool(found) == bool(told)


@pytest.mark.parametrize(
    ("url", "module", "scheme", "hint"),
    [
        ("redis://h/0", "packaging", "redis", "pip install 'celery[redis]'"),
        ("sentinel://h:26379/0", "packaging", "sentinel", "pip install 'celery[redis]'"),
        ("sqs://", "boto3", "sqs", "pip install 'celery[sqs]'"),
        ("kafka://h", "confluent_kafka", "kafka", "pip install confluent_kafka"),
    ],
)
def test_a_package_the_transport_needs(url, module, scheme, hint):
    """`pip install celery redis` brings everything but packaging, which kombu 5.7 imports to connect with Redis."""
    lacking = project(
        broker=Dsn(url),
        conf={"broker_url": url},
        versions={"kombu": "5.7.0", "redis": "8.1.0"},
        extra={"broker_refused": f"No module named '{module}'"},
    )
    (found,) = judged(celery_settings.broker_url, lacking)
    assert found.severity is Severity.ERROR
    assert f"kombu cannot load its transport {scheme}: no module named {module}" in found.message
    assert found.hint.startswith(hint)
    assert celery_absence.said_elsewhere(lacking) == "celery.broker_url"


def test_task_modules_that_no_worker_imports():
    (found,) = judged(celery_app.discovery, project(extra={"task_modules_left_out": ["orders.tasks"]}))
    assert "orders.tasks: defines tasks, and no worker imports it" in found.message
    assert found.hint.startswith("app.autodiscover_tasks() in ")
    assert found.severity is Severity.ERROR
    assert judged(celery_app.discovery, project(tasks=())) == []


def test_an_app_that_imports_some_task_modules_may_leave_the_rest_to_another():
    left, chosen = {"task_modules_left_out": ["mail.tasks"]}, (TaskDecl("orders.tasks.pack", "orders.tasks"),)
    (found,) = judged(celery_app.discovery, project(extra=left, tasks=chosen))
    assert found.severity is Severity.WARNING


def test_events_for_code_that_reads_from_the_layer_itself_need_no_handler():
    reads = [*use("receives")["usage"], *use("untyped")["usage"], *use("event", type="feed.item")["usage"]]
    with pytest.raises(Skip, match="reads from the layer itself"):
        judged(channels_events.handlers, routed(extra={"usage": reads}))


def test_the_database_to_move_to_is_one_that_nothing_uses():
    survey = core(results=Dsn("redis://redis:6379/2"), django=cached("redis://redis:6379/0", "redis://redis:6379/3"))
    (found,) = judged(django.cache_database, survey)
    assert found.hint == 'CACHES["default"]["LOCATION"] = "redis://redis:6379/4"'
