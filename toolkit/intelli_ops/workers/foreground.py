"""Supervise a project's workers from this process, or print what would be supervised."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from intelli_checks.fleet import FleetError
from intelli_checks.model import Skip, Unavailable
from intelli_checks.target import Target
from intelli_ops import exits
from intelli_ops.progress import Waiting
from intelli_ops.say import complain, say
from intelli_ops.supervisor import leftovers
from intelli_ops.supervisor.logs import Terminal
from intelli_ops.supervisor.state import Busy, State, StateError
from intelli_ops.supervisor.supervisor import Supervisor
from intelli_ops.usage import install
from intelli_ops.workers import plan as plans
from intelli_ops.workers.keep import Keeper
from intelli_ops.workers.plan import CannotPlan, Plan, Wishes
from intelli_ops.workers.running import LOCK, RECORD, already

__all__ = ["Wishes", "keep", "show"]


def show(target: Target, wishes: Wishes, state: State) -> int:
    """Print the command lines, and beside them why this pool."""

    def lines() -> int:
        plan = _plan(target, wishes)
        complain(f"pool: {plan.pool.name} ({plan.pool.reason})")
        for line in plans.lines(plan, state.root / "beat-schedule"):
            say(line)
        return exits.HEALTHY

    return _guarded(lines)


def keep(target: Target, wishes: Wishes, state: State, *, quiet: bool, autoreload: bool) -> int:
    """Run the workers until they are told to stop; the exit code of the worst."""
    return _guarded(lambda: _run(_plan(target, wishes), state, quiet=quiet, autoreload=autoreload))


def _plan(target: Target, wishes: Wishes) -> Plan:
    with Waiting("the project"):
        return plans.make(target, wishes)


def _guarded(work: Callable[[], int]) -> int:
    try:
        return work()
    except (CannotPlan, FleetError, StateError, Skip, Unavailable) as error:
        complain(f"cannot start workers: {error}")
        return exits.USAGE


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
        return already(state)


def _watch(folder: Path, keeper: Keeper) -> None:
    """Replace the workers whenever Python code below `folder` changes."""
    try:
        from watchfiles import PythonFilter, watch
    except ImportError:
        raise CannotPlan(f"--autoreload needs watchfiles: {install('watchfiles')}") from None

    def run() -> None:
        for changes in watch(folder, watch_filter=PythonFilter()):
            say(f"reload    {', '.join(sorted(Path(path).name for _, path in changes))} changed")
            keeper.supervisor.post(keeper.restart)

    threading.Thread(target=run, name="autoreload", daemon=True).start()
