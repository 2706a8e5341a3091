"""Does a worker that answers also work?"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from intelli_checks.context import Context
from intelli_checks.families.declared import place_of, spelt, usage
from intelli_checks.families.wording import ago, celery_command, count, listed, start_command
from intelli_checks.model import Finding, fail, info, warn
from intelli_checks.probes.nodes import Node, Request
from intelli_checks.probes.processes import Process, option
from intelli_checks.probes.watch import has_room
from intelli_checks.registry import check
from intelli_checks.text import safe

MUCH = 0.7
"""Part of the machine's memory that one pool may take."""
SETTLED = 10.0
"""Seconds all tasks of a pool have run before it counts as taken, and not just as busy."""
COPIED = 0.75
"""Share of its main process's memory that a pool process takes at least, once it has run something."""
OVERDUE = 15.0
"""Seconds past its time limit after which a task should long have been stopped."""


@check("celery.pool", needs=["celery.workers"], timeout=8.0)
def pool(ctx: Context) -> Iterator[Finding]:
    """Every worker's pool executes what the worker receives.

    Cause: the pool's processes are stopped, hang before they report for duty, or are killed and replaced in a loop
    (slow imports or network calls at start, `worker_proc_alive_timeout`), while the main process goes on answering.

    Shows as: `inspect ping` OK, the queue empty, `inspect active` empty, tasks reserved and never started.

    Fix: `kill -CONT` the children or restart the worker; then look for what the children wait for (py-spy dump).
    """
    still = ctx.watch.still("pool")
    for node in ctx.fleet.nodes:
        children = [ctx.pools[pid] for pid in node.processes if pid in ctx.pools and pid != node.pid]
        if stopped := [child.pid for child in children if child.stopped]:
            yield _stopped(node, stopped)
        elif node.name in still:
            yield _stalled(ctx, node, children)
        if node.pool == "prefork" and sys.platform == "win32" and node.pid in ctx.pools:
            yield fail(
                "the prefork pool does not work on Windows, which has no fork",
                hint="start it with --pool=solo or --pool=threads",
                subject=safe(node.name),
            )


def _stopped(node: Node, pids: list[int]) -> Finding:
    share = "all" if len(pids) == len(node.processes) else f"{len(pids)} of {len(node.processes)}"
    return fail(
        f"{share} pool processes of {safe(node.name)} are stopped: it answers and receives, and nothing runs there",
        hint=f"kill -CONT {' '.join(map(str, pids))}",
        subject=safe(node.name),
        stopped=pids,
        reserved=len(node.reserved),
    )


def _stalled(ctx: Context, node: Node, children: list[Process]) -> Finding:
    """Tasks in hand, none running, nothing started between two looks."""
    held, seconds = count(len(node.waiting), "task"), ctx.watch.seconds
    if node.young:
        return info(f"{safe(node.name)} came up {ago(node.uptime or 0)} ago and has not started its {held} yet")
    later = next((n for n in ctx.watch.last.fleet.nodes if n.name == node.name), node)
    replaced = len(set(node.processes) - set(later.processes))
    young = [child for child in children if node.uptime and child.age < min(10.0, node.uptime / 2)]
    spiral = replaced > 0 or (children and len(young) == len(children))
    return fail(
        f"{safe(node.name)} holds {held} and starts none"
        + (": its pool processes are killed and replaced before they can work" if spiral else "")
        + f" (nothing moved in {seconds:.1f} s)",
        hint="raise worker_proc_alive_timeout, make imports faster; its log says 'Timed out waiting for UP message'"
        if spiral
        else f"py-spy dump --pid {(node.processes or (node.pid,))[0]}   # what does its pool wait for? Then restart it",
        subject=safe(node.name),
        reserved=[request.id for request in node.waiting][:10],
        processes=list(later.processes),
        replaced=replaced,
        total=node.started,
    )


