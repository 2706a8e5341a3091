"""What the scheduler owes: entries that were due, and that no worker of their queue has started."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from intelli_checks.context import Context
from intelli_checks.probes.nodes import Node
from intelli_checks.probes.survey import Survey

GRACE = 30.0
"""Seconds beyond three periods before a task counts as not sent."""


@dataclass(frozen=True, slots=True)
class Overdue:
    """One entry of the schedule."""

    entry: str
    seconds: float
    """How long no worker was sent it."""
    times: int
    """How often it was due in that time."""


def overdue(ctx: Context) -> list[Overdue]:
    """Entries with a short period that were not sent for three of them.

    Only where every consumer of the task's queue answers and nothing waits there: a message on its way is no debt.
    """
    project = ctx.project
    if project is None or not ctx.fleet.nodes or not ctx.fleet.accounted or ctx.fleet.duplicates:
        return []
    return [one for name, entry in project.beat.items() if (one := _owed(ctx, project, name, entry))]


def _owed(ctx: Context, project: Survey, name: str, entry: Mapping[str, Any]) -> Overdue | None:
    every, task = entry.get("seconds"), str(entry.get("task") or "")
    queue = str(entry.get("queue") or next((one.queue for one in project.tasks if one.name == task), "") or "")
    consumers = ctx.fleet.consumers(queue)
    if not every or not consumers or ctx.depths.depth(queue):
        return None
    if any(node.busy or request.name == task for node in consumers for request in _in_hand(node)):
        return None
    quiet = max(_since_start(consumers, task), _since_last_look(ctx, consumers, task))
    return Overdue(name, quiet, int(quiet / every)) if quiet > 3 * every + GRACE else None


def _in_hand(node: Node) -> Iterator[Any]:
    yield from (*node.active, *node.reserved, *node.scheduled)


def _since_start(consumers: tuple[Node, ...], task: str) -> float:
    """Seconds for which all of these workers are up and none has started the task; 0 if one has."""
    if any(task in node.total for node in consumers):
        return 0.0
    return min(node.uptime or 0.0 for node in consumers)


def _since_last_look(ctx: Context, consumers: tuple[Node, ...], task: str) -> float:
    """Seconds since the last look, if all of these workers were there and none has started the task since."""
    before, now = ctx.earlier, ctx.fleet.taken
    for node in consumers:
        seen = before.workers.get(node.name)
        there = seen is not None and seen.last == before.taken and (node.uptime or 0.0) > now - before.taken
        if seen is None or not there or node.total.get(task, 0) != seen.totals.get(task, 0):
            return 0.0
    return now - before.taken
