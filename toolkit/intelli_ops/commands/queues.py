"""`intelli-ops queues`: what waits, who takes it, and where it is going; reads only."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from intelli_checks.context import Context
from intelli_checks.probes.queues import Queue, declared, home
from intelli_checks.target import Target
from intelli_ops import exits
from intelli_ops.asking import asking
from intelli_ops.columns import columns
from intelli_ops.commands.options import targeted
from intelli_ops.say import say, say_json
from intelli_ops.usage import no_such

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@dataclass(frozen=True, slots=True)
class Row:
    """One queue at this moment."""

    queue: str
    waiting: int
    unacked: int
    consumers: tuple[str, ...]
    oldest_seconds: float | None
    trend: str


@app.command(epilog="Examples: intelli-ops queues | intelli-ops queues ai --watch 2 | intelli-ops queues --broker URL")
@targeted
def queues(
    target: Target,
    *,
    names: Annotated[list[str] | None, typer.Argument(metavar="[QUEUE]...", help="Only these [all].")] = None,
    watch: Annotated[
        float,
        typer.Option(min=0, max=86400, metavar="SECONDS", show_default=False, help="Again and again, with this pause."),
    ] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> int:
    """Show every queue: what waits, who consumes, where it is going.

    Looks twice, about a second apart, and consumes nothing. `unacked` has been delivered to a worker and is not
    acknowledged yet; `oldest` is known where the sender writes a `sent_at` header, which Celery does not.
    """
    while True:
        with asking(target, "the broker and the workers") as ctx:
            _ = ctx.redis_broker  # says why it does not answer, and what to type
            rows, notes = table(ctx), list(remarks(ctx))
        rows = _only(rows, names or [])
        if as_json:
            say_json({"queues": [asdict(row) for row in rows], "notes": notes})
        else:
            say("\n".join([*_text(rows), *notes]))
        if not watch:
            return exits.HEALTHY
        time.sleep(watch)


def table(ctx: Context) -> list[Row]:
    """Every queue, those with work first."""
    first, later, fleet, project = ctx.depths, ctx.depths_later, ctx.fleet, ctx.project
    held = Counter(home(delivered, project) for delivered in later.unacked.oldest)
    rows = [
        Row(
            name,
            queue.depth,
            held[name],
            tuple(node.name for node in fleet.consumers(name)),
            _age(queue, later.taken),
            trend(first.queues.get(name, queue), queue, later.taken - first.taken),
        )
        for name, queue in later.queues.items()
    ]
    known = declared(project) | fleet.queues
    rows = [row for row in rows if row.waiting or row.unacked or row.queue in known]
    return sorted(rows, key=lambda row: (-row.waiting, row.queue))


def trend(before: Queue, after: Queue, seconds: float) -> str:
    """Where a queue is going, from two looks at it."""
    if after.wrong_type:
        return "not a list"
    change = after.depth - before.depth
    if not after.depth:
        return "empty" if not change else "drained"
    if change and seconds > 0:
        rate = abs(change) / seconds
        return f"growing {rate:.0f}/s" if change > 0 else f"draining {rate:.0f}/s, {after.depth / rate:.0f} s left"
    stood = before.oldest and after.oldest and before.oldest.tag == after.oldest.tag
    return "standing" if stood else "steady"


def remarks(ctx: Context) -> Iterator[str]:
    """What the table cannot say: who is silent, and what was not looked at."""
    fleet, unacked = ctx.fleet, ctx.depths_later.unacked
    if fleet.silent:
        yield f"{fleet.silent} of {fleet.listeners} workers did not answer; they may consume: intelli-ops check celery"
    elif not fleet.nodes:
        yield "no worker answers: intelli-ops check celery"
    if unacked.count > len(unacked.oldest):
        yield f"unacked: {unacked.count} in all, of which the {len(unacked.oldest)} oldest are counted above"


def _age(queue: Queue, now: float) -> float | None:
    sent = min((message.sent_at for message in queue.tail if message.sent_at), default=None)
    return None if sent is None else round(max(0.0, now - sent), 1)


def _only(rows: list[Row], names: list[str]) -> list[Row]:
    known = [row.queue for row in rows]
    for name in names:
        if name not in known:
            raise no_such("queue", name, known)
    return [row for row in rows if not names or row.queue in names]


def _text(rows: list[Row]) -> Iterator[str]:
    yield from columns(
        ["queue", "waiting", "unacked", "oldest", "trend", "consumers"],
        [
            (
                row.queue,
                row.waiting,
                row.unacked,
                "-" if row.oldest_seconds is None else f"{row.oldest_seconds:.0f} s",
                row.trend,
                ", ".join(row.consumers) or "NOBODY",
            )
            for row in rows
        ],
    )
