"""Why does nobody listen? A worker elsewhere, one that hangs, one that is refused, or none at all."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from intelli_checks.context import Context
from intelli_checks.families.celery_started import led_by, look_there, started_otherwise, started_with
from intelli_checks.families.declared import setting, spelt, transport_lacking
from intelli_checks.families.places import overriding
from intelli_checks.families.wording import ago, count, listed, start_command, which
from intelli_checks.model import Finding, Severity, Unavailable, fail, info, warn
from intelli_checks.probes.absence import Elsewhere
from intelli_checks.probes.clients import Client
from intelli_checks.probes.denials import Denial
from intelli_checks.probes.processes import Process
from intelli_checks.probes.queues import declared
from intelli_checks.probes.redis_facts import Refusal, redis_cli
from intelli_checks.probes.survey import Survey
from intelli_checks.text import safe

STARTING = 15.0
"""Seconds a worker is given to come up before its absence means something."""
AT_ONCE = 5.0
"""Seconds in which a worker that is up has asked for its first message."""
RECENT = 60.0
"""Seconds since a refusal that may still be the reason."""


def reasons(ctx: Context) -> Iterator[Finding]:
    """Why nobody is there; where another check names the reason, `Unavailable` leaves the word to it."""
    found = tuple(_nobody(ctx))
    worst = next((finding for finding in found if finding.severity is Severity.ERROR), None)
    if worst and ctx.project and (cause := said_elsewhere(ctx.project)):
        raise Unavailable(worst.message, hint=worst.hint, subject=worst.subject, cause=cause)
    yield from found


def said_elsewhere(project: Survey) -> str:
    """The check that says why no worker is there: where the project does not load here, it does not load there."""
    if overriding(project):
        return "celery.environment"
    if "unexpected keyword" in str(project.extra.get("broker_refused")) or transport_lacking(project):
        return "celery.broker_url"
    return "celery.app" if project.error("settings", "app", "celery", "drivers") else ""


def _nobody(ctx: Context) -> Iterator[Finding]:
    absence, fleet = ctx.absence, ctx.fleet
    related = [place for place in absence.elsewhere if _ours(place, _known(ctx))]
    if fleet.consuming:  # then another database is not the reason: staging and production may share a server
        related = [place for place in related if place.kind == "prefix"]
    if related:
        yield from (_misplaced(ctx, place) for place in related)
    elif fleet.consuming:
        yield from _deaf(ctx, [process for process in absence.local if _connected(process, ctx)])
    elif denied := _denied(ctx):
        yield _refused(denied)
    elif ours := [process for process in absence.local if belongs(process, ctx)]:
        yield from (_local(ctx, process) for process in ours)
    elif absence.refused:
        yield _ends_at_once(ctx, absence.refused[0])
    elif ctx.project and ctx.project.extra.get("root_refused"):
        yield fail(
            "no worker listens on this broker, and one that root starts ends at once: workers accept pickle",
            hint=f'{setting(ctx.project, "accept_content")} = ["json"]   # or another user; C_FORCE_ROOT=1 insists',
            subject=str(ctx.layout.dsn),
        )
    else:
        held, aside = _in_hand(ctx)
        yield fail(
            f"no worker listens on this broker{held}",
            hint=start_command(ctx) + aside,
            subject=str(ctx.layout.dsn),
            last_seen=list(fleet.bound),
            beat=list(fleet.others),
        )


def _in_hand(ctx: Context) -> tuple[str, str]:
    """What the last worker held when it ended, and what to do where it is a message that ends them all."""
    found = ctx.depths.unacked.oldest
    again = [delivered for delivered in found if delivered.message.redelivered]
    if not found:
        return "", ""
    if not again:
        return f"; the last one held {which(found)} when it ended", ""
    table, index = ctx.layout.key(ctx.layout.unacked), ctx.layout.key(ctx.layout.unacked_index)
    tag, cli = safe(again[0].tag), redis_cli(ctx.layout.dsn)
    return (
        f"; the last one held {which(again)} when it ended, delivered more than once: it may be what ends them",
        f"   # ends again? Then set that message aside: {cli} HDEL {table} {tag}; {cli} ZREM {index} {tag}",
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
    return [process for process in young if belongs(process, ctx)]


def _connected(process: Process, ctx: Context) -> list[Client]:
    """The broker's connections that end in this process."""
    ports = {str(port) for port in process.ports}
    return [client for client in ctx.fleet.clients or () if client.address.rpartition(":")[2] in ports]