@check("celery.consuming", needs=["celery.workers"], timeout=8.0)
def consuming(ctx: Context) -> Iterator[Finding]:
    """Every worker takes messages from the queues it says it consumes.

    Cause: after a lost connection to Redis some Celery versions answer remote control again and never read from their
    queues again (celery#8030), or come back without any queue; or somebody sent `cancel_consumer`.

    Shows as: `inspect ping` OK, the queue grows, the worker is idle.

    Fix: restart the worker; upgrade Celery; probe consumption, not ping.
    """
    lonely = sorted(ctx.watch.still("unconsumed"), key=lambda name: -ctx.depths.depth(name))
    queue = safe(next(iter(lonely), ctx.layout.default_queue))
    for node in ctx.fleet.nodes:
        if not node.queues and not node.young:
            yield fail(
                f"{safe(node.name)} answers and consumes no queue at all",
                hint=f"restart it, or: {celery_command(ctx, f'control add_consumer {queue} -d {safe(node.name)}')}",
                subject=safe(node.name),
            )
    for queue in sorted(ctx.watch.still("queue")):
        yield _not_taken(ctx, queue)


def _not_taken(ctx: Context, queue: str) -> Finding:
    free = [node for node in ctx.watch.last.fleet.consumers(queue) if has_room(node, len(ctx.watch.last.parked))]
    depth = ctx.watch.last.depths.depth(queue)
    if any(node.young for node in free):
        return info(f"{count(depth, 'message')} waiting; the worker has just come up", subject=f"queue {safe(queue)}")
    blocked = sum(client.blocked for client in ctx.watch.last.fleet.consuming)
    return fail(
        f"{listed(node.name for node in free)} consumes {safe(queue)} and takes none of its {count(depth, 'message')} "
        f"({blocked} connections waiting in BRPOP, nothing moved in {ctx.watch.seconds:.1f} s)",
        hint="restart the worker; if it happens after every Redis restart, upgrade celery and kombu",
        subject=f"queue {safe(queue)}",
        depth=depth,
        blocked=blocked,
    )


@check("celery.stuck", needs=["celery.workers"])
def stuck(ctx: Context) -> Iterator[Finding]:
    """No task runs far beyond its limit, and none without one fills a pool.

    Cause: calls without a timeout in a pool that enforces no limits (solo, threads, gevent), or where nobody set any;
    tasks that wait with .get() for tasks which need a slot of the same pool; a pool process that does not react to
    signals; a soft limit alone, whose exception the task catches.

    Shows as: slots that never come free, `inspect active` with an old `time_start`.

    Fix: give network calls a timeout; use prefork where limits must hold; a queue of their own for long tasks.
    """
    now = ctx.fleet.taken
    for node in ctx.fleet.nodes:
        for request in node.active:
            limit = limit_of(node, request)
            if limit and request.started and now and now - request.started > limit + OVERDUE:
                yield fail(
                    f"{safe(request.name)} has run for {ago(now - request.started)}, its limit is {ago(limit)}",
                    hint=celery_command(ctx, f"control terminate KILL {safe(request.id)}")
                    if node.pool == "prefork"
                    else f"restart {safe(node.name)}: the {node.pool} pool enforces no time limit",
                    subject=f"{safe(node.name)} task {safe(request.id)}",
                    seconds=round(now - request.started),
                    limit=limit,
                    pool=node.pool,
                )
        ignored = [told for request in node.active if (told := _soft_limit_ignored(ctx, node, request))]
        yield from ignored or _deadlocked(ctx, node) or _occupied(ctx, node)


