"""Is somebody there to do the work, and is everybody who is there all right?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from intelli_checks.context import Context
from intelli_checks.families.declared import spelt, transport_lacking
from intelli_checks.families.places import overriding
from intelli_checks.families.wording import ago, count, listed, start_command
from intelli_checks.model import Finding, Severity, Stage, Unavailable, fail, info, warn
from intelli_checks.probes.absence import Elsewhere
from intelli_checks.probes.clients import Client
from intelli_checks.probes.denials import Denial
from intelli_checks.probes.processes import Process
from intelli_checks.probes.queues import declared
from intelli_checks.probes.redis_facts import Refusal, redis_cli
from intelli_checks.probes.survey import Survey
from intelli_checks.registry import check
from intelli_checks.text import safe

STARTING = 15.0
"""Seconds a worker is given to come up before its absence means something."""
AT_ONCE = 5.0
"""Seconds in which a worker that is up has asked for its first message."""
BLOCKS = 1.0
"""Seconds for which a consumer asks Redis to wait for a message: when it hangs, its last request still ends then."""
RECENT = 60.0
"""Seconds since a refusal that may still be the reason."""
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
        yield from _explained(ctx, tuple(_nobody(ctx)))


def _explained(ctx: Context, found: tuple[Finding, ...]) -> Iterator[Finding]:
    """`found`; where another check names the reason why nobody is there, this one leaves the word to it."""
    worst = next((finding for finding in found if finding.severity is Severity.ERROR), None)
    if worst and ctx.project and (cause := _said_elsewhere(ctx.project)):
        raise Unavailable(worst.message, hint=worst.hint, subject=worst.subject, cause=cause)
    yield from found


def _said_elsewhere(project: Survey) -> str:
    """The check that says why no worker is there: where the project does not load here, it does not load there."""
    if overriding(project):
        return "celery.environment"
    if "unexpected keyword" in str(project.extra.get("broker_refused")) or transport_lacking(project):
        return "celery.broker_url"
    return "celery.app" if project.error("settings", "app", "celery", "drivers") else ""


def _nobody(ctx: Context) -> Iterator[Finding]:
    absence, fleet = ctx.absence, ctx.fleet
    told = ctx.project is not None and not ctx.project.error("tasks")
    known = {task.name for task in ctx.project.tasks} if ctx.project and told else None
    related = [place for place in absence.elsewhere if _ours(place, known)]
    if fleet.consuming:  # then another database is not the reason: staging and production may share a server
        related = [place for place in related if place.kind == "prefix"]
    if related:
        yield from (_misplaced(ctx, place) for place in related)
    elif fleet.consuming:
        yield from _deaf(ctx, [process for process in absence.local if _connected(process, ctx)])
    elif denied := _denied(ctx):
        yield _refused(denied)
    elif ours := [process for process in absence.local if _belongs(process, ctx)]:
        yield from (_local(ctx, process) for process in ours)
    elif absence.refused:
        yield _ends_at_once(ctx, absence.refused[0])
    else:
        yield fail(
            "no worker listens on this broker",
            hint=start_command(ctx),
            subject=str(ctx.layout.dsn),
            last_seen=list(fleet.bound),
            beat=list(fleet.others),
        )


def _denied(ctx: Context) -> Denial | None:
    """The last refusal of somebody else than us, if it is recent: a worker that is refused tries again and again."""
    us = ctx.layout.dsn.username or "default"
    recent = [one for one in ctx.absence.denied if one.age < RECENT and (one.user != us or one.reason == "auth")]
    return min(recent, key=lambda one: one.age, default=None)


def _refused(denied: Denial) -> Finding:
    user, what = safe(denied.user), safe(denied.what)
    rule = {"command": f"+{what}", "channel": "'&*'", "key": "'~*'"}.get(denied.reason, "")
    return fail(
        f"no worker listens on this broker, and Redis refuses somebody who tries: user {user} "
        + ("fails to log in" if denied.reason == "auth" else f"may not use the {safe(denied.reason)} {what}")
        + f" ({ago(denied.age)} ago)",
        hint=f"redis-cli ACL SETUSER {user} {rule}" if rule else "give the workers the right user and password",
        subject=f"user {user}",
        reason=denied.reason,
        times=denied.times,
    )


def _ends_at_once(ctx: Context, refused: Refusal) -> Finding:
    """A worker asks the others what they know before it is ready, and may not read their answers."""
    user, replies = safe(ctx.layout.dsn.username or "default"), f"*.reply.{ctx.layout.mailbox}"
    command = safe(refused.command.partition(" ")[0])
    return fail(
        f"no worker listens on this broker, and one that user {user} starts ends at once: Redis refuses it {command} "
        f"on the keys {safe(replies)}, over which workers answer each other",
        hint=f"redis-cli ACL SETUSER {user} +{command.lower()} '~{safe(ctx.layout.key(replies))}'"
        "   # as an administrator; or start workers --without-mingle, which nobody can inspect then",
        subject=f"user {user}",
        reason=refused.code,
    )


def starting(ctx: Context) -> list[Process]:
    """Local worker processes of this project that came up moments ago and do not answer yet."""
    answered = {node.pid for node in ctx.fleet.nodes}
    young = [process for process in ctx.absence.local if process.age < STARTING and process.pid not in answered]
    return [process for process in young if _belongs(process, ctx)]


def _connected(process: Process, ctx: Context) -> list[Client]:
    """The broker's connections that end in this process."""
    ports = {str(port) for port in process.ports}
    return [client for client in ctx.fleet.clients or () if client.address.rpartition(":")[2] in ports]