def belongs(process: Process, ctx: Context) -> bool:
    """Whether a local worker process is this project's: it talks to this database, or runs in the project's directory.

    One that consumes on another database was asked there for its tasks, and has none of the project's: a neighbour. So
    is the worker of another application that lives in the same repository.
    """
    if _of_another_app(process, ctx):
        return False
    here = {str(ctx.target.directory.resolve()), ctx.project.project} if ctx.project else set()
    connected = _connected(process, ctx)
    away = any(client.consumes and client.database != ctx.layout.dsn.database for client in connected)
    return process.directory in here or (bool(connected) and not away)


def _of_another_app(process: Process, ctx: Context) -> bool:
    """Whether it told that it has none of the project's tasks, or was started with an app of another package."""
    strangers = (place for place in ctx.absence.elsewhere if not _ours(place, _known(ctx)))
    if process.pid in {node.pid for place in strangers for node in place.fleet.nodes}:
        return True
    named = re.search(r"\s(?:-A|--app)[ =]?(\w+)\.\w", process.command)
    package, dot, _ = str(ctx.project and ctx.project.celery_app).partition(".")
    return bool(named and dot and named[1] != package)


def _known(ctx: Context) -> set[str] | None:
    """The names of the project's tasks; None where it did not tell."""
    told = ctx.project is not None and not ctx.project.error("tasks")
    return {task.name for task in ctx.project.tasks} if ctx.project and told else None


def _ours(place: Elsewhere, known: set[str] | None) -> bool:
    """Whether workers found elsewhere are this project's: they register its tasks, or nobody told about either's.

    A project without a task of its own has none in common with a worker that has some.
    """
    registered = {task for node in place.fleet.nodes for task in node.registered}
    return known is None or not registered or bool(known & registered)


def _misplaced(ctx: Context, place: Elsewhere) -> Finding:
    names = listed(node.name for node in place.fleet.nodes) or count(place.fleet.silent, "worker")
    why, instead = _started_otherwise(ctx, [node.pid for node in place.fleet.nodes])
    if place.kind == "database":
        return fail(
            f"the workers are on database {place.value} of this Redis, the project sends to "
            f"{ctx.layout.dsn.database}: {names}{why}",
            hint=instead
            or f"one {spelt(ctx, 'broker_url')} for both: {ctx.layout.dsn} here, .../{place.value} at the worker",
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
            yield stopped(process)
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


def lost_beside_others(ctx: Context) -> Iterator[Finding]:
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
        return stopped(process)
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
    why, instead = _started_otherwise(ctx, [process.pid])
    what = f"takes its tasks from {elsewhere}" if elsewhere else "is connected to no broker, or to another one"
    if here:
        what = "is connected to this Redis, on another database or with another key prefix"
    return fail(
        f"no worker listens on this broker; the project's worker process {process.pid} {what}{why}",
        hint=instead or f"compare its {spelt(ctx, 'broker_url')} with {ctx.layout.dsn}; its log says where it connects",
        subject=f"pid {process.pid}",
        command=process.command,
    )


def _started_otherwise(ctx: Context, pids: Iterable[int]) -> tuple[str, str]:
    """What one of these workers was started with that the project here was not, and what to do about it."""
    known = started_otherwise(ctx)
    for pid in pids:
        name, value = known[pid].origin if pid in known else ("", "")
        if name.startswith("-"):
            return f": it was started with {started_with(name, value)}", f"{start_command(ctx)}   # without {name}"
        if name:
            how = f"give pid {pid} the {name} of whoever sends, then restart it"
            return f": it was started with {started_with(name, value)}", how
        if led := led_by(ctx, pid):
            how = f"give pid {pid} the {safe(led.variable)} of whoever sends, then restart it"
            return f": it was started with {started_with(led.variable, led.url)}", f"{how}; or: {look_there(led)}"
    return "", ""


def _consumes_at(process: Process) -> str:
    """Where a worker that is not connected here seems to have its broker: mailbox and queues take a connection each."""
    where, times = next(iter(Counter(process.peers).most_common(1)), ("", 0))
    return where if times > 1 else ""


def stopped(process: Process) -> Finding:
    """A process that SIGSTOP or a debugger holds."""
    return fail(
        f"worker process {process.pid} is stopped (state {process.status}): it exists and does nothing",
        hint=f"kill -CONT {process.pid}   # killing it instead loses what it was about to read",
        subject=f"pid {process.pid}",
        pid=process.pid,
        command=process.command,
    )
