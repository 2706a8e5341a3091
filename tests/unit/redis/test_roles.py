"""Which Redis plays which role, from flags and from what the project declares."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest

from intelli_checks.context import Context
from intelli_checks.dsn import Dsn
from intelli_checks.families import redis_durability, redis_load, redis_memory
from intelli_checks.families.declared import caches_on
from intelli_checks.families.redis import usable
from intelli_checks.families.redis_seen import Server
from intelli_checks.model import Skip, Unavailable
from intelli_checks.probes import redis, redis_roles
from intelli_checks.probes.redis_facts import RedisFacts, Refusal
from intelli_checks.probes.survey import LayerDecl, QueueDecl, Survey
from intelli_checks.registry import registry
from intelli_checks.runner import diagnose
from intelli_checks.target import Target

PASSWORD = "pl4nted-s3cret"
LAYER = LayerDecl("default", "channels_redis.core.RedisChannelLayer", (Dsn("redis://h:6379/1"),), {"prefix": "chat"})


def ctx_of(survey: Survey | Exception | None = None, **urls: str) -> Context:
    ctx = Context(Target(Path(), **{name: Dsn(url) for name, url in urls.items()}))
    future: Future[dict[str, Survey]] = Future()
    if isinstance(survey, Survey):
        future.set_result({survey.place: survey})
    else:
        future.set_exception(survey or Skip("no project here"))
    ctx.gathered["surveys"] = future
    return ctx


def declared(broker: str = "redis://h:6379/0", **more) -> Survey:
    conf = {"broker_url": broker, **more.pop("conf", {})}
    return Survey("here", broker=Dsn(more.pop("effective", broker)), conf=conf, **more)


def test_the_flag_wins_and_does_not_wait_for_the_project():
    ctx = Context(Target(Path(), broker=Dsn("redis://flag:6379/0")))
    assert redis_roles.broker(ctx).dsn.host == "flag"
    assert "surveys" not in ctx.gathered


def test_the_rehearsal_uses_the_project_s_own_names():
    survey = declared(
        queues=(QueueDecl("ai"), QueueDecl("charts")),
        conf={"broker_transport_options": {"global_keyprefix": "prod:"}},
    )
    endpoint = redis_roles.broker(ctx_of(survey))
    keys = {str(command[1]) for command in endpoint.rehearsal}
    assert {"prod:ai", "prod:charts", "prod:unacked", "prod:/0.celery.pidbox"} <= keys
    assert not endpoint.guessed
    assert redis_roles.broker(ctx_of(broker="redis://h/0")).guessed


def test_without_a_project_roles_are_skipped_without_blame():
    for role in (redis_roles.results, redis_roles.channels, redis_roles.broker):
        with pytest.raises(Skip) as skip:
            role(ctx_of())
        assert skip.value.because is None


def test_a_project_that_cannot_be_asked_is_blamed():
    broken = Unavailable("ModuleNotFoundError: shop", hint="pip install")
    for role in (redis_roles.results, redis_roles.channels, redis_roles.broker):
        with pytest.raises(Skip) as skip:
            role(ctx_of(broken))
        assert skip.value.because == "celery.app"
    assert redis_roles.broker(ctx_of(broken, broker="redis://h:6379/0")).dsn.host == "h"
    assert redis_roles.broker(ctx_of(broken, broker="rediss://h:6379/0")).dsn.host == "h"


@pytest.mark.parametrize(
    ("configured", "more"),
    [
        ("", {"results": Dsn("redis://h/0")}),
        ("", {"layers": (LAYER,)}),
        ("", {"versions": {"redis": "8.1.0"}}),
        ("127.0.0.1:6379", {}),
        ("localhost:6379", {}),
    ],
)
def test_the_amqp_fallback_in_a_redis_project(configured, more):
    survey = declared(configured, effective="amqp://guest:guest@localhost:5672//", **more)
    with pytest.raises(Unavailable, match="fallback") as outage:
        redis_roles.broker(ctx_of(survey))
    assert outage.value.facts["kind"] == "amqp-fallback"


@pytest.mark.parametrize(
    ("broker", "effective"),
    [
        ("amqp://app:pw@mq:5672//", "amqp://app:pw@mq:5672//"),
        ("", "amqp://guest:guest@localhost:5672//"),
        ("memory://", "memory://"),
        ("filesystem://", "filesystem://"),
        ("sqs://", "sqs://"),
    ],
)
def test_other_brokers_are_skipped(broker, effective):
    with pytest.raises(Skip, match="not on Redis"):
        redis_roles.broker(ctx_of(declared(broker, effective=effective)))


@pytest.mark.parametrize("url", ["rpc://", "db+sqlite:///x.db", "cache+memory://", "file:///tmp/x", "django-db"])
def test_other_result_stores_are_skipped(url):
    with pytest.raises(Skip, match="not on Redis"):
        redis_roles.results(ctx_of(declared(results=Dsn(url))))


def test_a_result_url_with_tls_needs_ssl_cert_reqs():
    with pytest.raises(Unavailable, match="ssl_cert_reqs"):
        redis_roles.results(ctx_of(declared(results=Dsn("rediss://h:6380/0"))))
    assert redis_roles.results(ctx_of(declared(results=Dsn("rediss://h:6380/0?ssl_cert_reqs=none")))).dsn.tls
    survey = declared(results=Dsn("rediss://h:6380/0"), conf={"redis_backend_use_ssl": {"ssl_cert_reqs": 2}})
    assert redis_roles.results(ctx_of(survey)).tls == {"ssl_cert_reqs": "required"}


def test_tls_of_the_broker_as_kombu_has_it():
    assert redis_roles.broker(ctx_of(declared("rediss://h/0"))).tls == {"ssl_cert_reqs": "none"}
    assert redis_roles.broker(ctx_of(declared("rediss://h/0?ssl_cert_reqs=required"))).tls == {}
    endpoint = redis_roles.broker(ctx_of(declared(conf={"broker_use_ssl": {"ssl_cert_reqs": 0}})))
    assert endpoint.dsn.tls
    assert endpoint.tls == {"ssl_cert_reqs": "none"}


def test_channel_layers():
    (endpoint,) = redis_roles.channels(ctx_of(declared(layers=(LAYER,))))
    assert endpoint.dsn.database == 1
    assert any("chat:group:" in str(command[1]) for command in endpoint.rehearsal)
    memory = LayerDecl("default", "channels.layers.InMemoryChannelLayer")
    with pytest.raises(Skip, match="InMemory"):
        redis_roles.channels(ctx_of(declared(layers=(memory,))))


def test_sentinel_layers_and_brokers_know_their_master():
    options = {"broker_transport_options": {"master_name": "jobs"}}
    assert redis_roles.broker(ctx_of(declared("sentinel://s1;sentinel://s2", conf=options))).master == "jobs"
    layer = LayerDecl("default", LAYER.backend, (Dsn("sentinel://s1:26379/0"),), options=({"master_name": "live"},))
    assert redis_roles.channels(ctx_of(declared(layers=(layer,))))[0].master == "live"


def test_no_fact_and_no_endpoint_shows_the_password():
    endpoint = redis_roles.broker(ctx_of(broker=f"redis://user:{PASSWORD}@h:6379/0"))
    assert PASSWORD not in f"{endpoint} {endpoint!r} {endpoint.subject}"


def test_the_broker_is_judged_although_the_project_does_not_import():
    registry.load()
    ctx = ctx_of(Unavailable("no module", hint="pip install"), broker="redis://127.0.0.1:1/0")
    report = diagnose(registry.select(["redis.broker"]), ctx)
    assert [result.outcome.value for result in report.results] == ["failed"]


@pytest.mark.parametrize(
    ("url", "kind"), [("redis://:a/b@h:6379/0", "unencoded"), ("redis://h:6379/0O", "wrong-database")]
)
def test_a_url_that_means_something_else_is_not_dialled(url, kind):
    endpoint = redis_roles.broker(ctx_of(declared(url)))
    with pytest.raises(Unavailable) as outage:
        redis.gather(endpoint, 0.1)
    assert outage.value.facts["kind"] == kind


def judged(broker: str, results: str) -> list[str]:
    """Outcomes of broker and result store, whose server has no database of that number."""
    ctx = ctx_of(declared(broker, results=Dsn(results)))
    for name in ("redis_broker", "redis_results"):
        told: Future[object] = Future()
        told.set_exception(Unavailable("no such database", hint="-", subject=name, kind="wrong-database"))
        ctx.gathered[name] = told
    registry.load()
    chosen = registry.select(["redis.broker", "redis.results"])
    return [result.outcome.name for result in diagnose(chosen, ctx).results]


def test_one_url_for_two_roles_is_one_fault():
    assert judged("redis://h:6379/99", "redis://h:6379/99") == ["FAILED", "SKIPPED"]
    assert judged("redis://h:6379/99", "redis://h:6379/98") == ["FAILED", "FAILED"]


DENIED = [
    ("this user has no permissions to run the 'brpop' command", "ACL SETUSER app +brpop "),
    ("this user has no permissions to access one of the channels used as arguments", "ACL SETUSER app '&*' "),
    ("No permissions to access a key", "ACL SETUSER app '~*' "),
]


@pytest.mark.parametrize(("text", "hint"), DENIED)
def test_the_hint_grants_what_was_refused(text, hint):
    facts = RedisFacts("broker", "redis://app:***@h:6379/0", "h:6379", 0, 0.1)
    (found,) = usable(replace(facts, refusals=(Refusal("BRPOP ai", "NOPERM", f"NOPERM {text}"),)))
    assert hint in found.hint
    assert "--user" not in found.hint


@pytest.mark.parametrize(
    ("cache", "said"),
    [
        ("redis://h:6379/0", "; cache default is in the broker's"),
        ("redis://h:6379/1", None),
        ("unique-snowflake", None),
    ],
)
def test_a_cache_in_the_broker_s_database_is_named_where_it_was_flushed(cache, said):
    info = {"cmdstat_flushdb": "calls=2,usec=9,usec_per_call=4.5"}
    server = Server(RedisFacts("broker", "redis://h:6379/0", "h:6379", 0, 0.1, info=info), ("broker",))
    project = Survey("here", django={"CACHES": {"default": {"urls": [cache]}}})
    (found,) = redis_durability._flushed(server, caches_on(project, "h:6379", 0))
    assert (said or "") in found.message
    assert ("cache default" in found.message) is bool(said)


ROOM_FIRST = ["maxmemory 200", "maxmemory-policy"]


@pytest.mark.parametrize(("used", "commands"), [(95, ROOM_FIRST), (50, ROOM_FIRST[1:])])
def test_a_full_redis_is_given_room_before_it_may_evict_nothing(used, commands):
    info = {"maxmemory": "100", "used_memory": str(used), "maxmemory_policy": "volatile-lru", "evicted_keys": "3"}
    facts = RedisFacts("broker", "redis://h:6379/0", "h:6379", 0, 0.1, info=info)
    (found,) = redis_memory._evicts(Server(facts, ("broker",)))
    lines = found.hint.splitlines()
    assert [command in line for command, line in zip(commands, lines, strict=True)] == [True] * len(commands)


@pytest.mark.parametrize(
    ("limit", "info", "said"),
    [
        ("normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60", {}, ""),
        ("normal 0 0 0 slave 268435456 67108864 60 pubsub 0 0 0", {}, ""),
        ("", {}, ""),
        ("normal 0 0 0 pubsub 65536 32768 10", {}, "cut off when 32768 bytes wait"),
        ("normal 0 0 0 pubsub 0 0 0", {"client_output_buffer_limit_disconnections": "3"}, "3 clients were cut off"),
    ],
)
def test_how_far_a_subscriber_may_fall_behind(limit, info, said):
    config = {"client-output-buffer-limit": limit} if limit else {}
    facts = RedisFacts("broker", "redis://h:6379/0", "h:6379", 0, 0.1, info=info, config=config)
    found = list(redis_load._subscribers(Server(facts, ("broker",))))
    assert [said in finding.message for finding in found] == [True] * bool(said)
