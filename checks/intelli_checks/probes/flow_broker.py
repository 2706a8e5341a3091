"""Where a job may be that stands still: what waits in the queues, who consumes them, what workers hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from intelli_checks.model import Skip, Unavailable
from intelli_checks.text import safe

if TYPE_CHECKING:
    from intelli_checks.context import Context


@dataclass(frozen=True, slots=True)
class Broker:
    """The broker's side of a job that does not move."""

    waiting: Mapping[str, int] = field(default_factory=dict)
    """Queue -> messages."""
    consumed: tuple[str, ...] = ()
    workers: tuple[str, ...] = ()
    running: tuple[str, ...] = ()
    """`task on worker` for everything that runs."""
    problem: str = ""
    """Why the broker could not be asked."""


def look(ctx: Context) -> Broker:
    """Ask again, now: what was gathered before the job was sent proves nothing."""
    from intelli_checks.probes import fleet, queues

    try:
        seen = fleet.gather(ctx.layout, ctx.budget(3.0), declared=ctx.project is not None)
        depths = queues.gather_all(ctx.layout, ctx.project, seen, ctx.keyspace, ctx.budget(2.0))
    except (Skip, Unavailable) as error:
        return Broker(problem=safe(error))
    return Broker(
        {name: queue.depth for name, queue in depths.waiting.items()},
        tuple(sorted(seen.queues)),
        tuple(node.name for node in seen.nodes),
        tuple(safe(f"{request.name} on {node.name}") for node in seen.nodes for request in node.active),
    )
