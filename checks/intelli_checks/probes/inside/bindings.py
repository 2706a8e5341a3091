"""Which declared queue a message ends in: kombu's own rules for exchanges and routing keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any


class Unbound(Exception):
    """No declared queue is bound to this exchange with this key: kombu drops the message without a word."""


def queue_of(app: Any, options: dict[str, Any]) -> str | None:
    """The queue a message with these routed options goes to, as celery.app.amqp sends it; raises Unbound."""
    queue, exchange, key = (options.get(name) for name in ("queue", "exchange", "routing_key"))
    if queue is None and exchange is None:
        queue = app.amqp.default_queue
    if isinstance(queue, str):
        queue = app.amqp.queues[queue]
    own = getattr(queue, "exchange", None)
    kind = options.get("exchange_type") or getattr(own, "type", None) or "direct"
    name: str | None = getattr(queue, "name", None)
    if kind == "direct" and not (exchange and key):
        return name
    exchange = getattr(exchange, "name", exchange) or getattr(own, "name", None) or app.conf.task_default_exchange
    key = key or getattr(queue, "routing_key", None) or app.conf.task_default_routing_key
    bound = [one.name for one in app.amqp.queues.values() if _takes(one, exchange, key)]
    if not bound:
        raise Unbound(f"no queue is bound to exchange {exchange!r} with routing key {key!r}")
    return name if name in bound else bound[0]


def _takes(queue: Any, exchange: str, key: str) -> bool:
    return any(source.name == exchange and _matches(source.type, wanted, key) for source, wanted in _bindings(queue))


def _bindings(queue: Any) -> Iterator[tuple[Any, str]]:
    if queue.exchange is not None:
        yield queue.exchange, queue.routing_key or ""
    for one in queue.bindings or ():
        if one.exchange is not None:
            yield one.exchange, one.routing_key or ""


def _matches(kind: str, wanted: str, key: str) -> bool:
    from kombu.transport.virtual import exchange

    if kind == "topic":
        return re.match(exchange.TopicExchange(None).key_to_pattern(wanted), key) is not None
    return kind == "fanout" or wanted == key
