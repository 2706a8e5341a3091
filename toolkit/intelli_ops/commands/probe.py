"""`intelli-ops probe` as the command table knows it; `__main__` answers it before Typer is imported."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
def probe(
    arguments: Annotated[list[str] | None, typer.Argument(metavar="live|ready|startup [OPTIONS]")] = None,
) -> int:
    """Answer one probe of Kubernetes, compose or a load balancer."""
    from intelli_ops import probe as fast

    return fast.answer(arguments or [])
