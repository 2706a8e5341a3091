"""What is said into the layer, and who hears it: real interpreters, a real Redis, one fault each."""

from __future__ import annotations

import pytest
from tests.integration.channels.harness import check, context, failing, told

IN_MEMORY = "channels.layers.InMemoryChannelLayer"


@pytest.fixture
def asked(places):
    """The channel checks of the project at these places."""

    def ask(*configured, **target):
        return check(context(*configured, **target), "channels", "celery.places")

    return ask


def test_healthy_places_hear_each_other_and_leave_nothing_behind(asked, places, intelli_redis):
    results = asked(places("web"), places("worker"))
    assert failing(results) == {}
    assert "4 processes hear each other" in told(results["channels.round_trip"])
    assert intelli_redis.client(1).keys("*") == []


def test_the_pubsub_layer_is_healthy_too(asked, places):
    results = asked(places("here", backend="channels_redis.pubsub.RedisPubSubChannelLayer"))
    assert failing(results) == {}
    assert "2 processes hear each other" in told(results["channels.round_trip"])


def test_a_layer_in_memory_is_named_once(asked, places):
    results = asked(places("here", backend=IN_MEMORY))
    assert list(failing(results)) == ["channels.in_memory"]
    assert results["channels.round_trip"].because == "channels.in_memory"


def test_a_layer_that_only_looks_like_one_for_many_processes_is_caught_by_the_second_process(asked, places):
    results = asked(places("here", backend="relay.layers.HouseLayer"))
    assert list(failing(results)) == ["channels.round_trip"]
    assert "never reaches" in told(results["channels.round_trip"])


@pytest.mark.parametrize(
    ("other", "subject"),
    [
        ({"prefix": "staging"}, "channel layer prefix"),
        ({"symmetric_encryption_keys": ["other"]}, "channel layer keys"),
        ({"database": 5}, "channel layer"),
    ],
    ids=["prefix", "keys", "database"],
)
def test_places_with_different_layers_are_told_apart_by_what_differs(asked, places, intelli_redis, other, subject):
    if database := other.pop("database", 0):
        other["url"] = intelli_redis.url(database)
    results = asked(places("web"), places("worker", **other))
    assert list(failing(results)) == ["celery.places"]
    assert f"[{subject}]" in told(results["celery.places"])
    assert results["channels.round_trip"].because == "celery.places"


def test_a_small_capacity_shows_in_a_burst(asked, places):
    results = asked(places("here", capacity=10))
    assert failing(results) == {}
    assert "dropped in silence (capacity 10)" in told(results["channels.capacity"])


def test_the_layers_own_redis_being_down_is_the_one_cause(asked, places, intelli_redis_server):
    dead = intelli_redis_server(password="")
    url = dead.url(1)
    dead.kill()
    results = asked(places("here", url=url))
    assert list(failing(results)) == ["redis.channels"]
    assert results["channels.round_trip"].because == "redis.channels"


def test_a_full_queue_of_a_process_that_is_gone_is_a_warning_and_of_a_living_one_a_failure(
    asked, places, intelli_redis
):
    client = intelli_redis.client(1)
    now = client.time()[0]
    client.zadd("asgispecific.0123!", {f"message {n}": now for n in range(100)})
    results = asked(places("here"))
    assert failing(results) == {}
    assert "is gone" in told(results["channels.backlog"])


def test_groups_under_another_prefix_are_seen(asked, places, intelli_redis):
    client = intelli_redis.client(1)
    client.zadd("staging:group:job_7", {"specific.9!a": client.time()[0]})
    results = asked(places("here"))
    assert "1 under 'staging'" in told(results["channels.prefix"])
