"""Options of the commands that run something on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Project = Annotated[Path, typer.Option("--project", envvar="INTELLI_OPS_PROJECT", help="The project's folder.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Keep the logs out of the terminal; files have them.")]
