"""Which workers are the project's, and which another application's on the same Redis."""

from __future__ import annotations

from collections.abc import Iterable

from intelli_checks.context import Context
from intelli_checks.probes.nodes import Node


def ours(ctx: Context) -> tuple[Node, ...]:
    """The workers whose versions and settings are this project's business: not those of a neighbour on the same Redis.

    A neighbour knows tasks of its own and none of the project's; where the project cannot be asked, none of the first.
    """
    nodes = ctx.fleet.nodes
    first = nodes[0].registered if nodes else ()
    known = own_tasks((task.name for task in ctx.project.tasks) if ctx.project else first)
    return tuple(node for node in nodes if not known or not (own := own_tasks(node.registered)) or known & own)


def own_tasks(names: Iterable[str]) -> set[str]:
    """The names without those every Celery worker knows."""
    return {name for name in names if not name.startswith("celery.")}
