"""From the layer to an open socket, with the web server's layer broken in one way each."""

from __future__ import annotations

import pytest
from tests.integration.channels.harness import failing, told

from intelli_fixtures.processes import until

EVENT = {"event": {"type": "order.changed", "state": "probed"}}
IN_MEMORY = "channels.layers.InMemoryChannelLayer"


def test_an_event_reaches_an_open_socket_and_nothing_is_left(served, relay):
    relay.redis.command("SET", "a key", "of the broker", db=0)  # every database with keys is looked into
    results = served("websocket", flow=EVENT)
    assert failing(results) == {}
    assert "joined order_1" in told(results["websocket.group"])
    assert "1 frames reached the socket" in told(results["websocket.delivery"])
    # The server leaves the group once it has noticed that our socket is closed.
    until(lambda: not relay.redis.client(1).keys("*:group:*"), 5, "the group to be empty")


def test_without_a_configured_event_the_consumer_is_left_alone(served):
    results = served("websocket.delivery")
    assert failing(results) == {}
    assert told(results["websocket.delivery"]).endswith("read by the web process")


def test_an_event_nobody_handles_is_told_from_one_that_arrives(served):
    results = served("websocket.delivery", flow={"event": {"type": "order.moved"}})
    assert list(failing(results)) == ["websocket.delivery"]
    assert "no method order_moved" in told(results["websocket.delivery"])


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ({"database": 4}, "database 4, the project's is 1"),
        ({"prefix": "staging"}, "prefix 'staging', the project sends to 'asgi'"),
        ({"backend": IN_MEMORY}, "uses another layer"),
    ],
    ids=["database", "prefix", "memory"],
)
def test_a_web_server_with_another_layer_than_the_project_is_named(served, relay, layer, message):
    if database := layer.pop("database", 0):
        layer["url"] = relay.redis.url(database)
    results = served("websocket.delivery", **layer)
    assert list(failing(results)) == ["websocket.group"]
    assert message in told(results["websocket.group"])
