"""Does everything that is sent reach somebody who takes it?"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterator, Mapping

from intelli_checks.context import Context
from intelli_checks.families.celery_absence import starting
from intelli_checks.families.declared import idle_routes, spelt
from intelli_checks.families.neighbours import ours
from intelli_checks.families.wording import ago, count, listed, start_command
from intelli_checks.model import Finding, Severity, Skip, fail, info, warn
from intelli_checks.probes.layout import Layout
from intelli_checks.probes.nodes import Node
from intelli_checks.probes.queues import Queue, declared
from intelli_checks.probes.survey import Survey
from intelli_checks.probes.workers import accepted_content
from intelli_checks.registry import check
from intelli_checks.text import safe

MANY = 100
HEAVY = 8 * 1024 * 1024
"""Bytes of one message."""
ALIKE = 0.75
"""Two letters that changed places in a name of four."""
DEFAULT_QUEUE = "celery"
STORM_SAMPLE, STORM_RETRIES = 20, 3


@check("celery.queues", needs=["celery.workers"], timeout=8.0)
def queues(ctx: Context) -> Iterator[Finding]:
    """Every queue that is sent to is consumed.

    Cause: no worker was started with `-Q` for it, a typo in `-Q` or in a route, or tasks without a route that pile up
    in the default queue.

    Shows as: jobs of one kind stay PENDING, everything else works, `inspect ping` is OK; Celery accepts a message for a
    queue nobody consumes without a word.

    Fix: start a worker for it, or correct the route.
    """
    if not ctx.fleet.nodes:
        passed_by = list(_passed_by(ctx))
        yield from passed_by or [info("no worker tells what it consumes")]
        return
    if not ctx.fleet.queues and not any(node.young for node in ctx.fleet.nodes):
        raise Skip("no worker consumes anything", because="celery.consuming")
    lonely = ctx.watch.still("unconsumed")
    apart = list(_steps_apart(ctx))
    if any(finding.severity is Severity.ERROR for finding in apart):
        lonely = frozenset(name for name in lonely if ctx.layout.base(name) not in ctx.fleet.queues)
    yield from apart
    for name in sorted(lonely):
        yield _unconsumed(ctx, name)
    used = declared(ctx.project) | {ctx.layout.default_queue}
    if any(_meant_for(ctx, name) for name in lonely):
        return  # who consumes what nobody sends to has been said
    for name in sorted(ctx.fleet.queues - used if ctx.project else ()):
        if not any(name in difflib.get_close_matches(other, [name], cutoff=ALIKE) for other in lonely):
            yield _unknown(ctx, name)


def _passed_by(ctx: Context) -> Iterator[Finding]:
    """Queues whose messages lie there while every worker waits for one: remote control is off, but Redis tells."""
    last = ctx.watch.last
    waiting = last.fleet.consuming
    if not waiting or not all(client.blocked or client.idle <= 1 for client in waiting):
        return  # who does not wait for messages has its hands full, and may take them later
    for name in sorted(ctx.watch.still("unconsumed")):
        queue = last.depths.queues.get(name, Queue(name))
        if queue.depth and _ours(ctx, queue):
            yield fail(
                f"{count(queue.depth, 'message')} in {safe(name)}, not taken while {count(len(waiting), 'worker')} "
                "with remote control off waits for messages: of other queues",
                hint=f"compare -Q on the worker's command line; {start_command(ctx, [name])}",
                subject=f"queue {safe(name)}",
                depth=queue.depth,
            )


def _steps_apart(ctx: Context) -> Iterator[Finding]:
    """Workers that look for messages with a priority in other lists than the project writes."""
    if ctx.project is None:
        return
    for node in ctx.fleet.nodes:
        theirs = Layout.of(ctx.layout.dsn, node.conf)
        names = [name for name in ("separator", "steps") if getattr(theirs, name) != getattr(ctx.layout, name)]
        if not node.conf or not names:
            continue
        keys = _unread(ctx, node, theirs)
        options = " and ".join({"separator": "sep", "steps": "priority_steps"}[name] for name in names)
        yield (fail if keys or ctx.project.conf.get("task_default_priority") else warn)(
            f"{safe(node.name)} has another {options} in broker_transport_options than the project: "
            "it looks for messages with a priority in other lists"
            + (f"; {listed(map(safe, keys), 3)}: read by nobody" if keys else ""),
            hint="give senders and workers the same broker_transport_options, then restart the workers",
            subject=safe(node.name),
            lists=keys[:20],
        )


def _unread(ctx: Context, node: Node, theirs: Layout) -> list[str]:
    """Lists of its queues with messages in them that this worker never looks at."""
    ours = (queue for name in node.queues if (queue := ctx.depths.queues.get(name)))
    keys = {key for queue in ours for key in queue.depths if key not in theirs.lists(queue.name)}
    return sorted(keys | {name for name in ctx.depths.waiting if ctx.layout.base(name) in node.queues})


def _unconsumed(ctx: Context, name: str) -> Finding:
    queue = ctx.depths.queues.get(name, Queue(name))
    others = {other for other in ctx.fleet.queues - declared(ctx.project) if other.strip() != name.strip()}
    typo = difflib.get_close_matches(name, others, n=1, cutoff=ALIKE)
    routed = [task.name for task in ctx.project.tasks if task.queue == name] if ctx.project else []
    waiting = f"{count(queue.depth, 'message')} waiting" if queue.depth else "nothing waiting yet"
    message = f"no worker consumes {_shown(name)}: {waiting}"
    if typo:
        message += (
            f"; {listed(n.name for n in ctx.fleet.consumers(typo[0]))} consumes {safe(typo[0])}, which nobody sends to"
        )
    elif routed:
        message += f"; {listed(routed, 3)} {'goes' if len(routed) == 1 else 'go'} there"
    facts = {"depth": queue.depth, "tasks": routed[:20], "priorities": dict(queue.depths)}
    subject = f"queue {safe(name)}"
    if ctx.fleet.silent or ctx.fleet.unexplained:
        return warn(f"{message}. A worker that did not answer may consume it", hint="intelli-ops check celery.silent",
                    subject=subject, **facts)  # fmt: skip
    if process := next(iter(starting(ctx)), None):
        hint = "intelli-ops check celery.queues --wait 30"
        return warn(f"{message}; worker process {process.pid} is coming up", hint=hint, subject=subject, **facts)
    if not _ours(ctx, queue):
        return warn(
            message, hint=f"whose messages are these? redis-cli LINDEX {safe(name)} -1", subject=subject, **facts
        )
    if reason := _meant_for(ctx, name) or _other_separator(ctx, name):
        return fail(f"{message}. {reason[0]}", hint=reason[1], subject=subject, **facts)
    if prefix := _foreign_prefix(ctx, name):
        other = safe(name.removeprefix(prefix))
        return fail(
            f"{message}; {other} is consumed without the prefix {safe(prefix)}: a sender has another global_keyprefix",
            hint=f"set the same global_keyprefix in {spelt(ctx, 'broker_transport_options')} of senders and workers",
            subject=subject,
            prefix=prefix,
            **facts,
        )
    return fail(message, hint=start_command(ctx, [name]), subject=subject, **facts)


def _meant_for(ctx: Context, name: str) -> tuple[str, str] | None:
    """Why this queue has no consumer though its worker runs, where the names tell; and what to do."""
    project = ctx.project
    if twin := next((other for other in ctx.fleet.queues if other.strip() == name.strip()), None):
        who = listed(node.name for node in ctx.fleet.consumers(twin))
        blank = f"{who} consumes {_shown(twin)}: a blank is part of a name"
        if name == name.strip():
            return blank, f"no blanks in -Q: {start_command(ctx, [name])}"
        return blank, f"write {safe(twin)!r} for {_shown(name)} in {spelt(ctx, 'task_routes')}; restart whoever sends"
    if project is None or name != ctx.layout.default_queue:
        return None
    for other in sorted(ctx.fleet.queues - declared(project)):
        for node in ctx.fleet.consumers(other):
            if node in ours(ctx) and node.conf and node.conf.get("task_default_queue", DEFAULT_QUEUE) == other:
                who, option = safe(node.name), spelt(ctx, "task_default_queue")
                return (
                    f"{who} consumes {safe(other)}: that is its task_default_queue, the project's is {safe(name)}",
                    f"the same {option} and environment for both, then restart {who}",
                )
        for pattern, meant in idle_routes(project).items():
            if _queue_of(project, pattern) == other:
                return (
                    f"The route {safe(pattern)} to {safe(other)}, which is consumed, takes no task{meant}",
                    f"correct {safe(pattern)} in {spelt(ctx, 'task_routes')}, then restart whoever sends",
                )
    return None


def _shown(name: str) -> str:
    """A queue's name; one that begins or ends with a blank in quotes, or nobody would see it."""
    return safe(name) if name == name.strip() else f"'{safe(name)}'"