def _belongs(process: Process, ctx: Context) -> bool:
    """Whether a local worker process is this project's: it talks to this database, or runs in the project's directory.

    One that consumes on another database was asked there for its tasks, and has none of the project's: a neighbour.
    """
    here = {str(ctx.target.directory.resolve()), ctx.project.project} if ctx.project else set()
    connected = _connected(process, ctx)
    away = any(client.consumes and client.database != ctx.layout.dsn.database for client in connected)
    return process.directory in here or (bool(connected) and not away)


def _ours(place: Elsewhere, known: set[str] | None) -> bool:
    """Whether workers found elsewhere are this project's: they register its tasks, or nobody told about either's.

    A project without a task of its own has none in common with a worker that has some.
    """
    registered = {task for node in place.fleet.nodes for task in node.registered}
    return known is None or not registered or bool(known & registered)


def _misplaced(ctx: Context, place: Elsewhere) -> Finding:
    names = listed(node.name for node in place.fleet.nodes) or count(place.fleet.silent, "worker")
    if place.kind == "database":
        return fail(
            f"the workers are on database {place.value} of this Redis, the project sends to "
            f"{ctx.layout.dsn.database}: {names}",
            hint=f"one {spelt(ctx, 'broker_url')} for both: {ctx.layout.dsn} here, .../{place.value} at the worker",
            subject=str(ctx.layout.dsn),
            database=int(place.value),
            workers=[node.name for node in place.fleet.nodes],
        )
    return fail(
        f"the workers use the key prefix {place.value!r}, the project {ctx.layout.prefix!r}: {names}",
        hint=f"set the same global_keyprefix in {spelt(ctx, 'broker_transport_options')} of both",
        subject=str(ctx.layout.dsn),
        prefix=place.value,
        workers=[node.name for node in place.fleet.nodes],
    )


def _deaf(ctx: Context, local: Sequence[Process]) -> Iterator[Finding]:
    """Somebody consumes and nobody listens: remote control is off, or the workers are shutting down."""
    for process in local:
        if process.stopped:
            yield _stopped(process)
            return
    consuming = ctx.fleet.consuming
    if any(client.blocked or client.idle <= 2 for client in consuming):
        yield info(
            f"{count(len(consuming), 'worker')} consuming, with remote control off (worker_enable_remote_control)",
            consuming=len(consuming),
        )
        return
    if len(lost := _lost(ctx)) == len(consuming):
        yield _consumer_lost(ctx, lost, [process.pid for process in local])
        return
    yield warn(
        f"{count(len(consuming), 'worker')} holds its connection, listens to nobody and has taken nothing for "
        f"{min(client.idle for client in consuming)} s: shutting down, or full with remote control off",
        hint="look at the worker's log for 'Warm shutdown'; then: intelli-ops check celery.workers --wait 60",
        idle=min(client.idle for client in consuming),
    )


def _lost(ctx: Context) -> list[Client]:
    """Connections over which a worker asked for messages when it came back, and never again, while some wait.

    One that drains, or is full, was asking until a while ago; or it began with this connection.
    """
    if ctx.project is None or not ctx.project.conf.get("worker_enable_remote_control", True):
        return []  # it answers nobody as it is
    idle = (client for client in ctx.fleet.consuming if not client.blocked and client.age > STARTING)
    once = [client for client in idle if client.idle >= client.age - AT_ONCE]
    return [client for client in once if _reconnected(client, ctx)] if _work_waits(ctx) else []


