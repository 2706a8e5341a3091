"""Is somebody there to do the work, and is everybody who is there all right?"""

from __future__ import annotations

from collections.abc import Iterator

from intelli_checks.context import Context
from intelli_checks.families.celery_absence import STARTING, belongs, lost_beside_others, reasons, stopped
from intelli_checks.families.declared import spelt
from intelli_checks.families.wording import count, listed, start_command
from intelli_checks.model import Finding, Stage, fail, info, warn
from intelli_checks.probes.processes import Process
from intelli_checks.probes.redis_facts import redis_cli
from intelli_checks.registry import check
from intelli_checks.text import safe

BLOCKS = 1.0
"""Seconds for which a consumer asks Redis to wait for a message: when it hangs, its last request still ends then."""
IDLE_IN = frozenset({"", "do_epoll_wait", "ep_poll"})
"""Where the kernel holds the main process of a worker that waits for work."""


@check("celery.workers", stage=Stage.LIVE, needs=["redis.broker"], timeout=8.0)
def workers(ctx: Context) -> Iterator[Finding]:
    """A worker takes tasks from this broker.

    Cause: no worker was started, it died, it was stopped, or it looks at another database, key prefix or Redis than the
    project does; or it reconnected after Redis restarted and its consumer did not come back, as old releases of Celery
    do. Tasks are accepted without an error all the same and stay PENDING.

    Shows as: `celery inspect ping` says "No nodes replied", which it also says for a busy solo worker.

    Fix: start a worker with the same settings as the web process; the finding says which of the causes it is.
    """
    fleet = ctx.fleet
    if fleet.nodes:
        names = listed(node.name for node in fleet.nodes)
        yield info(f"{count(len(fleet.nodes), 'worker')}: {names}", workers=len(fleet.nodes))
    elif fleet.silent:
        yield from silent_findings(ctx)
    elif fleet.opaque:
        yield info("workers answer, in a serializer other than JSON, which is not read: it may be pickle")
    else:
        yield from reasons(ctx)


@check("celery.silent", needs=["celery.workers"], timeout=8.0)
def silent(ctx: Context) -> Iterator[Finding]:
    """Every worker that listens also answers.

    Cause: its main process is stopped (SIGSTOP, a frozen container), it hangs in a read on a dead connection
    (half-open: no `socket_timeout`), or it is a solo worker in the middle of a task, which is healthy: solo answers
    between tasks. Or it came back without its consumer after Redis restarted, and does not even listen.

    Shows as: fewer answers than listeners. The queue of a frozen worker grows, and the message it was about to read is
    in no Redis key any more.

    Fix: `kill -CONT`, or restart it; set `socket_timeout` and `socket_keepalive` in `broker_transport_options`.
    """
    if ctx.fleet.nodes:
        yield from silent_findings(ctx)
        yield from lost_beside_others(ctx)


def silent_findings(ctx: Context) -> Iterator[Finding]:
    """Judge each listener that did not answer, by its process where it runs here."""
    fleet = ctx.fleet
    if not fleet.silent:
        return
    suspects = silent_processes(ctx)
    for process in suspects[: fleet.silent]:
        yield _silent_process(ctx, process)
    rest = fleet.silent - len(suspects[: fleet.silent])
    if rest > 0:
        idle = max((client.idle for client in fleet.consuming if not client.blocked), default=0)
        yield warn(
            f"{count(rest, 'node')} listens and does not answer; its last sign was {idle} s ago. "
            "A solo worker in a task looks like this, a frozen one too",
            hint="look at the worker itself: its log, its process state; then repeat",
            subject=listed(fleet.bound),
            idle=idle,
        )


def silent_processes(ctx: Context) -> list[Process]:
    """Local worker processes that are connected to this broker and did not answer, stopped ones first."""
    answered = {node.pid for node in ctx.fleet.nodes}
    found = [process for process in ctx.absence.local if process.pid not in answered and belongs(process, ctx)]
    return sorted(found, key=lambda process: not process.stopped)


