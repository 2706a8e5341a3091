"""Two surveys of one system: what must agree, and what is said when it does not."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from intelli_checks import Check, Outcome, Skip, Stage
from intelli_checks.context import Context
from intelli_checks.dsn import Dsn
from intelli_checks.families import places
from intelli_checks.probes import same_server
from intelli_checks.probes.survey import LayerDecl, Survey, TaskDecl
from intelli_checks.registry import registry
from intelli_checks.runner import diagnose
from intelli_checks.target import Place, Target
from intelli_checks.text import scrub

PASSWORD = "s3cret-of-the-broker"


def layer(url: str, **config: Any) -> tuple[LayerDecl, ...]:
    return (LayerDecl("default", "channels_redis.core.RedisChannelLayer", (Dsn(url),), config),)


def compared(web: dict[str, Any], worker: dict[str, Any]) -> list[Any]:
    same: dict[str, Any] = {"python": "3.12.1", "celery_app": "shop.celery:app", "broker": Dsn("redis://redis/0")}
    return list(places.compare({"web": Survey("web", **(same | web)), "worker": Survey("worker", **(same | worker))}))


DIFFER = [
    ("broker", {"broker": Dsn("redis://redis/0")}, {"broker": Dsn("redis://redis/2")}),
    ("broker", {"broker": Dsn("redis://one/0")}, {"broker": Dsn("redis://two/0")}),
    (
        "broker key prefix",
        {"conf": {"broker_transport_options": {"global_keyprefix": "web:"}}},
        {"conf": {"broker_transport_options": {}}},
    ),
    ("EAGER mode", {"conf": {"task_always_eager": True}}, {}),
    ("results", {"results": Dsn("redis://redis/0")}, {"results": Dsn("redis://redis/3")}),
    ("channel layer", {"layers": layer("redis://redis/1")}, {"layers": layer("redis://redis/2")}),
    ("channel layer prefix", {"layers": layer("redis://redis/1", prefix="a")}, {"layers": layer("redis://redis/1")}),
    (
        "channel layer keys",
        {"layers": layer("redis://redis/1", encryption=["0a1b"])},
        {"layers": layer("redis://redis/1", encryption=["ffff"])},
    ),
    (
        "database",
        {"django": {"DATABASES": {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "/a/db.sqlite3"}}}},
        {"django": {"DATABASES": {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "/b/db.sqlite3"}}}},
    ),
    ("MEDIA_ROOT", {"django": {"media": {"path": "/a"}}}, {"django": {"media": {"path": "/b"}}}),
    ("registered tasks", {"tasks": (TaskDecl("a"),)}, {}),
    ("version of celery", {"versions": {"celery": "5.4.0"}}, {"versions": {"celery": "5.7.0"}}),
    ("Python", {"python": "3.11.2"}, {"python": "3.12.4"}),
]


@pytest.mark.parametrize(("subject", "web", "worker"), DIFFER, ids=[subject for subject, *_ in DIFFER])
def test_a_difference_is_named_with_both_values(subject, web, worker):
    (finding,) = compared(web, worker)
    assert finding.subject == subject
    assert "web" in finding.message
    assert "worker" in finding.message
    assert finding.hint


def test_places_that_agree_are_silent():
    same = {"layers": layer("redis://redis/1"), "versions": {"celery": "5.7.0"}, "conf": {"task_serializer": "json"}}
    assert compared(same, same) == []


def test_patch_releases_of_python_may_differ():
    assert compared({"python": "3.12.1"}, {"python": "3.12.9"}) == []


def test_passwords_that_differ_are_a_difference_and_stay_untold():
    (finding,) = compared(
        {"broker": Dsn(f"redis://:{PASSWORD}@redis/0")}, {"broker": Dsn("redis://:another-one@redis/0")}
    )
    assert "different credentials" in finding.message
    assert PASSWORD not in str(finding)
    assert "another-one" not in str(finding)


def test_one_place_has_nothing_to_compare(tmp_path):
    ctx = Context(Target(tmp_path))
    ctx.__dict__["surveys"] = {"here": Survey("here")}
    with pytest.raises(Skip, match="--via web"):
        list(places.places(ctx))


def test_the_variable_that_makes_the_difference_is_named():
    (finding,) = compared(
        {"extra": {"broker_configured": "redis://redis/0"}},
        {
            "broker": Dsn("redis://redis/2"),
            "extra": {"broker_configured": "redis://redis/0", "overriding": ["CELERY_BROKER_URL"]},
        },
    )
    assert "unset CELERY_BROKER_URL at worker" in finding.hint


@pytest.mark.parametrize(
    "url", ["rediss://:pw@h:6379/0?ssl_cert_reqs=none", "redis+socket:///run/r.sock?virtual_host=0", "redis://h:6379/0"]
)
def test_a_variable_that_says_the_same_replaces_nothing(url):
    extra = {"broker_configured": scrub(url), "overriding": ["CELERY_BROKER_URL"]}
    assert places.overriding(Survey("here", broker=Dsn(url), extra=extra)) is None
    other = Survey("here", broker=Dsn("redis://other:6379/0"), extra=extra)
    assert places.overriding(other) == "CELERY_BROKER_URL"


def test_two_names_of_one_server_are_no_difference():
    broker = {"web": Dsn("redis://redis:6379/0"), "worker": Dsn("redis://10.0.0.5:6379/0")}
    surveys = {name: Survey(name, celery_app="shop:app", broker=url) for name, url in broker.items()}
    (one,) = places.compare(surveys, lambda subject: subject == "broker")
    assert (one.severity.name, one.subject) == ("INFO", "broker")
    (other,) = places.compare(surveys)
    assert other.severity.name == "ERROR"


@pytest.mark.parametrize("stage", [Stage.STATIC, Stage.LIVE])
def test_checks_of_what_is_declared_ask_no_server(stage, monkeypatch):
    asked = []
    monkeypatch.setattr(same_server, "same", lambda urls, _places: not asked.append(urls))
    broker = {"web": Dsn("redis://redis:6379/0"), "worker": Dsn("redis://10.0.0.5:6379/0")}
    ctx = Context(Target(Path(), places=tuple(Place(name, ("python",)) for name in broker)))
    ctx.gathered["surveys"] = Future()
    ctx.gathered["surveys"].set_result({name: Survey(name, broker=url) for name, url in broker.items()})
    other = Check("other", lambda _ctx: (), stage, 5.0)
    registry.load()
    report = diagnose([registry["celery.places"], other], ctx)
    assert report.results[0].outcome is (Outcome.PASSED if asked else Outcome.FAILED)
    assert bool(asked) == (stage is not Stage.STATIC)
