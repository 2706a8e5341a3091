"""`intelli-ops restart-workers`."""

from __future__ import annotations

from typing import Annotated

import typer

from intelli_checks.target import Target
from intelli_ops import exits
from intelli_ops.commands.options import PROJECT, showing
from intelli_ops.say import say
from intelli_ops.usage import no_such
from intelli_ops.workers import running
from intelli_ops.workers.running import request

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
@showing(*PROJECT)
def restart_workers(
    target: Target,
    *,
    profiles: Annotated[list[str] | None, typer.Argument(metavar="[PROFILE]...", help="Only these [all].")] = None,
    wait: Annotated[
        float, typer.Option("--wait", metavar="SECONDS", min=0, help="How long to wait for the last new worker.")
    ] = 300.0,
) -> int:
    """Replace the workers one by one; no queue is without a consumer meanwhile.

    Each old worker stops only once its successor consumes. Exits 1 when a successor did not come up (its predecessor
    stays), 3 when it was not over after --wait seconds.
    """
    state = running.state_of(target.directory)
    record = running.read(state)
    if not record:
        say("no workers of this project run here: intelli-ops start-workers")
        return exits.FAILED
    for profile in profiles or ():
        if profile not in record["profiles"]:
            raise no_such("profile", profile, record["profiles"])
    old = {unit.get("pid") for unit in running.units(record) if unit.get("profile") in (profiles or record["profiles"])}
    request(state, do="restart", **({"profiles": profiles} if profiles else {}))
    done = running.telling(record, lambda now: bool(now.get("ready")) and not old & _pids(now))
    if running.await_(state, done, wait):
        say("every worker is a new one")
        return exits.HEALTHY
    failed = bool(old & _pids(running.read(state)))
    say("not every worker could be replaced: intelli-ops workers logs")
    return exits.FAILED if failed else exits.COULD_NOT_TELL


def _pids(record: running.Record) -> set[object]:
    return {unit.get("pid") for unit in running.units(record)}
