"""Where one task is: among the results, in a worker's hands, delivered, or waiting in line."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from intelli_checks.probes import results
from intelli_checks.probes.broker import opened
from intelli_checks.probes.nodes import Node, Request
from intelli_checks.probes.queues import QueueDepths
from intelli_checks.probes.resp import Connection, encoded

if TYPE_CHECKING:
    from intelli_checks.context import Context

CHUNK = 200
"""Messages read at a time."""
KEPT = 4 * 1024 * 1024
"""Bytes of them; of larger ones the end."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Everything that is known of one task's whereabouts."""

    id: str
    state: str | None = None
    """What the result store holds for it; None for nothing."""
    failure: str = ""
    """How it failed, in words of the result store."""
    store: bool = False
    """Whether there is a result store that could be read."""
    held: tuple[tuple[Node, Request], ...] = ()
    delivered: float | None = None
    """When it was delivered without an acknowledgement since."""
    queue: str | None = None
    """The queue it waits in."""
    ahead: int = 0
    """Messages before it in its list."""
    unseen: int = 0
    """Messages, waiting or delivered, that were not looked at for want of time."""


def gather(ctx: Context, id_: str, timeout: float) -> Trace:
    """Look for the task in the order in which it moves, so that one that moves meanwhile is met again."""
    ends = time.monotonic() + timeout / 2
    depths, store = ctx.depths, ctx.result_store
    with opened(ctx.fleet.found(ctx.layout), timeout) as connection:
        found, unseen = _waiting(connection, depths, id_, ends)
    queue, ahead = found or (None, 0)
    delivered = [one.score for one in depths.unacked.oldest if one.message.id == id_]
    unseen += max(0, depths.unacked.count - len(depths.unacked.oldest))
    held = tuple(ctx.fleet.holders(id_))
    state, failure = results.told_of(store, id_, timeout / 2) if store else (None, "")
    return Trace(
        id_, state, failure, store is not None, held, delivered[0] if delivered else None, queue, ahead, unseen
    )


def _waiting(connection: Connection, depths: QueueDepths, id_: str, ends: float) -> tuple[tuple[str, int] | None, int]:
    """Queue and place in line, and how many messages were not looked at by then."""
    unseen = 0
    for name, queue in depths.waiting.items():
        for key, depth in queue.depths.items():
            ahead, seen = _search(connection, key, id_, ends)
            if ahead is not None:
                return (name, ahead), 0
            unseen += max(0, depth - seen)
    return None, unseen


def _search(connection: Connection, key: str, id_: str, ends: float) -> tuple[int | None, int]:
    """How many messages stand before the one with this id, the next to be consumed being at the end of the list."""
    wanted, seen = encoded(id_), 0
    while time.monotonic() < ends:
        # The id is in what stays of a message that is cut: it comes after the body.
        chunk = connection.pipeline([("LRANGE", key, -seen - CHUNK, -seen - 1)], keep=KEPT)[0]
        if not isinstance(chunk, list) or not chunk:
            return None, seen
        for raw in reversed(chunk):
            if isinstance(raw, bytes) and wanted in raw:
                return seen, seen
            seen += 1
    return None, seen