def _queue_of(project: Survey, pattern: str) -> str | None:
    """The queue that a route of `task_routes` names."""
    route = project.conf["task_routes"][pattern]
    name = route.get("queue") if isinstance(route, Mapping) else route
    return name if isinstance(name, str) else None


def _other_separator(ctx: Context, name: str) -> tuple[str, str] | None:
    """Whether this is a consumed queue's list for a priority, written with another `sep`; and what to do then."""
    spelled = re.fullmatch(r"(.+?)(\W+)(\d)", name)
    if spelled is None or name in declared(ctx.project) or int(spelled[3]) not in ctx.layout.steps:
        return None
    if spelled[1] not in ctx.fleet.queues:
        return None
    queue, sep, priority = map(safe, spelled.groups())
    why = f"So a sender whose sep is {sep!r} spells the list of {queue} for priority {priority}"
    options = spelt(ctx, "broker_transport_options")
    return why, f"the same sep in {options} of senders and workers, then restart them"


def _foreign_prefix(ctx: Context, name: str) -> str:
    """What stands before the name of a consumed queue, when nobody declares the longer name."""
    if name in declared(ctx.project):
        return ""
    prefixes = (name.removesuffix(queue) for queue in ctx.fleet.queues if name.endswith(queue))
    return next((prefix for prefix in prefixes if prefix in ctx.keyspace.prefixes - {""}), "")