def _soft_limit_ignored(ctx: Context, node: Node, request: Request) -> Finding | None:
    """A task that runs on after SoftTimeLimitExceeded was raised in it, and that no hard limit will end."""
    soft = soft_limit_of(node, request)
    seconds = ctx.fleet.taken - (request.started or ctx.fleet.taken)
    if node.pool != "prefork" or not soft or limit_of(node, request) or seconds <= 2 * soft + OVERDUE:
        return None
    return warn(
        f"{safe(request.name)} has run for {ago(seconds)}, its soft limit is {ago(soft)}: it caught "
        "SoftTimeLimitExceeded and went on, or never came back from C code; no hard limit will end it",
        hint=celery_command(ctx, f"control terminate KILL {safe(request.id)}")
        + "   # then give it a time_limit above the soft one, and let it catch less than Exception",
        subject=f"{safe(node.name)} task {safe(request.id)}",
        seconds=round(seconds),
        soft_limit=soft,
    )


def _occupied(ctx: Context, node: Node) -> Iterator[Finding]:
    """Every slot taken by tasks that nothing will end, for a while already, and work that only this worker can do."""
    seconds, behind = _taken(ctx, node)
    if not behind or any(limit_of(node, request) and node.pool == "prefork" for request in node.active):
        return
    longest = min(node.active, key=lambda request: request.started or ctx.fleet.taken)
    process = ctx.pools.get(longest.pid or node.pid)
    yield warn(
        f"{count(node.concurrency, 'slot')} of {safe(node.name)}, all taken by tasks that no time limit will end: "
        f"{safe(longest.name)} for {ago(seconds)}; {count(behind, 'task')} waiting",
        hint=f"py-spy dump --pid {process.pid if process else longest.pid or node.pid}   # what does it wait for? Then "
        f"{spelt(ctx, 'task_time_limit')} = 600, and a worker of their own for long tasks",
        subject=safe(node.name),
        waiting=behind,
        seconds=round(seconds),
    )


def _deadlocked(ctx: Context, node: Node) -> list[Finding]:
    """Every slot taken by a task that waits for the result of another, which nobody is left to run.

    Source: "Avoid launching synchronous subtasks", Tasks, Celery docs.
    """
    seconds, behind = _taken(ctx, node)
    if ctx.project is None or not behind:
        return []
    waits = {str(use.get("function")): use for use in usage(ctx.project, "get")}
    places = [waits[name] for request in node.active if (name := request.name.rpartition(".")[2]) in waits]
    if not places or len(places) < len(node.active):
        return []
    who = f"{safe(node.active[0].name)}, {place_of(ctx.project, places[0])}"
    return [
        fail(
            f"{count(node.concurrency, 'slot')} of {safe(node.name)}, all taken for {ago(seconds)} by tasks that wait "
            f"for the result of another ({who}); {count(behind, 'task')} waiting: none is left to run what they need",
            hint=f"{start_command(ctx, node.queues)}   # one more lets them end; then chain them: (first.s() | "
            "second.s())(), no .get() in a task",
            subject=safe(node.name),
            waiting=behind,
            seconds=round(seconds),
        )
    ]


def _taken(ctx: Context, node: Node) -> tuple[float, int]:
    """For how long every slot has been taken, in seconds, and how many tasks wait that only this worker can run."""
    now, ages = ctx.fleet.taken, [ctx.fleet.taken - request.started for request in node.active if request.started]
    alone = [name for name in node.queues if all(other.busy for other in ctx.fleet.consumers(name))]
    behind = len(node.waiting) + sum(ctx.depths.depth(name) for name in alone)
    if not (now and node.busy and alone and len(ages) == len(node.active)) or min(ages) < SETTLED:
        return 0.0, 0
    return max(ages), behind


def limit_of(node: Node, request: Request) -> float | None:
    """The hard time limit of a running task in seconds: the task's own, else the pool's."""
    return _own_limit(node, request, "time_limit") or (node.timeouts[1] if len(node.timeouts) > 1 else 0) or None


def soft_limit_of(node: Node, request: Request) -> float | None:
    """The soft time limit of a running task in seconds: the task's own, else the pool's."""
    return _own_limit(node, request, "soft_time_limit") or (node.timeouts[0] if node.timeouts else 0) or None


def _own_limit(node: Node, request: Request, name: str) -> float:
    own = node.registered.get(request.name, {}).get(name, "")
    return float(own) if own.replace(".", "", 1).isdigit() else 0.0


