"""`intelli-ops config`: the target as this tool sees it, and where each value came from."""

from __future__ import annotations

import shlex
from dataclasses import fields
from typing import Annotated, Any

import typer

from intelli_checks.report import plain
from intelli_checks.target import Target
from intelli_ops.commands.grouped import Group
from intelli_ops.commands.options import targeted
from intelli_ops.flow_options import RUNNING, with_running
from intelli_ops.progress import Waiting
from intelli_ops.say import say, say_json

app = typer.Typer(cls=Group, rich_markup_mode=None, add_completion=False, no_args_is_help=True)


@app.callback()
def config() -> None:
    """Show what the tool believes about your project."""


@app.command()
@targeted
def show(
    target: Target,
    *,
    origin: Annotated[bool, typer.Option("--origin", help="Say where each value came from.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON document.")] = False,
) -> None:
    """Show every value in force and, with --origin, who gave it.

    Flags win over environment, that over configuration, that over what the project declares or detection finds.
    """
    target = with_running(target)
    known, origins = values(target), dict(target.origins)
    for name, url in _declared(target).items():
        if name not in known:
            known[name], origins[name] = url, RUNNING if origins.get("web") == RUNNING else "declared by the project"
    if as_json:
        document = {"values": known, "origins": plain(origins)} if origin else known
        say_json(document)
        return
    wide = max(len(name) for name in known)
    for name, value in known.items():
        where = f"  ({origins.get(name, 'default')})" if origin else ""
        say(f"{name:<{wide}}  {_shown(name, value)}{where}")


def _declared(target: Target) -> dict[str, str]:
    """The URLs the project ends up with; nothing where it cannot be asked, which `check` says better."""
    if not target.places:
        return {}
    from intelli_checks.model import Skip, Unavailable
    from intelli_checks.probes import survey

    try:
        with Waiting("the project"):
            seen = next(iter(survey.gather(target, target.timeout).values()))
    except (Skip, Unavailable):
        return {}
    layers = ", ".join(str(host) for layer in seen.layers for host in layer.hosts)
    told = {"broker": seen.broker, "results": seen.results, "layer": layers}
    return {name: str(value) for name, value in told.items() if value}


def _shown(name: str, value: Any) -> str:
    """One line; of a table only its keys, `--json` has the rest."""
    if name == "places":
        return "; ".join(f"{place['name']}: {shlex.join(place['argv'])}" for place in value)
    return ", ".join(value) if isinstance(value, dict) else str(value)


def values(target: Target) -> dict[str, Any]:
    """Every part of the target that says something, as plain values."""
    parts = {part.name: plain(getattr(target, part.name)) for part in fields(target) if part.name != "origins"}
    return {name: value for name, value in parts.items() if value not in (None, {}, [])}
