"""`intelli-ops config`: the target as this tool sees it, and where each value came from."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Annotated, Any

import typer

from intelli_checks.report import plain
from intelli_checks.target import Target
from intelli_ops.commands.options import targeted
from intelli_ops.say import say, say_json

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)


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
    """Show every value in force: flags win over environment, that over configuration, that over detection."""
    known = values(target)
    if as_json:
        document = {"values": known, "origins": plain(target.origins)} if origin else known
        say_json(document)
        return
    wide = max(len(name) for name in known)
    for name, value in known.items():
        shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        where = f"  ({target.origins.get(name, 'default')})" if origin else ""
        say(f"{name:<{wide}}  {shown}{where}")


def values(target: Target) -> dict[str, Any]:
    """Every part of the target that says something, as plain values."""
    parts = {part.name: plain(getattr(target, part.name)) for part in fields(target) if part.name != "origins"}
    return {name: value for name, value in parts.items() if value not in (None, {}, [])}
