"""`intelli-ops start-workers`."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from intelli_checks.fleet import FleetError
from intelli_checks.model import Skip, Unavailable
from intelli_checks.target import Target
from intelli_ops import exits
from intelli_ops.commands.options import targeted
from intelli_ops.progress import Waiting
from intelli_ops.say import say
from intelli_ops.supervisor import leftovers
from intelli_ops.supervisor.logs import Terminal
from intelli_ops.supervisor.platforms import Platform
from intelli_ops.supervisor.state import Busy, State, StateError
from intelli_ops.supervisor.supervisor import Supervisor
from intelli_ops.workers import plan as plans
from intelli_ops.workers import running
from intelli_ops.workers.keep import LOCK, RECORD, Keeper
from intelli_ops.workers.plan import CannotPlan, Plan, Wishes

app = typer.Typer(rich_markup_mode=None, add_completion=False)

_UP_SECONDS = 60.0


@app.command(
    epilog="Examples: intelli-ops start-workers | intelli-ops start-workers --queue ai --concurrency 4 | "
    "intelli-ops start-workers --single --autoreload | intelli-ops start-workers --dry-run"
)
@targeted
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
    loglevel: Annotated[str, typer.Option("--loglevel", "-l", metavar="LEVEL", help="Of the workers.")] = "info",
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
    wishes = Wishes(single, tuple(queue or ()), pool, concurrency, loglevel, beat, mingle, stop_timeout)
    try:
        state = running.state_of(target.directory)
        if dry_run:
            return _print(_plan(target, wishes), state)
        if running.read(state):  # before a second is spent on asking the project; the lock decides
            return _already(state)
        if detach:
            return _detach(state, Platform())
        plan = _plan(target, wishes)
        return _run(plan, state, quiet=quiet, autoreload=autoreload)
    except (CannotPlan, FleetError, StateError, Skip, Unavailable) as error:
        sys.stderr.write(f"cannot start workers: {error}\n")
        return exits.USAGE


def _plan(target: Target, wishes: Wishes) -> Plan:
    with Waiting("the project"):
        return plans.make(target, wishes)


def _print(plan: Plan, state: State) -> int:
    for line in plans.lines(plan, state.root / "beat-schedule"):
        say(line)
    return exits.HEALTHY


def _run(plan: Plan, state: State, *, quiet: bool, autoreload: bool) -> int:
    try:
        with state.lock(LOCK):
            leftovers.sweep(state.read(RECORD), say)
            say(f"pool      {plan.pool.name} ({plan.pool.reason})")
            terminal = Terminal.silent() if quiet else Terminal()
            supervisor = Supervisor((), state.folder("logs"), terminal=terminal)
            keeper = Keeper(plan, state, say)
            keeper.start(supervisor)
            if autoreload:
                _watch(plan.directory, keeper)
            try:
                return supervisor.run()
            finally:
                state.remove(RECORD)
    except Busy:
        return _already(state)


def _already(state: State) -> int:
    holder = running.read(state).get("supervisor", {}).get("pid", "still starting")
    say(f"the workers of this project run already (pid {holder}): nothing was started")
    say(
        "see: intelli-ops workers status; replace them: intelli-ops restart-workers; end them: intelli-ops stop-workers"
    )
    return exits.COULD_NOT_TELL


def _watch(folder: Path, keeper: Keeper) -> None:
    """Replace the workers whenever Python code below `folder` changes."""
    try:
        from watchfiles import PythonFilter, watch
    except ImportError:
        raise CannotPlan("--autoreload needs watchfiles: pip install 'intelli-ops[reload]'") from None

    def run() -> None:
        for changes in watch(folder, watch_filter=PythonFilter()):
            say(f"reload    {', '.join(sorted(Path(path).name for _, path in changes))} changed")
            keeper.supervisor.post(keeper.restart)

    threading.Thread(target=run, name="autoreload", daemon=True).start()


def _detach(state: State, platform: Platform) -> int:
    """Start the same command in the background; come back when its workers are ready, or say why they are not."""
    from intelli_ops.workers.detached import launch

    argv = [arg for arg in sys.argv[1:] if arg not in {"--detach", "-d"}]
    log = state.folder("logs") / "supervisor.log"
    process = launch([*argv, "--quiet"], log, platform)
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
