"""Options of the commands that run something on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Project = Annotated[
    Path,
    typer.Option(
        "--project",
        envvar="INTELLI_OPS_PROJECT",
        show_envvar=False,
        show_default=False,
        metavar="DIR",
        help="The checkout [here, or the nearest above].",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Keep the logs out of the terminal; files have them.")]
Timeout = Annotated[
    float,
    typer.Option(
        "--timeout",
        "-t",
        envvar="INTELLI_OPS_TIMEOUT",
        show_envvar=False,
        min=0.1,
        max=86400,
        metavar="SECONDS",
        help="How long to wait.",
    ),
]
