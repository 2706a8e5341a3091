"""What one participant of the round trip does to the layer, whichever release of channels_redis it is."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from intelli_checks.probes.inside.layer_side import Talk


class Connection:
    """What channels_redis lends: a client of redis-py (since 4), or what to enter for one of aioredis (3)."""

    def __init__(self) -> None:
        self.deleted: list[tuple[str, ...]] = []

    async def delete(self, *keys: str) -> None:
        self.deleted.append(keys)


class Layer:
    client_prefix, prefix, ring_size = "specific.c", "shop", 2

    def __init__(self, *, entered: bool) -> None:
        self.lent = [Connection(), Connection()]
        self.entered = entered

    def connection(self, index: int) -> object:
        return _entering(self.lent[index]) if self.entered else self.lent[index]

    def non_local_name(self, name: str) -> str:
        return name.partition("!")[0] + "!"

    async def group_discard(self, group: str, channel: str) -> None:
        pass


@contextlib.asynccontextmanager
async def _entering(connection):
    yield connection


@pytest.mark.parametrize("entered", [False, True], ids=["channels_redis 4", "channels_redis 3"])
def test_its_queue_is_left_empty_behind(entered):
    """With channels_redis 3 the healthy round trip ended with AttributeError."""
    layer = Layer(entered=entered)
    talk = Talk({"token": "t"}, "default", "web", [])
    asyncio.run(talk._leave(layer, "specific.c!1"))
    keys = ("shopspecific.c!", "shopspecific.c!$inflight")
    assert [connection.deleted for connection in layer.lent] == [[keys], [keys]]