def _ours(ctx: Context, queue: Queue) -> bool:
    """Whether its messages are this application's: it names the queue, or knows the tasks in it."""
    if ctx.project is None:
        return any(message.task for message in queue.tail)
    names = {task.name for task in ctx.project.tasks}
    return queue.name in declared(ctx.project) or any(message.task in names for message in queue.tail)


def _unknown(ctx: Context, name: str) -> Finding:
    consumers = ctx.fleet.consumers(name)
    ours = {task.name for task in ctx.project.tasks if not task.name.startswith("celery.")} if ctx.project else set()
    if ours and all(node.registered and not ours & node.registered.keys() for node in consumers):
        names = listed(node.name for node in consumers)
        return info(f"consumed by {names}, which knows none of this project's tasks", subject=f"queue {safe(name)}")
    return warn(
        f"{listed(n.name for n in consumers)} consumes {safe(name)}, which the project never sends to",
        hint="a typo in -Q, or another application's queue; task_create_missing_queues = False makes Celery refuse it",
        subject=f"queue {safe(name)}",
    )


@check("celery.backlog", needs=["celery.consuming", "celery.queues"], timeout=8.0)
def backlog(ctx: Context) -> Iterator[Finding]:
    """The queues drain.

    Cause: more work arrives than the workers can do; nothing is broken. Or single messages are so large that moving
    them is the work.

    Shows as: waiting times rise.

    Fix: more concurrency or more workers for this queue; separate slow tasks from fast ones; send a reference in place
    of the data.
    """
    for name, queue in ctx.depths.waiting.items():
        yield from _heavy(name, queue)
        consumers = ctx.fleet.consumers(name)
        if not consumers:
            continue
        later = ctx.watch.last.depths.depth(name)
        slots = sum(node.concurrency for node in consumers)
        oldest = min((m.sent_at for m in queue.tail if m.sent_at), default=None)
        age = f", the oldest for {ago(ctx.depths.taken - oldest)}" if oldest and ctx.depths.taken else ""
        levels = f" on {len(queue.depths)} priority levels" if len(queue.depths) > 1 else ""
        message = f"{count(queue.depth, 'message')} waiting{levels}{age}; {count(slots, 'slot')} at work"
        facts = {"depth": queue.depth, "slots": slots, "priorities": dict(queue.depths)}
        if later > queue.depth and queue.depth > max(MANY, 10 * slots):
            yield warn(f"{message}, and growing", hint=f"add a worker: {start_command(ctx, [name])}",
                       subject=f"queue {safe(name)}", **facts)  # fmt: skip
        else:
            yield info(message, subject=f"queue {safe(name)}", **facts)