def _silent_process(ctx: Context, process: Process) -> Finding:
    subject = f"pid {process.pid}"
    if process.stopped:
        return stopped(process)
    if pool_of(process, ctx) == "solo":
        return info(
            f"worker process {process.pid} runs a task in the solo pool, which answers between tasks", subject=subject
        )
    if process.age < STARTING:
        return info(f"worker process {process.pid} was started {process.age:.0f} s ago", subject=subject)
    if not ctx.watch.still("silent"):
        return info(f"worker process {process.pid} was slow to answer", subject=subject)
    if _asks_on(process, ctx):
        return warn(
            f"worker process {process.pid} asks for messages and has not answered for {ctx.watch.seconds:.1f} s: the "
            "line between it and the broker is slow, or its machine has no time for it",
            hint=f"uptime; {redis_cli(ctx.layout.dsn)} --latency   # on the worker's machine, at the address it uses",
            subject=subject,
        )
    return fail(
        f"worker process {process.pid} is alive and does not answer: its event loop hangs"
        + (f" in {process.waits_in}" if process.waits_in not in IDLE_IN else ""),
        hint=f"restart it, and set {spelt(ctx, 'broker_transport_options')} = "
        "{'socket_timeout': 10, 'socket_keepalive': True}: "
        "without them a half-open connection freezes a worker for good",
        subject=subject,
        command=process.command,
        waits_in=process.waits_in,
    )


def _asks_on(process: Process, ctx: Context) -> bool:
    """Whether the silent process asked for messages while it was watched: a loop that hangs sends nothing.

    Redis counts what it publishes to a subscriber as activity, too, so only the consuming connection tells. Where none
    ends in the process, a proxy stands between; then nobody else may be there whose connection it could be.
    """
    consuming = ctx.watch.last.fleet.consuming
    ports = {str(port) for port in process.ports}
    own = [client for client in consuming if client.address.rpartition(":")[2] in ports]
    alone = not ctx.watch.last.fleet.nodes and ctx.fleet.silent == 1
    return any(client.idle < ctx.watch.seconds - BLOCKS for client in own or (consuming if alone else ()))


def pool_of(process: Process, ctx: Context) -> str:
    """The pool a worker's command line or the project asks for."""
    words = process.command.replace("=", " ").split()
    for flag in ("-P", "--pool"):
        if flag in words[:-1]:
            return words[words.index(flag) + 1]
    if attached := next((word[2:] for word in words if word.startswith("-P") and len(word) > 2), ""):
        return attached
    configured = str(ctx.project.conf.get("worker_pool") or "") if ctx.project else ""
    return "prefork" if process.children else configured or "prefork"


@check("celery.nodenames", needs=["celery.workers"])
def nodenames(ctx: Context) -> Iterator[Finding]:
    """Every worker has a name of its own.

    Cause: two workers started with the same `-n`, or without one on the same host; or two applications on one database
    of one Redis, each with a worker of the default name, which take each other's messages and drop them.

    Shows as: `celery inspect` merges them into one; remote control acts on both; autoscaling miscounts.

    Fix: `-n worker1@%h`, `-n worker2@%h`; for two applications, a database each.
    """
    for name in ctx.fleet.duplicates:
        nodes = [node for node in ctx.fleet.nodes if node.name == name]
        pids = [node.pid for node in nodes]
        shared = set(nodes[0].queues).intersection(*(node.queues for node in nodes))
        if shared and (theirs := _of_another_app(ctx, name)):
            yield fail(
                f"{len(pids)} workers are called {safe(name)} (pids {', '.join(map(str, pids))}), and one is another "
                f"application's ({listed(theirs, 3)}): it takes messages of this one from {listed(sorted(shared))} and "
                "drops them",
                hint=apart(ctx),
                subject=safe(name),
                pids=pids,
                queues=sorted(shared),
            )
            continue
        yield fail(
            f"{len(pids)} workers are called {safe(name)} (pids {', '.join(map(str, pids))})",
            hint="\n".join(
                f"{start_command(ctx, node.queues)} -n {safe('-'.join(node.queues)) or 'worker'}-{number}@%h"
                for number, node in enumerate(nodes, 1)
            ),
            subject=safe(name),
            pids=pids,
        )


def _of_another_app(ctx: Context, name: str) -> list[str]:
    """The tasks of a namesake that has some of its own and none of the project's."""
    known = {task.name for task in ctx.project.tasks if not task.name.startswith("celery.")} if ctx.project else set()
    for told in ctx.fleet.namesakes.get(name, ()):
        own = sorted(task for task in told if not task.startswith("celery."))
        if known and own and known.isdisjoint(own):
            return own
    return []


def apart(ctx: Context) -> str:
    """What ends the trouble of two applications in one queue."""
    return (
        f"give one of the two a {spelt(ctx, 'task_default_queue')} and queues of its own, or another database; "
        "then restart its workers and whoever sends"
    )
