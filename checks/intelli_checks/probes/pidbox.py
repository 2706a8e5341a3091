"""One round of remote control, without waiting for anybody who is not there.

A broadcast is a PUBLISH on the mailbox's fanout channel, and its reply is the number of listening nodes: so the round
ends with the last answer instead of with a timeout. The wire format is kombu's (`kombu.pidbox`, unchanged from Celery
4.4 to 5.7).
"""

from __future__ import annotations

import binascii
import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from intelli_checks.probes.resp import Cut, DialError, ReplyError

TYPE_CHECKING = False  # see layout
if TYPE_CHECKING:
    from typing import Any

    from intelli_checks.probes.layout import Layout
    from intelli_checks.probes.resp import Connection

BARRIER = "ping"
"""Sent last. A node works through its mailbox in order, so who answered this has answered everything before it; and it
is the only command Celery's beat answers."""
BATCH = 25
FAR = 6
"""Steps, each a round trip: the question, the worker's answer, our reading of it in batches."""
LARGE = 16 * 1024 * 1024
"""Bytes kept of one read: a worker that holds a few large messages tells them whole."""


class Answer:
    """What one node said to one command; `body` is None when it used a serializer other than JSON."""

    def __init__(self, node: str, command: str, body: Any) -> None:
        self.node, self.command, self.body = node, command, body


class Round:
    """Everything said in one round. Plain classes here: a probe pays for `dataclasses` (see `Dsn`)."""

    def __init__(self, tickets: Mapping[str, str]) -> None:
        self.tickets = tickets
        """Ticket of each question -> its command."""
        self.listeners = 0
        """Nodes subscribed to the mailbox: Redis counts them, so 0 is final."""
        self.answers: list[Answer] = []
        self.opaque = 0
        """Answers in a serializer that is not JSON, which are counted and never decoded."""
        self.cut = 0
        """Answers too large to be read."""
        self.reached = 0
        """Nodes that have answered everything."""
        self.seconds = 0.0

    def to(self, command: str) -> list[tuple[str, Any]]:
        """(node, body) of each answer to `command`; a name comes twice when two nodes share it."""
        return [(answer.node, answer.body) for answer in self.answers if answer.command == command]

    @property
    def silent(self) -> int:
        """Nodes that listen and said nothing before the deadline."""
        return max(0, self.listeners - self.reached)

    def take(self, raw: bytes) -> None:
        """Add one message of the reply queue."""
        if isinstance(raw, Cut):
            self.cut += 1
            return
        message = _load(raw)
        headers = message.get("headers")
        command = self.tickets.get(str(headers.get("ticket"))) if isinstance(headers, Mapping) else None
        if command is None:
            return
        self.reached += command == BARRIER
        body = decode_body(message)
        if not isinstance(body, Mapping):
            self.opaque += 1
            self.answers.append(Answer("", command, None))
            return
        self.answers.extend(Answer(str(node), command, said) for node, said in body.items())


def ask(
    connection: Connection,
    layout: Layout,
    commands: Mapping[str, Mapping[str, Any]],
    *,
    timeout: float,
    destination: Sequence[str] | None = None,
) -> Round:
    """Broadcast `commands` (name to arguments) and a ping; return when every listener has answered or time is up.

    The connection must be on the broker's database. Nothing is left behind: the binding and the reply list are removed
    whatever happened. Raises DialError when the connection breaks and ReplyError when Redis refuses (an ACL).
    """
    began = time.monotonic()
    oid = unique()
    exchange = f"reply.{layout.mailbox}"
    box, binding = layout.key(f"{oid}.{exchange}"), layout.binding(exchange)
    member = layout.separator.join((oid, "", f"{oid}.{exchange}"))
    said = Round({unique(): command for command in (*commands, BARRIER)})
    common = {
        "destination": list(destination) if destination is not None else None,
        "pattern": None,
        "matcher": None,
        "reply_to": {"exchange": exchange, "routing_key": oid},
    }
    publish = [
        (
            "PUBLISH",
            layout.channel(layout.mailbox),
            _message(layout, command, commands.get(command, {}), ticket, common),
        )
        for ticket, command in said.tickets.items()
    ]
    try:
        bound, *published = connection.pipeline([("SADD", binding, member), *publish])
        for reply in (bound, *published):
            if isinstance(reply, ReplyError):
                raise reply
        listeners = min(reply for reply in published if isinstance(reply, int))
        said.listeners = min(listeners, len(destination)) if destination is not None else listeners
        # Every step of an answer takes as long as ours did: on a distant Redis nobody is silent who is only far away.
        far = time.monotonic() - began
        _collect(connection, box, said, began + timeout + min(FAR * far, timeout))
    finally:
        with suppress(DialError):  # what broke the connection is told already, or by whoever uses it next
            connection.pipeline([("SREM", binding, member), ("DEL", box)])
    said.seconds = time.monotonic() - began
    return said


def _collect(connection: Connection, box: str, said: Round, deadline: float) -> None:
    """Read answers until every listener has passed the barrier."""
    while said.reached < said.listeners and (left := deadline - time.monotonic()) > 0:
        first = connection.pipeline([("BRPOP", box, f"{left:.3f}")], keep=LARGE)[0]
        if isinstance(first, ReplyError):
            raise first
        if isinstance(first, list) and isinstance(first[1], bytes):
            said.take(first[1])
        while batch := _batch(connection, box):
            for raw in batch:
                said.take(raw)


def _batch(connection: Connection, box: str) -> list[bytes]:
    """Take the oldest answers out of the box (workers push on the left); some, because each may be megabytes long."""
    oldest = [("MULTI",), ("LRANGE", box, -BATCH, -1), ("LTRIM", box, 0, -BATCH - 1), ("EXEC",)]
    *_, taken = connection.pipeline(oldest, keep=LARGE)
    match taken:
        case [list(items), *_]:
            return [raw for raw in reversed(items) if isinstance(raw, bytes)]
    return []


def _message(layout: Layout, command: str, arguments: Mapping[str, Any], ticket: str, shared: Mapping[str, Any]) -> str:
    body = {"method": command, "arguments": dict(arguments), "ticket": ticket, **shared}
    return envelope(body, exchange=layout.mailbox, headers={"clock": 1, "expires": 0})


def envelope(
    body: object,
    *,
    exchange: str,
    routing_key: str = "",
    headers: Mapping[str, Any],
    properties: Mapping[str, Any] | None = None,
) -> str:
    """A message as kombu's virtual transports write it."""
    return json.dumps(
        {
            "body": binascii.b2a_base64(json.dumps(body).encode(), newline=False).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": dict(headers),
            "properties": {
                "delivery_mode": 2,
                "delivery_info": {"exchange": exchange, "routing_key": routing_key},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": unique(),
                **(properties or {}),
            },
        }
    )


def unique() -> str:
    """A name nobody else has, as `uuid.uuid4` makes them; that module costs a probe two milliseconds."""
    return os.urandom(16).hex()


def _load(raw: bytes) -> Mapping[str, Any]:
    try:
        message = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return message if isinstance(message, Mapping) else {}


def decode_body(message: Mapping[str, Any]) -> Any:
    """The body of a JSON message; None for any other serializer (never unpickle what others wrote)."""
    if message.get("content-type") != "application/json":
        return None
    body = message.get("body")
    try:
        properties = message.get("properties")
        if isinstance(properties, Mapping) and properties.get("body_encoding") == "base64":
            body = binascii.a2b_base64(str(body))
        return json.loads(body) if isinstance(body, (str, bytes)) else body
    except (ValueError, RecursionError, binascii.Error):
        return None
