"""`intelli-ops explain ID`: what a check asks, why it matters, how to fix it. Needs no network and no project."""

from __future__ import annotations

from typing import Annotated

import typer

from intelli_checks.model import Check
from intelli_checks.registry import registry
from intelli_ops.commands.selection import complete_checks, known_names
from intelli_ops.say import say
from intelli_ops.usage import no_such

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def explain(
    names: Annotated[
        list[str], typer.Argument(metavar="ID|FAMILY...", help="Checks or families.", autocompletion=complete_checks)
    ],
) -> None:
    """Explain a check: cause, how it shows, how to fix it."""
    registry.load()
    pages = []
    for name in names:
        found = [check for check in registry if name in {check.id, check.family}]
        if not found:
            raise no_such("check or family", name, known_names())
        pages += [page(check) for check in found]
    say("\n\n".join(pages))


def page(check: Check) -> str:
    """The check's manual page as plain text."""
    needs = f"\nneeds   {', '.join(check.needs)}" if check.needs else ""
    facts = f"stage   {check.stage.name.lower()}\nlimit   {check.timeout:g} s{needs}"
    return "\n\n".join(part for part in (f"{check.id}: {check.title}", facts, check.explanation) if part)
