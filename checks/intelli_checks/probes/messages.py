"""Queued messages, read where they lie."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from intelli_checks.probes.pidbox import decode_body
from intelli_checks.probes.resp import Cut
from intelli_checks.probes.told import mapping, number, whole


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
    size: int = 0
    """Bytes, as Redis keeps it."""
    sent_at: float | None = None
    """Seconds since the epoch, where the producer wrote a `sent_at` header: Celery itself writes no time."""


def decode(raw: bytes) -> Message:
    """Read a message as kombu's virtual transports and Celery's protocols 1 and 2 wrote it."""
    try:
        message = json.loads(without_body(raw) if isinstance(raw, Cut) else raw)
    except (ValueError, RecursionError) as error:
        # Of one that is too large to be read as a whole nothing is known.
        return Message(fault="" if isinstance(raw, Cut) else f"not JSON: {type(error).__name__}", size=_size(raw))
    return read(message, raw)


def without_body(cut: Cut, before: bytes = b"") -> bytes:
    """A message of which the end is known: kombu writes the body first, and everything else behind it."""
    return before + b'{"body": ""' + b"".join(cut.rpartition(b', "content-encoding": ')[1:])


def _size(raw: bytes) -> int:
    return raw.size if isinstance(raw, Cut) else len(raw)


def read(message: object, raw: bytes) -> Message:
    """A message that is JSON; `raw` is what it was read from."""
    if not isinstance(message, Mapping):
        return Message(fault=f"not a message but {type(message).__name__}")
    return _read(message, _size(raw), complete=not isinstance(raw, Cut))


def _read(message: Mapping[str, Any], size: int, *, complete: bool) -> Message:
    missing = [key for key in ("body", "properties", "content-type") if key not in message]
    if missing:
        return Message(fault=f"no {missing[0]!r} in it: not written by kombu")
    headers, properties = mapping(message.get("headers")), mapping(message["properties"])
    delivery = mapping(properties.get("delivery_info"))
    if "delivery_tag" not in properties or not delivery:
        return Message(fault="no delivery_tag or delivery_info in its properties: not written by kombu")
    content_type = str(message.get("content-type"))
    readable = complete and content_type == "application/json"
    body = decode_body(message) if readable else None
    old = mapping(body)  # protocol 1 carries the task in the body
    return Message(
        fault="its JSON body cannot be decoded" if readable and body is None else "",
        size=size,
        id=str(headers.get("id") or old.get("id") or properties.get("correlation_id") or ""),
        task=str(headers.get("task") or old.get("task") or ""),
        content_type=content_type,
        retries=whole(headers.get("retries") or old.get("retries")),
        redelivered=bool(headers.get("redelivered") or delivery.get("redelivered") or properties.get("redelivered")),
        eta=_text(headers.get("eta") or old.get("eta")),
        expires=_text(headers.get("expires") or old.get("expires")),
        origin=str(headers.get("origin") or ""),
        tag=str(properties.get("delivery_tag") or ""),
        sent_at=number(headers.get("sent_at")),
    )


def _text(value: object) -> str | None:
    return str(value) if value else None
