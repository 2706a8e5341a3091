"""`intelli-ops demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from intelli_ops import bring_up, exits
from intelli_ops.commands.local import Project
from intelli_ops.say import say

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def demo(
    project: Project = Path(),
    *,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the logs of every part.")] = False,
) -> int:
    """Run the whole system on real photographs, look at every promise.

    Exits 0 only if every part came up, every task of the job succeeded with its artifacts, the WebSocket told every
    event once and in order, the checks found nothing wrong, and everything stopped as asked.
    """
    from intelli_ops.demo.scenario import Demo, environment_problem

    if problem := environment_problem():
        say(problem)
        return exits.FAILED
    demonstration = Demo()
    code = bring_up.run(project.resolve(), "demo", demonstration.start, quiet=not verbose)
    for failure in demonstration.failures:
        say(f"WRONG    {failure}")
    if code == exits.HEALTHY and demonstration.code == exits.HEALTHY:
        say("Everything was right.")
    return code or demonstration.code
