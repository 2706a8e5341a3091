"""`intelli-ops stop-workers`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from intelli_checks.target import Target
from intelli_ops import exits
from intelli_ops.commands.options import PROJECT, showing
from intelli_ops.say import say
from intelli_ops.supervisor import leftovers
from intelli_ops.supervisor.state import Busy, State, find, wait_gone
from intelli_ops.workers import running
from intelli_ops.workers.running import LOCK, RECORD, request

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
@showing(*PROJECT)
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
    if not _gone(state, record["supervisor"], wait):
        say(f"still stopping after {wait:g} s; without waiting: intelli-ops stop-workers --now")
        return exits.COULD_NOT_TELL
    say("stopped")
    return exits.HEALTHY


def _gone(state: State, supervisor: Mapping[str, Any], timeout: float) -> bool:
    """Wait for the end, of the supervisor too, saying what still runs whenever that changes.

    Its record goes before it does, and its lock after: who starts the workers anew in between would be refused.
    """
    deadline = time.monotonic() + timeout
    tell = running.telling({}, lambda _: False, lambda phase: phase == "stopping")
    running.await_(state, tell, timeout)
    return wait_gone(supervisor, max(1.0, deadline - time.monotonic()))


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