@check("celery.limits", needs=["celery.workers"])
def limits(ctx: Context) -> Iterator[Finding]:
    """Time limits are enforced where they are set.

    Cause: the limits need prefork (the main process signals its children); solo, threads, gevent and eventlet ignore
    them without a word.

    Shows as: a task with `time_limit=60` that runs for an hour.

    Fix: prefork for these queues, or a timeout inside the task.
    """
    for node in ctx.fleet.nodes:
        limited = [name for name, task in node.registered.items() if task.keys() & {"time_limit", "soft_time_limit"}]
        if node.pool in {"solo", "threads", "gevent", "eventlet"} and limited:
            yield warn(
                f"the {node.pool} pool of {safe(node.name)} ignores the time limits of {count(len(limited), 'task')}: "
                f"{listed(limited, 3)}",
                hint="run these queues with --pool=prefork, or bound the work inside the task",
                subject=safe(node.name),
                tasks=limited[:20],
            )


@check("celery.memory", needs=["celery.workers"])
def memory(ctx: Context) -> Iterator[Finding]:
    """Pool processes leave memory for others, and their limit leaves them room.

    Looks at the pool processes of the workers on this machine.

    Cause: tasks that keep what they loaded (global caches, Django's query log under DEBUG), and nothing that renews the
    process; or a `worker_max_memory_per_child` below what the imports alone take.

    Shows as: memory that only grows, then the kernel's OOM killer; or a new process after every single task.

    Fix: `worker_max_memory_per_child` (kB) or `worker_max_tasks_per_child`, with room above a process at rest.
    """
    for node in ctx.fleet.nodes:
        children = [ctx.pools[pid] for pid in node.processes if pid in ctx.pools and pid != node.pid]
        main = ctx.pools.get(node.pid)
        if node.pool == "prefork" and (children or main):
            yield from _memory(node, [child for child in children if child.memory], main)


def _memory(node: Node, children: list[Process], main: Process | None) -> Iterator[Finding]:
    limit = memory_limit(node, main)
    resting = [child for child in children if child.pid not in {request.pid for request in node.active}]
    largest, least = (
        max((child.memory for child in children), default=0),
        min(
            (child.memory for child in resting),
            # Where each ends with its first task none is caught at rest; it is a copy of the main process.
            default=int(COPIED * main.memory) if main else 0,
        ),
    )
    share = sum(child.share for child in children)
    # The limit is tried after each task: a process at rest above it has run none, and its first will be its last.
    if isinstance(limit, (int, float)) and limit and least > limit * 1024:
        yield warn(
            f"a pool process of {safe(node.name)} takes {_mib(least)} at rest and may take {_mib(limit * 1024)}: "
            "each is replaced after one task",
            hint=f"worker_max_memory_per_child = {int(least / 1024 * 2)}   # kB",
            subject=safe(node.name),
            bytes=least,
        )
    elif share > MUCH and not limit and not node.conf.get("worker_max_tasks_per_child"):
        yield warn(
            f"the pool of {safe(node.name)} takes {share:.0%} of this machine's memory, its largest process "
            f"{_mib(largest)}, and nothing renews them",
            hint=f"worker_max_memory_per_child = {int(largest / 1024)}   # kB; and a smaller --concurrency",
            subject=safe(node.name),
            bytes=largest,
        )
    else:
        yield info(
            f"the largest pool process takes {_mib(largest)}",
            subject=node.name,
        )


def memory_limit(node: Node, main: Process | None) -> float | None:
    """Of a pool process, in kB, as the worker's command line or its settings have it."""
    told = option(main.command.split(), "--max-memory-per-child") if main else ""
    limit = float(told) if told.isdigit() else node.conf.get("worker_max_memory_per_child")
    return limit if isinstance(limit, (int, float)) else None


def _mib(size: float) -> str:
    return f"{size / 2**20:.0f} MiB"
