"""The broker and the workers as the project's own app reaches them: for brokers we do not speak ourselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from . import values

CONNECT = 3.0
PATIENCE = 1.5
"""Seconds a broadcast waits: how many will answer is not known here."""
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


def workers(interview: Any) -> Iterator[tuple[str, Any]]:
    """Who answers, and which queues each consumes."""
    if not interview.known.get("fanout"):
        return
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
    """Messages and consumers of each declared queue, as a broker of the AMQP protocol counts them."""
    if interview.known.get("driver") != "amqp" or "amqp" not in interview.known.get("transport", ""):
        return
    told = {}
    for name in list(interview.app.amqp.queues)[:LIMIT]:
        told[name] = _passive(interview.connection, name)
    yield "queues", told


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
