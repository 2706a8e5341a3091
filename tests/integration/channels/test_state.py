"""Groups are looked for in every database of the layer's Redis, each in its own."""

from __future__ import annotations

from typing import Any

from intelli_checks.dsn import Dsn
from intelli_checks.probes import channels_state
from intelli_checks.probes.redis import Endpoint


def test_each_database_is_read_as_itself(intelli_redis: Any) -> None:
    intelli_redis.flush()
    for number, group in ((0, "old"), (1, "home")):
        intelli_redis.client(number).zadd(f"asgi:group:{group}", {"specific.web!one": 1.0})
    endpoint = Endpoint("channels", Dsn(intelli_redis.url(1)))
    numbers = channels_state.databases(endpoint, 2.0)
    found = {state.database: [one.name for one in state.groups] for state in
             channels_state.gather(endpoint, 2.0, numbers)}  # fmt: skip
    assert found == {0: ["old"], 1: ["home"]}
