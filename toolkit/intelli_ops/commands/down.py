"""`intelli-ops down`."""

from __future__ import annotations

from pathlib import Path

import typer

from intelli_ops import bring_up, exits
from intelli_ops.commands.local import Project, Timeout
from intelli_ops.say import say
from intelli_ops.supervisor import leftovers
from intelli_ops.supervisor.state import Busy, State, find, wait_gone

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def down(
    project: Project = Path(),
    timeout: Timeout = 150.0,
) -> int:
    """Stop the system that `up` started here, or what is left of it.

    Finds it by process id and creation time, so that a reused id harms nobody. Exits 3 when it still runs after the
    timeout: a task may take as long as its time limit.
    """
    home = bring_up.state_home(project.resolve())
    codes = [_stop(State(home, name), timeout) for name in ("up", "demo")]
    if not any(code is not None for code in codes):
        say("nothing runs here")
    return max((code for code in codes if code is not None), default=exits.HEALTHY)


def _stop(state: State, timeout: float) -> int | None:
    """Stop one system; None when there was nothing to stop."""
    record = state.read(bring_up.RECORD)
    who = record.get("supervisor", {})
    supervisor = find(who)
    if supervisor is None:
        return _sweep(state)
    say(f"stopping pid {supervisor.pid}")
    supervisor.terminate()
    if not wait_gone(who, timeout):
        say(f"still stopping after {timeout:g} s; again, with less patience: intelli-ops down")
        return exits.COULD_NOT_TELL
    say("stopped")
    return exits.HEALTHY


def _sweep(state: State) -> int | None:
    try:
        with state.lock(bring_up.LOCK):
            swept = leftovers.sweep(state.read(bring_up.RECORD), say)
            state.remove(bring_up.RECORD)
    except Busy:
        say("it is just starting: try again in a second")
        return exits.COULD_NOT_TELL
    return exits.HEALTHY if swept else None
