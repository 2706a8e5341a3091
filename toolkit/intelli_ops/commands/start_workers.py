"""`intelli-ops start-workers`."""

from __future__ import annotations

import sys
import threading
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from intelli_checks.target import Target
from intelli_ops import exits
from intelli_ops.commands.options import SURVEY, showing
from intelli_ops.say import say
from intelli_ops.supervisor.state import State
from intelli_ops.workers import running

app = typer.Typer(rich_markup_mode=None, add_completion=False)

_UP_SECONDS = 60.0


class Level(StrEnum):
    """What Celery takes as `-l`; another would end every worker as soon as it starts, again and again."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"
    FATAL = "fatal"


@app.command(
    epilog="Examples: intelli-ops start-workers | intelli-ops start-workers --queue ai --concurrency 4 | "
    "intelli-ops start-workers --single --autoreload | intelli-ops start-workers --dry-run"
)
@showing(*SURVEY, "broker")
def start_workers(
    target: Target,
    *,
    queue: Annotated[list[str] | None, typer.Option("--queue", "-Q", metavar="NAME", help="Only these queues.")] = None,
    single: Annotated[bool, typer.Option("--single", help="One worker for all queues.")] = False,
    pool: Annotated[
        str | None, typer.Option("--pool", "-P", metavar="POOL", help="prefork, solo, threads, gevent, eventlet.")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", "-c", min=1, metavar="N", help="Slots per worker.")
    ] = None,
    loglevel: Annotated[
        Level,
        typer.Option(
            "--loglevel", "-l", metavar="LEVEL", case_sensitive=False, help="debug, info, warning, error or critical."
        ),
    ] = Level.INFO,
    beat: Annotated[bool, typer.Option("--beat", help="The scheduler too; one per system.")] = False,
    mingle: Annotated[bool, typer.Option("--mingle", help="Learn revoked tasks from others; takes a second.")] = False,
    autoreload: Annotated[bool, typer.Option("--autoreload", help="New workers when code changes.")] = False,
    stop_timeout: Annotated[
        float | None,
        typer.Option("--stop-timeout", metavar="SECONDS", min=0, help="How long tasks may take to finish."),
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Come back once they are ready.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Keep the workers' logs out of the terminal.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Print the command lines, start nothing.")] = False,
) -> int:
    """Start one worker per queue profile, and keep them running.

    The profiles come from [workers.*] of the configuration, else from the queues the project declares. A worker that
    dies is started again, later each time, and given up after five fast deaths. Ctrl-C lets running tasks finish, a
    second one does not. Without a terminal SIGHUP replaces every worker, one by one. Exits with the code of the worst
    worker, 3 when the workers of this project run already.
    """
    state = running.state_of(target.directory)
    if not dry_run and running.read(state):  # before a second is spent on asking the project; the lock decides
        return running.already(state)
    if detach and not dry_run:
        return _detach(state)
    from intelli_ops.workers import foreground

    wishes = foreground.Wishes(
        single, tuple(queue or ()), pool, concurrency, loglevel.value, beat, mingle, stop_timeout
    )
    if dry_run:
        return foreground.show(target, wishes, state)
    return foreground.keep(target, wishes, state, quiet=quiet, autoreload=autoreload)


def _detach(state: State) -> int:
    """Start the same command in the background; come back when its workers are ready, or say why they are not."""
    from intelli_ops.supervisor.platforms import Platform
    from intelli_ops.workers.detached import launch

    argv = [arg for arg in sys.argv[1:] if arg not in {"--detach", "-d"}]
    log = state.folder("logs") / "supervisor.log"
    process = launch([*argv, "--quiet"], log, Platform())
    ready = threading.Event()
    for _ in range(int(_UP_SECONDS / 0.1)):
        record = running.read(state)
        if record.get("ready") or process.poll() is not None:
            break
        ready.wait(0.1)
    return _report(state, log, process.poll())


def _report(state: State, log: Path, code: int | None) -> int:
    record = running.read(state)
    for unit in running.units(record):
        say(f"{unit.get('phase'):<9} {unit.get('name'):<16} {unit.get('detail')}")
    if code is not None:
        say(
            f"it ended with code {code}; the end of {log}:\n"
            + "\n".join(log.read_text("utf-8", "replace").splitlines()[-20:])
        )
        return code or exits.FAILED
    if not record.get("ready"):
        say(f"not ready after {_UP_SECONDS:g} s; it goes on trying: intelli-ops workers status")
        return exits.COULD_NOT_TELL
    return exits.HEALTHY
