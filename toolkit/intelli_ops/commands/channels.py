"""`intelli-ops channels`: what is in the channel layer right now; reads only."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Annotated

import typer

from intelli_checks.probes.channels_state import LayerState, limit_of
from intelli_checks.probes.survey import LayerDecl
from intelli_checks.probes.websocket_server import declared
from intelli_checks.target import Target
from intelli_ops import exits
from intelli_ops.asking import asking
from intelli_ops.commands.options import targeted
from intelli_ops.say import say

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

    The groups with the most members come first, and the fullest queues of web processes, with what each can hold:
    to a full one nothing more is delivered, and nobody is told. Reads only.
    """
    while True:
        with asking(target, "the channel layer") as ctx:
            states = ctx.layer_states
            survey = declared(ctx)
        layers = survey.layers if survey else ()
        say("\n".join(line for state in states for line in lines(state, limit, layers)))
        if not watch:
            return exits.HEALTHY
        time.sleep(watch)


def lines(state: LayerState, limit: int, layers: Iterable[LayerDecl] = ()) -> Iterator[str]:
    """One Redis of the layers as text."""
    members = sum(group.members for group in state.groups)
    readers = "?" if state.readers is None else state.readers
    yield f"{state.address}/{state.database}: {state.group_count} groups, {members} members, {readers} readers"
    for group in sorted(state.groups, key=lambda one: -one.members)[:limit]:
        age = f"{group.seconds:.0f} s" if group.seconds is not None else "?"
        processes = len(group.processes)
        yield f"  group  {group.prefix}:{group.name}  {group.members} members in {processes} processes, oldest {age}"
    for one in sorted(state.backlogs, key=lambda one: -one.waiting)[:limit]:
        room = limit_of(layers, one)
        drops = "" if one.waiting < room else f", {'send() raises ChannelFull' if one.named else 'events are DROPPED'}"
        kind = "channel" if one.named else "queue"
        yield f"  {kind}  {one.key}  {one.waiting} of {room} waiting, oldest {one.seconds or 0:.0f} s{drops}"
    if state.stalled:
        yield f"  {len(state.stalled)} readers took a message and did not come back, for {max(state.stalled)} s"
    if not state.complete:
        yield "  (the database has more keys than were looked at)"