def _reconnected(client: Client, ctx: Context) -> bool:
    """Whether this is not the connection its worker began with; elsewhere, whether Redis had just come up then."""
    port = client.address.rpartition(":")[2]
    here = next((process for process in ctx.absence.local if port in map(str, process.ports)), None)
    if here:
        return here.age > client.age + STARTING
    return ctx.depths.uptime is not None and ctx.depths.uptime - client.age < RECENT


def _work_waits(ctx: Context) -> int:
    return sum(queue.depth for name, queue in ctx.depths.waiting.items() if name in declared(ctx.project))


def _lost_beside_others(ctx: Context) -> Iterator[Finding]:
    """Workers on this machine that came back without a consumer, while others answer and do their work."""
    lost = {client.address.rpartition(":")[2]: client for client in _lost(ctx)} if ctx.fleet.unexplained else {}
    answered = {node.pid for node in ctx.fleet.nodes}
    for process in ctx.absence.local if lost else ():
        ours = [lost[str(port)] for port in process.ports if str(port) in lost]
        if ours and process.pid not in answered and not process.stopped:
            yield _consumer_lost(ctx, ours, [process.pid])


def _consumer_lost(ctx: Context, lost: Sequence[Client], pids: Sequence[int]) -> Finding:
    who = f"worker process {listed(map(str, pids))}" if pids else count(len(lost), "worker")
    depth = _work_waits(ctx)
    stop = f"kill {' '.join(map(str, pids))}   # -9 where it does not end; then: " if pids else "restart it: "
    return fail(
        f"{who} connected {ago(min(client.age for client in lost))} ago, has taken nothing since and answers nobody: "
        f"its consumer did not come back with the connection; {count(depth, 'message')} waiting",
        hint=f"{stop}{start_command(ctx)}   # old releases of celery and kombu do this when Redis restarts: upgrade",
        subject=f"pid {pids[0]}" if pids else str(ctx.layout.dsn),
        pids=list(pids),
    )


def _local(ctx: Context, process: Process) -> Finding:
    """A worker process on this machine that has no consuming connection to this broker."""
    if process.stopped:
        return _stopped(process)
    elsewhere = _consumes_at(process)
    here = bool(elsewhere) and elsewhere == ctx.absence.server
    if process.age < STARTING and (here or not elsewhere):
        return warn(
            f"worker process {process.pid} was started {process.age:.0f} s ago and is not ready yet",
            hint="intelli-ops check celery.workers --wait 30",
            subject=f"pid {process.pid}",
        )
    if here and ctx.project and not ctx.project.conf.get("worker_enable_remote_control", True):
        return info(
            f"worker process {process.pid} is connected to this Redis, with remote control off "
            "(worker_enable_remote_control); what it consumes is not visible",
            subject=f"pid {process.pid}",
        )
    what = f"takes its tasks from {elsewhere}" if elsewhere else "is connected to no broker, or to another one"
    if here:
        what = "is connected to this Redis, on another database or with another key prefix"
    return fail(
        f"no worker listens on this broker; the project's worker process {process.pid} {what}",
        hint=f"compare its {spelt(ctx, 'broker_url')} with {ctx.layout.dsn}; its log says where it connects",
        subject=f"pid {process.pid}",
        command=process.command,
    )


def _consumes_at(process: Process) -> str:
    """Where a worker that is not connected here seems to have its broker: mailbox and queues take a connection each."""
    where, times = next(iter(Counter(process.peers).most_common(1)), ("", 0))
    return where if times > 1 else ""


def _stopped(process: Process) -> Finding:
    return fail(
        f"worker process {process.pid} is stopped (state {process.status}): it exists and does nothing",
        hint=f"kill -CONT {process.pid}   # killing it instead loses what it was about to read",
        subject=f"pid {process.pid}",
        pid=process.pid,
        command=process.command,
    )


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
        yield from _lost_beside_others(ctx)


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
    found = [process for process in ctx.absence.local if process.pid not in answered and _belongs(process, ctx)]
    return sorted(found, key=lambda process: not process.stopped)


def _silent_process(ctx: Context, process: Process) -> Finding:
    subject = f"pid {process.pid}"
    if process.stopped:
        return _stopped(process)
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
