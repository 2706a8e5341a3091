"""`intelli-ops bundle`: everything somebody else needs to look at this system, in one file and without its secrets."""

from __future__ import annotations

import io
import json
import platform
import time
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from intelli_checks.context import Context
from intelli_checks.model import Skip, Stage, Unavailable
from intelli_checks.recording import dump
from intelli_checks.report import plain
from intelli_checks.target import Target
from intelli_checks.text import scrub
from intelli_ops import exits
from intelli_ops.commands.config import values
from intelli_ops.commands.options import targeted
from intelli_ops.commands.selection import mutes_for, selected, something_to_look_at
from intelli_ops.files import replace_file
from intelli_ops.flow_options import Remembering, with_running
from intelli_ops.render import Format, View, render, viewed
from intelli_ops.say import say
from intelli_ops.session import Session, Wishes
from intelli_ops.usage import UsageError, must_be_writable
from intelli_ops.version import VERSION
from intelli_ops.watchdog import Watchdog

app = typer.Typer(rich_markup_mode=None, add_completion=False)

_README = """Made by `intelli-ops bundle`; passwords, keys and task arguments are not in it.

report.txt      the verdict, root cause first
report.json     the same for programs (docs/report.schema.json)
facts.json      what was gathered; judge it again without a network: intelli-ops check --from facts.json
target.json     what was looked at, and where each value came from
versions.json   this tool, and the project's packages at each place
"""


@app.command(
    epilog="Example: intelli-ops bundle --output ticket-12.zip, then read it: unzip -p ticket-12.zip report.txt"
)
@targeted
def bundle(
    target: Target,
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to [intelli-ops-DATE-TIME.zip here].")
    ] = None,
) -> int:
    """Pack report, facts and versions for somebody else, redacted.

    Runs `check` and writes a zip that only you can read. Exits 0 when it is written, whatever the verdict in it.
    """
    something_to_look_at(target)
    path = output or Path(f"intelli-ops-{datetime.now().astimezone():%Y%m%d-%H%M%S}.zip")
    must_be_writable(path)
    target = with_running(target)
    remembering = Remembering(lambda target, deadline: Context(target, deadline=deadline))
    began = time.monotonic()
    with Watchdog(began + target.timeout):
        checks = selected(target, (), Stage.READY)
    session = Session(target, checks, Wishes(), mutes_for(target, ()), remembering)
    report, interrupted = session.look(began + target.timeout)
    view = viewed(report, Format.TEXT)
    try:
        replace_file(path, packed(files(remembering.made[-1], view)), private=True)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    say(f"{path}: {', '.join(files(remembering.made[-1], view))}")
    return exits.INTERRUPTED if interrupted else exits.HEALTHY


def files(ctx: Context, view: View) -> dict[str, str]:
    """Name -> text of everything in the bundle, secrets masked."""
    texts = {
        "README.txt": _README,
        "report.txt": render(replace(view, verbose=True), Format.TEXT),
        "report.json": render(view, Format.JSON),
        "facts.json": dump(ctx),
        "target.json": _json({"values": values(ctx.target), "origins": plain(ctx.target.origins)}),
        "versions.json": _json(_versions(ctx)),
    }
    return {name: scrub(text) for name, text in texts.items()}


def packed(texts: Mapping[str, str]) -> bytes:
    """The files as a zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in texts.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def _versions(ctx: Context) -> dict[str, object]:
    tool = {"intelli-ops": VERSION, "python": platform.python_version(), "platform": platform.platform(terse=True)}
    try:
        places = {name: {"python": one.python, **one.versions} for name, one in ctx.surveys.items()}
    except (Skip, Unavailable) as reason:
        return {"tool": tool, "project": str(reason)}
    return {"tool": tool, "project": places}


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
