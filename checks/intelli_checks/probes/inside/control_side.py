"""The broker and the workers as the project's own app reaches them: for brokers we do not speak ourselves."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from . import values

CONNECT = 3.0
PATIENCE = 1.5
"""Seconds a broadcast waits: how many will answer is not known here."""
NOTICE = 0.4
"""Seconds in which RabbitMQ says that it is blocked."""
LIMIT = 50


def reach(interview: Any) -> Iterator[tuple[str, Any]]:
    """Connect once, as a producer would."""
    url = interview.request.get("broker")  # another one than the project's, where somebody named it
    interview.connection = connection = interview.app.connection_for_write(url, connect_timeout=CONNECT)
    interview.known["transport"] = str(connection.transport_cls)
    # Without this a refused connection is tried again a hundred times; some transports connect only when used.
    connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0, timeout=CONNECT)
    connection.default_channel  # noqa: B018 - opens it
    yield "reached", True
    transport = connection.transport
    yield "driver", str(getattr(transport, "driver_type", ""))
    yield "fanout", "fanout" in getattr(transport.implements, "exchange_type", ())


def blocked(interview: Any) -> Iterator[tuple[str, Any]]:
    """Whether the broker takes no messages: RabbitMQ says so to whoever has sent one, and reads no more from him then.

    So this is a connection of its own; the message has no queue to go to and is dropped.
    """
    if interview.known.get("driver") != "amqp" or "amqp" not in interview.known.get("transport", ""):
        return
    told: list[str] = []
    connection = interview.connection.clone()
    connection.ensure_connection(max_retries=1, timeout=CONNECT)
    connection.connection.on_blocked = told.append
    connection.Producer().publish("", routing_key=f"intelli-ops.{uuid.uuid4()}", retry=False)
    with suppress(TimeoutError, *connection.channel_errors):
        connection.drain_events(timeout=NOTICE)
    yield "blocked", bool(told)
    if not told:  # to close waits for an answer
        connection.release()


def workers(interview: Any) -> Iterator[tuple[str, Any]]:
    """Who answers, and which queues each consumes."""
    if not interview.known.get("fanout") or interview.known.get("blocked"):
        return
    interview.app.control.mailbox.producer_pool = None  # it sends over connections of its own, to the project's broker
    replies = interview.app.control.broadcast(
        "active_queues", reply=True, timeout=PATIENCE, connection=interview.connection
    )
    yield (
        "workers",
        [
            [str(node), [str(queue.get("name")) for queue in queues if isinstance(queue, dict)]]
            for reply in replies or ()
            for node, queues in reply.items()
            if isinstance(queues, list)
        ],
    )


def queues(interview: Any) -> Iterator[tuple[str, Any]]:
    """Messages and consumers of each queue, as AMQP counts them, and which are not as the project declares."""
    if interview.known.get("driver") != "amqp" or "amqp" not in interview.known.get("transport", ""):
        return
    told, refused = {}, {}
    for name in sorted({*interview.app.amqp.queues, *interview.request.get("queues", ())})[:LIMIT]:
        told[name] = _passive(interview.connection, name)
        if told[name]:
            refused[name] = _declared(interview, name)
    yield "queues", told
    yield "refused", {name: words for name, words in refused.items() if words}


def _passive(connection: Any, name: str) -> Any:
    """[messages, consumers]; None where the queue does not exist, which closes the channel it was asked on."""
    channel = connection.channel()
    try:
        answer = channel.queue_declare(queue=name, passive=True)
    except connection.channel_errors:
        return None
    finally:
        with suppress(Exception):
            channel.close()
    return [values.plain(answer.message_count), values.plain(answer.consumer_count)]


def _declared(interview: Any, name: str) -> str:
    """What the broker has against the way the project declares a queue that is there.

    Each worker declares it when it starts. That changes nothing: the broker compares, and refuses what differs.
    """
    try:
        queue = interview.app.amqp.queues[name]
    except KeyError:  # task_create_missing_queues is off
        return ""
    channel = interview.connection.channel()
    try:
        queue.bind(channel).queue_declare()
    except interview.connection.channel_errors as raised:
        return str(raised) if "inequivalent arg" in str(raised) else ""
    finally:
        with suppress(Exception):
            channel.close()
    return ""
