"""`intelli-ops tasks list | show`: who knows which task, where it goes, and what became of one; reads only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from intelli_checks.context import Context
from intelli_checks.probes import trace as traces
from intelli_checks.probes.survey import TaskDecl
from intelli_checks.probes.workers import WorkerFleet
from intelli_checks.target import Target
from intelli_ops import exits, whereabouts
from intelli_ops.asking import asking
from intelli_ops.commands.grouped import Group
from intelli_ops.commands.options import targeted
from intelli_ops.say import complain, say, say_json

if TYPE_CHECKING:
    from typer._click import Context as Invocation


class ListByDefault(Group):
    """`tasks` is `tasks list`."""

    def parse_args(self, ctx: Invocation, args: list[str]) -> list[str]:
        named = bool(args) and (args[0] in self.commands or args[0] in ctx.help_option_names)
        asked = named or ctx.resilient_parsing  # shell completion offers the subcommands
        return super().parse_args(ctx, args if asked else ["list", *args])


app = typer.Typer(
    cls=ListByDefault,
    rich_markup_mode=None,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Show tasks: who knows them, where they go, what became of one.\n\nWithout a subcommand: list.",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One task."""

    name: str
    queue: str | None
    consumers: tuple[str, ...]
    """Workers that take messages from its queue."""
    unknown_to: tuple[str, ...]
    """Those of them that have not registered it: they discard its messages."""
    limits: str


@app.command("list", epilog="Examples: intelli-ops tasks | intelli-ops tasks render_ --json")
@targeted
def list_(
    target: Target,
    *,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[WORD]...", help="Only tasks with this in the name [all].")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> int:
    """List the project's tasks: queue, who consumes it, who has registered the task, and its limits."""
    with asking(target, "the project and the workers") as ctx:
        _ = ctx.redis_broker
        rows = [row for row in table(ctx) if not words or any(word in row.name for word in words)]
    if as_json:
        say_json([asdict(row) for row in rows])
    else:
        for row in rows:
            for line in _text(row):
                say(line)
    if not rows:
        complain(f"no task has {' or '.join(words)} in its name" if words else "neither project nor worker has a task")
    return exits.HEALTHY


@app.command(epilog="Example: intelli-ops tasks show 7f0c2a4e-51d1-4c1f-9a63-0f6f6a1b2c3d")
@targeted
def show(
    target: Target,
    *,
    id_: Annotated[str, typer.Argument(metavar="ID", help="The task's id, as `.delay()` returned it.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> int:
    """Find one task: waiting, delivered, running or ended; and what PENDING means for it.

    Exits 0 when there is a trace of it, 1 when there is none, 3 when not everything could be looked at.
    """
    with asking(target, "the broker, the workers and the results") as ctx:
        _ = ctx.redis_broker
        found = traces.gather(ctx, id_, ctx.budget(6.0))
        told = whereabouts.tell(found, ctx)
    if as_json:
        say_json(asdict(told))
    else:
        for line in told.lines:
            say(line)
    return told.code


def table(ctx: Context) -> list[Row]:
    """The project's tasks by name; without a project, those the workers have registered."""
    project, fleet = ctx.project, ctx.fleet
    if project is None:
        names = sorted({name for node in fleet.nodes for name in node.registered})
        return [Row(name, None, (), (), "") for name in names if not name.startswith("celery.")]
    tasks = [task for task in project.tasks if not task.name.startswith("celery.")]
    return [_row(task, fleet) for task in sorted(tasks, key=lambda task: task.name)]


def _row(task: TaskDecl, fleet: WorkerFleet) -> Row:
    nodes = fleet.consumers(task.queue) if task.queue else ()
    unknown = tuple(node.name for node in nodes if node.registered and task.name not in node.registered)
    return Row(task.name, task.queue, tuple(node.name for node in nodes), unknown, ", ".join(_limits(task)))


def _limits(task: TaskDecl) -> Iterator[str]:
    if task.time_limit:
        yield f"killed after {task.time_limit:g} s"
    if task.soft_time_limit:
        yield f"told after {task.soft_time_limit:g} s"
    yield "acknowledged after it ran" if task.acks_late else "acknowledged before it runs"
    if task.autoretry:
        yield f"retried {task.max_retries} times" if task.max_retries is not None else "retried for ever"
    if task.rate_limit:
        yield f"at most {task.rate_limit}"
    if task.ignore_result:
        yield "result ignored"


def _text(row: Row) -> Iterator[str]:
    yield row.name
    if row.queue:
        yield f"  queue   {row.queue}, consumed by {', '.join(row.consumers) or 'NOBODY'}"
    if row.unknown_to:
        yield f"  missing NOT REGISTERED on {', '.join(row.unknown_to)}: intelli-ops restart-workers, or deploy there"
    if row.limits:
        yield f"  limits  {row.limits}"
