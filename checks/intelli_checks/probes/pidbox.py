"""One round of remote control, without waiting for anybody who is not there.

A broadcast is a PUBLISH on the mailbox's fanout channel, and its reply is the number of listening nodes: so the round
ends with the last answer instead of with a timeout. The wire format is kombu's (`kombu.pidbox`, unchanged from Celery
4.4 to 5.7).
"""

from __future__ import annotations

import base64
import binascii
import json
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from intelli_checks.probes.layout import Layout
from intelli_checks.probes.resp import Connection, ReplyError

BARRIER = "ping"
"""Sent last. A node works through its mailbox in order, so who answered this has answered everything before it; and it
is the only command Celery's beat answers."""
BATCH = 25


@dataclass(frozen=True, slots=True)
class Answer:
    """What one node said to one command; `body` is None when it used a serializer other than JSON."""

    node: str
    command: str
    body: Any


@dataclass(frozen=True, slots=True)
class Round:
    """Everything said in one round."""

    listeners: int
    """Nodes subscribed to the mailbox: Redis counts them, so 0 is final."""
    answers: tuple[Answer, ...] = ()
    seconds: float = 0.0
    opaque: int = 0
    """Answers in a serializer that is not JSON, which are counted and never decoded."""

    def to(self, command: str) -> list[tuple[str, Any]]:
        """(node, body) of each answer to `command`; a name comes twice when two nodes share it."""
        return [(answer.node, answer.body) for answer in self.answers if answer.command == command]

    @property
    def silent(self) -> int:
        """Nodes that listen and said nothing before the deadline."""
        return max(0, self.listeners - len(self.to(BARRIER)))


@dataclass(slots=True)
class _Inbox:
    """The reply queue of one round and what has come out of it."""

    tickets: dict[str, str]
    answers: list[Answer] = field(default_factory=list)
    opaque: int = 0
    reached: int = 0

    def take(self, raw: bytes) -> None:
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
    oid = str(uuid.uuid4())
    exchange = f"reply.{layout.mailbox}"
    box, binding = layout.key(f"{oid}.{exchange}"), layout.binding(exchange)
    member = layout.separator.join((oid, "", f"{oid}.{exchange}"))
    inbox = _Inbox({str(uuid.uuid4()): command for command in (*commands, BARRIER)})
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
        for ticket, command in inbox.tickets.items()
    ]
    try:
        bound, *published = connection.pipeline([("SADD", binding, member), *publish])
        for reply in (bound, *published):
            if isinstance(reply, ReplyError):
                raise reply
        listeners = min(reply for reply in published if isinstance(reply, int))
        expected = min(listeners, len(destination)) if destination is not None else listeners
        _collect(connection, box, inbox, expected, began + timeout)
    finally:
        connection.pipeline([("SREM", binding, member), ("DEL", box)])
    return Round(expected, tuple(inbox.answers), time.monotonic() - began, inbox.opaque)


def _collect(connection: Connection, box: str, inbox: _Inbox, expected: int, deadline: float) -> None:
    """Read answers until `expected` nodes have passed the barrier."""
    while inbox.reached < expected and (left := deadline - time.monotonic()) > 0:
        first = connection.call("BRPOP", box, f"{left:.3f}")
        if isinstance(first, list) and isinstance(first[1], bytes):
            inbox.take(first[1])
        while batch := _batch(connection, box):
            for raw in batch:
                inbox.take(raw)


def _batch(connection: Connection, box: str) -> list[bytes]:
    """Take the oldest answers out of the box (workers push on the left); some, because each may be megabytes long."""
    *_, taken = connection.pipeline([("MULTI",), ("LRANGE", box, -BATCH, -1), ("LTRIM", box, 0, -BATCH - 1), ("EXEC",)])
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
            "body": base64.b64encode(json.dumps(body).encode()).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": dict(headers),
            "properties": {
                "delivery_mode": 2,
                "delivery_info": {"exchange": exchange, "routing_key": routing_key},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": str(uuid.uuid4()),
                **(properties or {}),
            },
        }
    )


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
            body = base64.b64decode(str(body))
        return json.loads(body) if isinstance(body, (str, bytes)) else body
    except (ValueError, RecursionError, binascii.Error):
        return None
