"""Queued messages, read where they lie."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from intelli_checks.probes.pidbox import decode_body


@dataclass(frozen=True, slots=True)
class Message:
    """What the outside of a queued message tells; its arguments are never kept."""

    fault: str = ""
    """Why no worker can decode it; empty for a message that is well formed."""
    id: str = ""
    task: str = ""
    content_type: str = ""
    retries: int = 0
    redelivered: bool = False
    eta: str | None = None
    expires: str | None = None
    origin: str = ""
    tag: str = ""
    sent_at: float | None = None
    """Seconds since the epoch, where the producer wrote a `sent_at` header: Celery itself writes no time."""


def decode(raw: bytes) -> Message:
    """Read a message as kombu's virtual transports and Celery's protocols 1 and 2 wrote it."""
    try:
        message = json.loads(raw)
    except (ValueError, RecursionError) as error:
        return Message(fault=f"not JSON: {type(error).__name__}")
    if not isinstance(message, Mapping):
        return Message(fault=f"not a message but {type(message).__name__}")
    return _read(message)


def _read(message: Mapping[str, Any]) -> Message:
    missing = [key for key in ("body", "properties", "content-type") if key not in message]
    if missing:
        return Message(fault=f"no {missing[0]!r} in it: not written by kombu")
    headers, properties = _mapping(message.get("headers")), _mapping(message["properties"])
    delivery = _mapping(properties.get("delivery_info"))
    if "delivery_tag" not in properties or not delivery:
        return Message(fault="no delivery_tag or delivery_info in its properties: not written by kombu")
    content_type = str(message.get("content-type"))
    body = decode_body(message) if content_type == "application/json" else None
    old = _mapping(body)  # protocol 1 carries the task in the body
    sent_at = headers.get("sent_at")
    return Message(
        fault="its JSON body cannot be decoded" if content_type == "application/json" and body is None else "",
        id=str(headers.get("id") or old.get("id") or properties.get("correlation_id") or ""),
        task=str(headers.get("task") or old.get("task") or ""),
        content_type=content_type,
        retries=_int(headers.get("retries") or old.get("retries")),
        redelivered=bool(headers.get("redelivered") or delivery.get("redelivered") or properties.get("redelivered")),
        eta=_text(headers.get("eta") or old.get("eta")),
        expires=_text(headers.get("expires") or old.get("expires")),
        origin=str(headers.get("origin") or ""),
        tag=str(properties.get("delivery_tag") or ""),
        sent_at=float(sent_at) if isinstance(sent_at, (int, float)) else None,
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0


def _text(value: object) -> str | None:
    return str(value) if value else None
