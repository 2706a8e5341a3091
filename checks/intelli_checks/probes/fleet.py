"""Find the workers of one application on one Redis, whatever their mailbox is called."""

from __future__ import annotations

from intelli_checks.probes import keyspace, workers
from intelli_checks.probes.absence import other_mailboxes
from intelli_checks.probes.broker import opened
from intelli_checks.probes.layout import Layout
from intelli_checks.probes.resp import Connection
from intelli_checks.probes.workers import WorkerFleet

PATIENCE = 1.0
"""Seconds a listening node has to answer; only a silent one costs them."""


def gather(layout: Layout, timeout: float, *, declared: bool) -> WorkerFleet:
    """One round; where nobody listens, one more for each other name the mailbox may have.

    `declared` tells that the layout is the project's own. Where it is only a guess (a bare broker URL), the one key
    prefix under which workers answer is taken for theirs.
    """
    with opened(layout, timeout) as connection:
        fleet = workers.gather(connection, layout, PATIENCE, sure=declared)
        if not fleet.listeners:
            fleet = _elsewhere(connection, layout, declared=declared) or fleet
        return workers.profiled(connection, layout, fleet, PATIENCE)


def _elsewhere(connection: Connection, layout: Layout, *, declared: bool) -> WorkerFleet | None:
    keys = keyspace.gather(connection)
    candidates = list(other_mailboxes(layout, keys))
    if not declared:
        candidates += [layout.but(prefix=prefix) for prefix in sorted(keys.prefixes - {layout.prefix})]
    found = [fleet for other in candidates if (fleet := workers.gather(connection, other, PATIENCE)).listeners]
    return found[0] if found else None
