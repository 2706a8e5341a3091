"""Facts survive a file: values, errors and what was never gathered."""

from __future__ import annotations

import json
import time
from concurrent.futures import Future
from pathlib import Path

import pytest

from intelli_checks import Skip, Unavailable
from intelli_checks.context import Context
from intelli_checks.dsn import Dsn
from intelli_checks.probes.layout import Layout
from intelli_checks.probes.survey import LayerDecl, QueueDecl, Survey
from intelli_checks.recording import dump, load
from intelli_checks.target import Place, Target

SURVEY = Survey(
    place="here",
    broker=Dsn("redis://u:planted-password@h:6379/1"),
    queues=(QueueDecl("ai", policy={"concurrency": 2}),),
    layers=(LayerDecl("default", "channels_redis.core.RedisChannelLayer", (Dsn("redis://h/1"),), {1: {"a", "b"}}),),
    conf={"broker_url": "redis://u:planted-password@h:6379/1", "$": "tricky"},
)


def recorded(**facts: object) -> Context:
    ctx = Context(Target(Path("/shop"), places=(Place("here", ("python",)),), broker=SURVEY.broker))
    for name, value in facts.items():
        ctx.gathered[name] = Future()
        if isinstance(value, Exception):
            ctx.gathered[name].set_exception(value)
        elif value is not None:
            ctx.gathered[name].set_result(value)
    return ctx


def again(ctx: Context) -> Context:
    return load(dump(ctx))(time.monotonic() + 5)


def test_facts_come_back_as_what_they_were_without_the_password():
    ctx = recorded(surveys={"here": SURVEY})
    survey = again(ctx).survey
    assert "planted-password" not in dump(ctx)
    assert survey.queues == SURVEY.queues
    assert survey.layers[0].config == {1: frozenset({"a", "b"})}
    assert str(survey.broker) == "redis://u:***@h:6379/1"
    assert survey.conf["$"] == "tricky"
    assert again(ctx).target.places == ctx.target.places


def test_the_layout_of_the_queues_comes_back_although_it_is_no_dataclass():
    layout = Layout(
        Dsn("redis://u:planted-password@h:6379/1"), prefix="shop:", via=Place("web", ("ssh", "h", "python"))
    )
    ctx = recorded(layout=layout)
    assert "planted-password" not in dump(ctx)
    assert again(ctx).layout == layout.but(dsn=Dsn("redis://u:***@h:6379/1"))


def test_an_outage_and_a_skip_come_back_as_such():
    out = again(recorded(surveys=Unavailable("gone", hint="start it", subject="redis", port=1)))
    with pytest.raises(Unavailable, match="gone") as caught:
        _ = out.surveys
    assert (caught.value.hint, caught.value.facts) == ("start it", {"port": 1})
    with pytest.raises(Skip, match="no project") as skip:
        _ = again(recorded(surveys=Skip("no project", because="celery.app"))).surveys
    assert skip.value.because == "celery.app"


@pytest.mark.parametrize("facts", [{}, {"surveys": None}])
def test_what_was_not_gathered_is_not_gathered_now(facts: dict[str, object]):
    with pytest.raises(Skip, match="not in the recording"):
        _ = again(recorded(**facts)).surveys


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"recording": 2}',
        '{"recording": 1, "target": {}, "facts": {}}',
        json.dumps({"recording": 1, "target": {"$": "os:system", "value": "true"}, "facts": {}}),
        json.dumps({"recording": 1, "target": {"$": "intelli_checks.text:scrub", "value": "x"}, "facts": {}}),
        json.dumps({"recording": 1, "target": {"$": "intelli_checks.dsn:urlsplit", "value": "x"}, "facts": {}}),
        "[" * 100_000,
    ],
)
def test_anything_else_is_refused_and_calls_nothing(text: str):
    with pytest.raises(ValueError, match="not a recording"):
        load(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("root:x:0:0", "it is no JSON"),
        ('{"schema_version": 1, "checks": []}', "it is a report, which holds verdicts and no facts"),
        ('{"name": "shop"}', "it has no 'recording'"),
    ],
)
def test_what_was_given_instead_of_a_recording_is_told(text: str, told: str):
    with pytest.raises(ValueError, match=f"not a recording made by --save: {told}$"):
        load(text)
