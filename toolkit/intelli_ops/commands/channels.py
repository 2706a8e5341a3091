"""`intelli-ops channels`: what is in the channel layer right now; reads only."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Annotated

import typer

from intelli_checks.probes.channels_state import LayerState
from intelli_checks.target import Target
from intelli_ops import exits
from intelli_ops.asking import asking
from intelli_ops.commands.options import targeted

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(epilog="Examples: intelli-ops channels | intelli-ops channels --layer redis://localhost:6379/1 --watch 1")
@targeted
def channels(
    target: Target,
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, metavar="N", help="Lines of each kind.")] = 20,
    watch: Annotated[
        float,
        typer.Option(min=0, max=86400, metavar="SECONDS", show_default=False, help="Again and again, with this pause."),
    ] = 0.0,
) -> int:
    """Show groups, members and backlog of the channel layer.

    The groups with the most members come first, and the fullest queues of web processes. Reads only.
    """
    while True:
        with asking(target, "the channel layer") as ctx:
            states = ctx.layer_states
        sys.stdout.write("".join(f"{line}\n" for state in states for line in lines(state, limit)))
        sys.stdout.flush()
        if not watch:
            return exits.HEALTHY
        time.sleep(watch)


def lines(state: LayerState, limit: int) -> Iterator[str]:
    """One layer as text."""
    members = sum(group.members for group in state.groups)
    readers = "?" if state.readers is None else state.readers
    yield f"{state.address}/{state.database}: {state.group_count} groups, {members} members, {readers} readers"
    for group in sorted(state.groups, key=lambda one: -one.members)[:limit]:
        age = f"{group.seconds:.0f} s" if group.seconds is not None else "?"
        processes = len(group.processes)
        yield f"  group  {group.prefix}:{group.name}  {group.members} members in {processes} processes, oldest {age}"
    for one in sorted(state.backlogs, key=lambda one: -one.waiting)[:limit]:
        yield f"  queue  {one.key}  {one.waiting} waiting, oldest {one.seconds or 0:.0f} s"
    if not state.complete:
        yield "  (the database has more keys than were looked at)"
