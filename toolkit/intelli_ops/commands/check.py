"""`intelli-ops check`: run the checks, render the report, exit with the verdict."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from intelli_checks.configuration import LONGEST
from intelli_checks.model import Severity, Stage
from intelli_checks.target import Target
from intelli_ops.commands.options import targeted
from intelli_ops.commands.selection import (
    complete_checks,
    contexts,
    mutes_for,
    recorded,
    selected,
    something_to_look_at,
)
from intelli_ops.render import Format
from intelli_ops.usage import must_be_writable
from intelli_ops.watchdog import Watchdog, started

app = typer.Typer(rich_markup_mode=None, add_completion=False)


class StageName(StrEnum):
    """What `--stage` takes."""

    STATIC = "static"
    LIVE = "live"
    READY = "ready"
    DEEP = "deep"


class FailLevel(StrEnum):
    """What `--fail-level` takes."""

    WARNING = "warning"
    ERROR = "error"


@app.command(
    epilog="Examples: intelli-ops check | intelli-ops check redis celery.queues --broker redis://localhost | "
    "intelli-ops check --stage static --format github | intelli-ops check --wait 60"
)
@targeted
def check(
    target: Target,
    *,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FAMILY|ID]...",
            help="Families (redis celery channels websocket django flow host) or check ids [all].",
            autocompletion=complete_checks,
        ),
    ] = None,
    stage: Annotated[
        StageName,
        typer.Option(
            envvar="INTELLI_OPS_STAGE",
            show_envvar=False,
            help="How far to go: static touches no network, deep runs a real job.",
        ),
    ] = StageName.READY,
    fmt: Annotated[
        Format, typer.Option("--format", envvar="INTELLI_OPS_FORMAT", show_envvar=False, help="How to report.")
    ] = Format.TEXT,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            envvar="INTELLI_OPS_OUTPUT",
            show_envvar=False,
            metavar="FILE",
            help="Write the report to this file.",
        ),
    ] = None,
    fail_level: Annotated[
        FailLevel,
        typer.Option(
            "--fail-level", envvar="INTELLI_OPS_FAIL_LEVEL", show_envvar=False, help="What makes the exit code 1."
        ),
    ] = FailLevel.ERROR,
    wait: Annotated[
        float,
        typer.Option(
            envvar="INTELLI_OPS_WAIT",
            show_envvar=False,
            metavar="SECONDS",
            min=0,
            max=LONGEST,
            show_default=False,
            help="Repeat until healthy, at most so long.",
        ),
    ] = 0.0,
    watch: Annotated[
        float,
        typer.Option(
            envvar="INTELLI_OPS_WATCH",
            show_envvar=False,
            metavar="SECONDS",
            min=0,
            max=LONGEST,
            show_default=False,
            help="Repeat for ever, with this pause.",
        ),
    ] = 0.0,
    mute: Annotated[
        list[str] | None,
        typer.Option(
            envvar="INTELLI_OPS_MUTE",
            show_envvar=False,
            metavar="ID[=REASON][@EXPIRY]",
            help="Do not count this problem, until 2027-01-31 or for 30m, 12h, 7d; void when it gets worse.",
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(
            "--save",
            envvar="INTELLI_OPS_SAVE",
            show_envvar=False,
            metavar="FILE",
            help="Record the facts in this file.",
        ),
    ] = None,
    recording: Annotated[
        Path | None,
        typer.Option(
            "--from",
            envvar="INTELLI_OPS_FROM",
            show_envvar=False,
            metavar="FILE",
            help="Judge facts recorded by --save; touches no network.",
        ),
    ] = None,
    repeat: Annotated[
        int,
        typer.Option(
            envvar="INTELLI_OPS_REPEAT", show_envvar=False, min=1, metavar="N", help="Run the job of `flow` so often."
        ),
    ] = 1,
    plot: Annotated[
        Path | None,
        typer.Option(
            envvar="INTELLI_OPS_PLOT", show_envvar=False, metavar="FILE", help="Draw the hops of `flow` into this file."
        ),
    ] = None,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose", "-v", envvar="INTELLI_OPS_VERBOSE", show_envvar=False, help="Show passed checks and all facts."
        ),
    ] = False,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet", "-q", envvar="INTELLI_OPS_QUIET", show_envvar=False, help="Only the verdict, on one line."
        ),
    ] = False,
    color: Annotated[
        bool | None,
        typer.Option(
            "--color/--no-color", envvar="INTELLI_OPS_COLOR", show_envvar=False, help="Colours [if a terminal]."
        ),
    ] = None,
) -> int:
    """Name the root cause, with the evidence and the fix.

    Runs every check that applies to this project at the same time, within one deadline, and reports in an order in
    which causes come before consequences: start with the first failing line.
    """
    from intelli_ops.flow_options import Remembering, repeated, with_running
    from intelli_ops.session import Session, Wishes

    must_be_writable(output, save, plot)
    if not (names or recording):
        something_to_look_at(target)
    began = started(target.timeout)
    target = repeated(with_running(target), repeat)
    verbose = verbose or any(name.partition(".")[0] == "flow" for name in names or ())  # its facts are the answer
    make = recorded(recording) if recording else contexts(target, names or (), began + target.timeout, whole=bool(save))
    with Watchdog(began + target.timeout):  # a plugin may hang while it is imported
        checks = selected(target, names or (), Stage[stage.name])
    wishes = Wishes(fmt, output, Severity[fail_level.name], verbose, quiet, color, save)
    remembering = Remembering(make)
    muted = mutes_for(target, mute or ())
    session = Session(target, checks, wishes, muted, remembering, recorded=recording is not None)
    code = session.watch(watch) if watch else session.once(began, wait)
    if plot:
        remembering.plot(plot)
    return code
