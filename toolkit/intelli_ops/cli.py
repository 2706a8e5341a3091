"""The command line: parse, delegate, exit."""

from __future__ import annotations

import typer

app = typer.Typer(
    no_args_is_help=True, add_completion=True, help="Operate and diagnose Django + Celery + Redis + Channels."
)


@app.callback()
def root() -> None:
    """Names the root cause, with the evidence and the command that fixes it."""
