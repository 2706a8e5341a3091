"""`intelli-ops stop-workers`."""

from __future__ import annotations

from typing import Annotated

import typer

from intelli_checks.target import Target
from intelli_ops import exits
from intelli_ops.commands.options import targeted
from intelli_ops.say import say
from intelli_ops.supervisor import leftovers
from intelli_ops.supervisor.state import Busy, State, find
from intelli_ops.workers import running
from intelli_ops.workers.running import LOCK, RECORD, request

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
@targeted
def stop_workers(
    target: Target,
    *,
    wait: Annotated[
        float, typer.Option("--wait", metavar="SECONDS", min=0, help="How long to wait for running tasks.")
    ] = 150.0,
    now: Annotated[bool, typer.Option("--now", help="Do not wait for running tasks.")] = False,
) -> int:
    """Stop the workers of this project; running tasks may finish first, and are shown.

    Exits 0 when nothing runs any more, 3 when something still does after --wait seconds.
    """
    state = running.state_of(target.directory)
    record = running.read(state)
    supervisor = find(record.get("supervisor", {}))
    if supervisor is None:
        return _sweep(state)
    request(state, do="stop")
    if now:
        request(state, do="stop")
    if not _gone(state, wait):
        say(f"still stopping after {wait:g} s; without waiting: intelli-ops stop-workers --now")
        return exits.COULD_NOT_TELL
    say("stopped")
    return exits.HEALTHY


def _gone(state: State, timeout: float) -> bool:
    """Wait for the end, saying what still runs whenever that changes."""
    told: set[str] = set()

    def tell(record: running.Record) -> bool:
        for unit in running.units(record):
            line = f"{unit.get('phase'):<9} {unit.get('name'):<16} {unit.get('detail')}"
            if unit.get("phase") == "stopping" and line not in told:
                told.add(line)
                say(line)
        return False

    running.await_(state, tell, timeout)
    return not running.read(state)


def _sweep(state: State) -> int:
    """No supervisor: end what a killed one may have left, if it left anything."""
    try:
        with state.lock(LOCK):
            swept = leftovers.sweep(state.read(RECORD), say)
            state.remove(RECORD)
    except Busy:
        say("they are just starting: try again in a second")
        return exits.COULD_NOT_TELL
    if not swept:
        say("no workers of this project run here")
    return exits.HEALTHY
