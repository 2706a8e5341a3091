"""Small Channels projects as other people write them, on a Redis of their own, and the checks pointed at them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from intelli_checks.context import Context
from intelli_checks.model import Outcome, Result
from intelli_checks.registry import registry
from intelli_checks.runner import diagnose
from intelli_checks.target import Place, Target

RELAY = Path(__file__).parents[2] / "projects" / "relay"


def place(name: str, **environ: str) -> Place:
    """The project's interpreter with variables of its own, as a container would have them."""
    assignments = [f"{variable}={value}" for variable, value in environ.items()]
    return Place(name, ("env", *assignments, sys.executable), RELAY)


def context(*places: Place, **more: Any) -> Context:
    return Context(Target(RELAY, places, settings="relay.settings", app="relay", **{"timeout": 40.0, **more}))


def check(ctx: Context, *ids: str) -> dict[str, Result]:
    registry.load()
    return {result.check.id: result for result in diagnose(registry.select(ids), ctx).results}


def told(result: Result) -> str:
    return "; ".join(f"{f.severity.name} [{f.subject}] {f.message}" for f in result.findings) or str(result.reason)


def failing(results: dict[str, Result]) -> dict[str, str]:
    bad = {Outcome.FAILED, Outcome.ERRORED}
    return {id_: told(result) for id_, result in results.items() if result.outcome in bad}
