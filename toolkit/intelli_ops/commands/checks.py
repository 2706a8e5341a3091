"""`intelli-ops checks`: what can be asked."""

from __future__ import annotations

from typing import Annotated

import typer

from intelli_checks.registry import registry
from intelli_ops.commands.selection import complete_checks, known_names
from intelli_ops.say import say, say_json
from intelli_ops.usage import no_such

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def checks(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FAMILY|ID]...", help="Only these [all].", autocompletion=complete_checks),
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON document.")] = False,
) -> None:
    """List every check, with its stage and title."""
    registry.load()
    for name in names or ():
        if name not in known_names():
            raise no_such("check or family", name, known_names())
    found = [check for check in registry if not names or check.id in names or check.family in names]
    if as_json:
        say_json(
            [
                {"id": c.id, "title": c.title, "stage": c.stage.name.lower(), "needs": c.needs, "timeout": c.timeout}
                for c in found
            ]
        )
        return
    wide = max((len(check.id) for check in found), default=0)
    for check in found:
        say(f"{check.id:<{wide}}  {check.stage.name.lower():<6}  {check.title}")
