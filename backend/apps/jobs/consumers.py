"""The WebSocket of one job: a snapshot, then every later event once and in order.

The database decides what is sent and in which order; the channel layer only says when to look. So a hint that is lost,
late, doubled or out of order changes nothing, and with the layer down the socket lives on by looking every few seconds.

Close codes: 4401 not (or no longer) signed in, 4404 no such job for this user, 4429 too many sockets, 4400 the client
talks too much. Refusals come before the handshake is accepted: a browser sees HTTP 403 then.
"""

import asyncio
import contextlib
import uuid
from collections import Counter
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs

import structlog
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from channels.layers import get_channel_layer
from django.conf import settings
from django.db import OperationalError

from apps.jobs import feed
from apps.jobs.access import may_use
from apps.jobs.events import group_name

log = structlog.get_logger(__name__)

UNAUTHENTICATED, NOT_FOUND, TOO_MANY, TALKATIVE = 4401, 4404, 4429, 4400
_RESUBSCRIBE_SECONDS = 20.0  # a restarted Redis forgets groups without telling anybody
_MAX_CLIENT_FRAMES = 20

_open_sockets: Counter[str] = Counter()  # by user, in this process


class JobConsumer(AsyncJsonWebsocketConsumer):
    """Sends one job's events to one client; what the client sends is ignored, and little of it tolerated."""

    # No such layer, on purpose: Channels ends the socket when the layer breaks. `_listen` mends the connection instead.
    channel_layer_alias = "none"

    async def connect(self) -> None:
        """Refuse before accepting, or accept and start sending."""
        self.job_id: uuid.UUID = self.scope["url_route"]["kwargs"]["job_id"]
        self._frames = 0
        self._counted = ""
        self._tasks: list[asyncio.Task[None]] = []
        refusal = await self._refusal()
        if refusal:
            await self.close(refusal)
            return
        self._counted = str(self.scope["user"].pk)
        _open_sockets[self._counted] += 1
        await self.accept()
        wake = asyncio.Event()
        self._tasks = [asyncio.create_task(self._listen(wake)), asyncio.create_task(self._send_events(wake))]

    async def disconnect(self, code: int) -> None:
        """Stop both tasks and forget the socket."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._counted:
            _open_sockets[self._counted] -= 1
            self._counted = ""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None, **kwargs: Any) -> None:
        """Nothing is expected from the client."""
        self._frames += 1
        if self._frames == _MAX_CLIENT_FRAMES:  # once: closing twice is an error, and more may be on their way
            await self.close(TALKATIVE)

    async def _refusal(self) -> int | None:
        user = self.scope["user"]
        if not may_use(user):
            return UNAUTHENTICATED
        if not await _in_thread(feed.may_see)(user, self.job_id):
            return NOT_FOUND
        return TOO_MANY if _open_sockets[str(user.pk)] >= settings.INTELLI_MAX_SOCKETS else None

    async def _send_events(self, wake: asyncio.Event) -> None:
        """Everything in order, for as long as the client may see it."""
        seq = _after(self.scope["query_string"])
        while True:
            try:
                page = await _in_thread(feed.read)(self.scope, self.job_id, seq)
            except OperationalError as error:
                log.warning("events not read, trying again", job_id=str(self.job_id), error=repr(error))
                await asyncio.sleep(settings.INTELLI_SOCKET_POLL_SECONDS)
                continue
            if page.refusal:
                await self.close(page.refusal)
                return
            await self._send_all(page.frames)
            seq = page.seq
            if not page.frames:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(wake.wait(), settings.INTELLI_SOCKET_POLL_SECONDS)
                wake.clear()

    async def _send_all(self, frames: Sequence[dict[str, Any]]) -> None:
        for frame in frames:
            await self.send_json(frame)

    async def _listen(self, wake: asyncio.Event) -> None:
        """Turn the layer's hints into wake-ups; subscribe again whenever the layer broke or may have forgotten us."""
        while True:
            try:
                await self._subscribed(wake)
            except Exception as error:  # noqa: BLE001  a broken layer only makes the socket slower
                log.info("channel layer unavailable, looking at the database instead", error=repr(error))
                await asyncio.sleep(settings.INTELLI_SOCKET_POLL_SECONDS)

    async def _subscribed(self, wake: asyncio.Event) -> None:
        layer = get_channel_layer()
        channel = await layer.new_channel()
        group = group_name(self.job_id)
        try:
            while True:
                await layer.group_add(group, channel)
                wake.set()  # something may have happened before the subscription
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_RESUBSCRIBE_SECONDS):
                        while True:
                            await layer.receive(channel)
                            wake.set()
        finally:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(layer.group_discard(group, channel), settings.INTELLI_BROADCAST_SECONDS)


class UnknownPath(AsyncJsonWebsocketConsumer):
    """Refuses paths nobody serves, instead of failing on them."""

    channel_layer_alias = "none"

    async def connect(self) -> None:
        """Refuse."""
        await self.close(NOT_FOUND)


def _in_thread(function: Any) -> Any:
    """Run a blocking database function beside the event loop, not behind every other socket's."""
    return database_sync_to_async(function, thread_sensitive=False)


def _after(query: bytes) -> int | None:
    """The number after which the client wants events; None when it has none, or sent something else."""
    value = parse_qs(query.decode("latin-1")).get("after", [""])[0]
    return int(value) if value.isascii() and value.isdigit() and len(value) < 10 else None
