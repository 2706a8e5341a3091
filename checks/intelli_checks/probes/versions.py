"""Which versions each worker runs, from its `report`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from intelli_checks.probes import pidbox
from intelli_checks.probes.broker import opened
from intelli_checks.probes.earlier import Roll
from intelli_checks.probes.layout import Layout
from intelli_checks.probes.workers import WorkerFleet

LIMIT = 30
"""Workers asked in one run; the rest is asked by the next ones."""
PATIENCE = 2.0

Versions = Mapping[str, Mapping[str, str]]
"""Node -> celery, kombu, billiard, py (Python) and the transport's driver, e.g. redis."""


def gather(layout: Layout, fleet: WorkerFleet, earlier: Roll, timeout: float) -> Versions:
    """What every worker runs; only those that are new since the last look are asked.

    A report makes the worker start a process (`file`, to learn its own architecture): often enough once in its life.
    """
    here = earlier.after(fleet).workers
    known = {node.name: here[node.name].versions for node in fleet.nodes if here[node.name].versions}
    names = [node.name for node in fleet.nodes if node.name not in known][:LIMIT]
    if not names:
        return known
    with opened(layout, timeout) as connection:
        said = pidbox.ask(connection, fleet.found(layout), {"report": {}}, timeout=PATIENCE, destination=names)
    return {**known, **{name: versions(body) for name, body in said.to("report")}}


def versions(body: object) -> dict[str, str]:
    """The versions in a report, which also carries the worker's settings: those are not kept."""
    report = str(body.get("ok", "")) if isinstance(body, Mapping) else ""
    software = report.partition("platform ->")[0].partition("software ->")[2]
    return {name.removeprefix("py-"): number for name, number in re.findall(r"([\w-]+):([\w.+]+)", software[:500])}