def _heavy(name: str, queue: Queue) -> Iterator[Finding]:
    """Messages that take long to move, and that Redis keeps in memory as often as they are held."""
    largest = max(queue.tail, key=lambda message: message.size, default=None)
    if largest and largest.size > HEAVY:
        yield warn(
            f"a message of {largest.size / 2**20:.0f} MiB waits"
            + (f", for {safe(largest.task)}" if largest.task else "")
            + ": Redis and the worker copy it whole, several times, and serve nobody meanwhile",
            hint="keep the data in a file or a row, and send its name: an argument is no place for it",
            subject=f"queue {safe(name)}",
            bytes=largest.size,
        )


@check("celery.poison", needs=["celery.workers"])
def poison(ctx: Context) -> Iterator[Finding]:
    """Every waiting message can be decoded by its worker.

    Cause: something other than Celery writes to the key, a producer uses a serializer the workers refuse
    (`accept_content`), or a body is damaged.

    Shows as: bytes that are not JSON end the worker process that takes them; a refused or undecodable body loses the
    task, which stays PENDING.

    Fix: find the writer; align `task_serializer` with `accept_content`; remove the message.
    """
    ours = declared(ctx.project) | ctx.fleet.queues | {ctx.layout.default_queue}
    for name, queue in ctx.depths.queues.items():
        if name not in ours:
            continue
        subject = f"queue {safe(name)}"
        if queue.wrong_type.startswith("WRONGTYPE"):
            yield fail(
                f"the key {safe(name)} is not a list, so nothing can be queued there",
                hint=f"redis-cli TYPE {safe(name)}   # rename the queue or the other program's key",
                subject=subject,
            )
        bad = [message for message in queue.tail if message.fault]
        if bad:
            kills = bad[0].fault.startswith(("not ", "no "))
            yield fail(
                f"{count(len(bad), 'message')} no worker can decode ({safe(bad[0].fault)})"
                + (": taking one ends a worker's process" if kills else ": its task will be lost"),
                hint=f"redis-cli LINDEX {safe(name)} -1   # see what it is and who writes it; LREM removes it",
                subject=subject,
                messages=len(bad),
            )
        yield from _refused(ctx, queue)


def _refused(ctx: Context, queue: Queue) -> Iterator[Finding]:
    """Messages in a serializer none of the queue's consumers accepts."""
    accepted = accepted_content(ctx.fleet, queue.name, ctx.project)
    types = Counter(m.content_type for m in queue.tail if m.content_type and m.content_type not in accepted)
    for content_type, times in types.items():
        yield fail(
            f"{count(times, 'message')} of type {safe(content_type)}, which the workers refuse and drop",
            hint=f"add it to accept_content, or set task_serializer to one of: {', '.join(sorted(accepted))}",
            subject=f"queue {safe(queue.name)}",
            accepted=sorted(accepted),
        )


@check("celery.retries", needs=["celery.workers"])
def retries(ctx: Context) -> Iterator[Finding]:
    """The queues are not filled by retries.

    Cause: `autoretry_for` without backoff or a limit, against something that keeps failing.

    Shows as: the same tasks over and over, `retries` high in their headers.

    Fix: `retry_backoff=True`, `max_retries`.
    """
    for name, queue in ctx.depths.queues.items():
        again = [message for message in queue.tail if message.retries >= STORM_RETRIES]
        if len(queue.tail) >= STORM_SAMPLE and 2 * len(again) > len(queue.tail):
            worst = Counter(message.task for message in again).most_common(1)[0][0]
            yield warn(
                f"{len(again)} of the next {len(queue.tail)} messages are retries, most of {safe(worst)}",
                hint=f"give {safe(worst)} retry_backoff=True and max_retries",
                subject=f"queue {safe(name)}",
                task=worst,
            )
