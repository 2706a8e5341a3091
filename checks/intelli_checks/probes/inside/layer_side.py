"""A round trip through the project's own channel layers, between processes and between places.

Every participant joins one group of our own, says who it is again and again, and writes down whom it heard. One
participant is a forked copy: a layer that lives inside one process hears itself and nobody else.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from . import values

TYPE = "intelli.ops.hello"
PAUSE = 0.1
MAX_LAYERS = 3
SECOND = "second process"


def exchange(interview: Any) -> Iterator[tuple[str, Any]]:
    """Talk through each layer; told as one list of what every participant heard."""
    settings = getattr(interview, "settings", None) or {}
    aliases = list(settings.get("CHANNEL_LAYERS") or {})[:MAX_LAYERS]
    request = interview.request
    pipe = _second(request, aliases)
    expected = [*request["participants"], *([second(request)] if pipe is not None else [])]
    told = _participate(request, aliases, request["place"], expected, burst=request["burst"])
    yield "exchange", told + (_read(pipe) if pipe is not None else [])


def publish(interview: Any) -> Iterator[tuple[str, Any]]:
    """Send one message to one channel, as a task of the project would."""
    request = interview.request

    async def send() -> None:
        layer = importlib.import_module("channels.layers").channel_layers[request["alias"]]
        await asyncio.wait_for(layer.send(request["channel"], request["message"]), 3.0)

    asyncio.new_event_loop().run_until_complete(send())
    yield "published", True


def second(request: dict[str, Any]) -> str:
    return f"{request['place']}, {SECOND}"


def _second(request: dict[str, Any], aliases: list[str]) -> int | None:
    """Start the forked participant before any layer exists; None where there is no fork (Windows)."""
    if not hasattr(os, "fork") or not aliases:
        return None
    reading, writing = os.pipe()
    if os.fork() == 0:
        with suppress(BaseException):
            told = _participate(request, aliases, second(request), request["participants"], burst=0)
            os.write(writing, json.dumps(told).encode())
        os._exit(0)
    os.close(writing)
    return reading


def _read(pipe: int) -> list[Any]:
    chunks = []
    while chunk := os.read(pipe, 65536):
        chunks.append(chunk)
    return json.loads(b"".join(chunks)) if chunks else []


def _participate(request: dict[str, Any], aliases: list[str], name: str, expected: list[str], burst: int) -> list[Any]:
    """Not `asyncio.run`: it waits for readers it has cancelled, and channels_redis may never let go of one."""
    talks = [Talk(request, alias, name, expected) for alias in aliases]

    async def all_layers() -> None:
        await asyncio.wait([asyncio.ensure_future(talk.run(burst)) for talk in talks], timeout=request["talk"] * 2 + 2)

    if talks:
        asyncio.new_event_loop().run_until_complete(all_layers())
    return [talk.told for talk in talks]


async def _delete(lent: Any, *keys: str) -> None:
    """channels_redis lends a client of redis-py; until release 4 something to enter for one of aioredis."""
    if hasattr(lent, "delete"):
        await lent.delete(*keys)
        return
    async with lent as client:
        await client.delete(*keys)


class Talk:
    """One participant in one layer."""

    def __init__(self, request: dict[str, Any], alias: str, name: str, expected: list[str]) -> None:
        self.request, self.alias, self.name, self.expected = request, alias, name, set(expected)
        self.group = f"intelli-ops.{request['token']}"
        self.heard: dict[str, float] = {}
        self.heard_me: set[str] = set()
        self.told: dict[str, Any] = {"alias": alias, "participant": name, "heard": self.heard, "error": ""}
        self._step("building the layer")

    def _step(self, step: str) -> None:
        self.told["step"] = step

    async def run(self, burst: int) -> None:
        try:
            await self._run(burst)
            self._step("")
        except Exception as raised:  # noqa: BLE001 - a layer may raise anything: that is what is asked
            self.told["error"] = f"{type(raised).__name__}: {raised}".rstrip(": ")[:500]

    async def _run(self, burst: int) -> None:
        layer = importlib.import_module("channels.layers").channel_layers[self.alias]
        self.told["backend"] = values.dotted(type(layer))
        self.told["capacity"] = getattr(layer, "capacity", None)
        self._step("joining a group")
        channel = await layer.new_channel()
        await layer.group_add(self.group, channel)
        try:
            self._step("sending to a group")
            await self._converse(layer, channel)
            if burst:
                self._step("sending a burst")
                self.told["burst"] = [burst, await self._burst(layer, burst)]
        finally:
            await asyncio.wait_for(self._leave(layer, channel), 1.0)

    async def _leave(self, layer: Any, channel: str) -> None:
        """Leave the group, and the queue of this process (channels_redis.core) with what nobody will read."""
        await layer.group_discard(self.group, channel)
        await asyncio.sleep(PAUSE)  # whoever looked the group up before that still sends
        if hasattr(layer, "client_prefix") and hasattr(layer, "connection"):
            key = layer.prefix + layer.non_local_name(channel)
            for host in range(layer.ring_size):
                await _delete(layer.connection(host), key, key + "$inflight")

    async def _converse(self, layer: Any, channel: str) -> None:
        """Until everybody was heard and has heard us, or the time is up; then once more for those who still listen."""
        deadline = time.monotonic() + self.request["talk"]
        listening = asyncio.ensure_future(self._listen(layer, channel))
        while time.monotonic() < deadline and not self._done:
            await self._hello(layer)
            await asyncio.wait([listening], timeout=PAUSE)
            if listening.done():
                listening.result()
        await self._hello(layer)

    @property
    def _done(self) -> bool:
        return self.heard.keys() >= self.expected and self.heard_me >= self.expected

    async def _hello(self, layer: Any) -> None:
        hello = {"type": TYPE, "from": self.name, "heard": sorted(self.heard), "at": time.time()}
        await layer.group_send(self.group, hello)

    async def _listen(self, layer: Any, channel: str) -> None:
        while True:
            hello = await layer.receive(channel)
            self._step("receiving")
            if hello.get("type") == TYPE and "from" in hello:
                self.heard.setdefault(hello["from"], round((time.time() - hello["at"]) * 1000, 1))
                if self.name in hello["heard"]:
                    self.heard_me.add(hello["from"])

    async def _burst(self, layer: Any, size: int) -> int:
        """How many of `size` messages arrive that were sent before anybody read: the rest was dropped in silence."""
        group, channel = f"{self.group}.burst", await layer.new_channel()
        received: list[Any] = []

        async def read() -> None:
            while len(received) < size:
                received.append(await layer.receive(channel))

        await layer.group_add(group, channel)
        for number in range(size):
            await layer.group_send(group, {"type": TYPE, "number": number})
        reading = asyncio.ensure_future(read())
        before = -1
        while len(received) > before and not reading.done():  # silence for a while is the end
            before = len(received)
            await asyncio.wait([reading], timeout=0.4)
        await layer.group_discard(group, channel)
        return len(received)
