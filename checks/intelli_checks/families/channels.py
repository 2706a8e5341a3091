"""Does the channel layer carry messages between the processes that use it?"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from intelli_checks import Finding, Skip, check, fail, info, warn
from intelli_checks.context import Context
from intelli_checks.families.channels_layers import IN_MEMORY
from intelli_checks.families.places import compare
from intelli_checks.probes.channels import Exchange
from intelli_checks.probes.channels_state import Backlog, LayerState, limit_of
from intelli_checks.probes.survey import LayerDecl, Survey

EXPIRY = 60
"""Seconds, channels_redis's default."""
MANY = 1000
"""Members left behind by processes that are gone; fewer are what any crash leaves for a day."""


@check(
    "channels.round_trip",
    timeout=15.0,
    needs=["channels.layer", "channels.in_memory", "redis.channels"],
    after=["celery.places"],
)
def round_trip(ctx: Context) -> Iterator[Finding]:
    """A message sent to a group arrives in another process.

    Runs in the project's own interpreter with its own layer, in two processes at every place (`--via web=...
    --via worker=...`) at the same time; each joins a group of ours, greets the others, and says whom it heard.
    Cause of silence: different hosts, database, prefix or keys, a layer that lives in one process, an ACL.
    Shows as: jobs finish, the browser never hears of it. Fix: one CHANNEL_LAYERS for all processes.
    """
    exchanges = [one for one in ctx.exchanges if not one.backend.endswith(IN_MEMORY)]
    if not exchanges:
        raise Skip("the layer lives in one process, as channels.in_memory says")
    if len(ctx.surveys) > 1 and _differ(ctx):
        raise Skip("the places have different layers", because="celery.places")
    if broken := [one for one in exchanges if one.error]:
        yield from _broken(broken)
        return
    for alias, talk in groupby(sorted(exchanges, key=lambda one: one.alias), key=lambda one: one.alias):
        yield from _silence(alias, list(talk))


def _broken(exchanges: list[Exchange]) -> Iterator[Finding]:
    for (alias, error), same in groupby(exchanges, key=lambda one: (one.alias, one.error)):
        first = next(iter(same))
        yield fail(
            f"layer {alias or '?'}: {first.step} ended with {error}",
            hint=_repair(error),
            subject=first.participant,
            backend=first.backend,
        )


def _repair(error: str) -> str:
    if "InvalidToken" in error or "decrypt" in error.lower() or "Unable to deserialize" in error:
        return "give every process the same symmetric_encryption_keys in CHANNEL_LAYERS, then restart them all"
    if "ModuleNotFoundError" in error or "ImportError" in error:
        return "pip install channels-redis (with symmetric_encryption_keys: channels-redis[cryptography])"
    return "intelli-ops check redis.channels; then correct CHANNEL_LAYERS"


def _silence(alias: str, talk: list[Exchange]) -> Iterator[Finding]:
    """Who did not hear whom."""
    deaf = [(one, other) for one in talk for other in talk if _should_hear(one, other) and not _heard(one, other)]
    if not deaf:
        slowest = max(ms for one in talk for ms in one.heard.values())
        yield info(f"layer {alias}: {len(talk)} processes hear each other, the slowest after {slowest:.0f} ms")
        return
    one, other = next(((one, other) for one, other in deaf if one.place != other.place), deaf[0])
    heard = ", ".join(one.heard) or "nobody"
    yield fail(
        f"layer {alias}: what {other.participant} sends to a group never reaches {one.participant} (it heard {heard})",
        hint="one CHANNEL_LAYERS for all processes: a layer on Redis, the same hosts, database, prefix and keys",
        subject=alias,
        backend=one.backend,
    )


def _should_hear(one: Exchange, other: Exchange) -> bool:
    """A place's own interpreter hears everybody's; a second process is only asked about its own place."""
    return (one.main and other.main) or one.place == other.place


def _heard(one: Exchange, other: Exchange) -> bool:
    return one is other or other.participant in one.heard


def _differ(ctx: Context) -> bool:
    return any(finding.subject.startswith("channel layer") for finding in compare(ctx.surveys))


@check("channels.capacity", timeout=15.0, needs=["channels.round_trip"])
def capacity(ctx: Context) -> Iterator[Finding]:
    """A burst of events fits into the layer.

    All sockets of one web process share one queue of `capacity` messages (default 100). What does not fit is dropped:
    group_send raises nothing and channels_redis logs it at INFO only. Shows as: progress events missing under load.
    Sends fifty messages to a group of ours before it reads them, and counts. Fix: "CONFIG": {"capacity": 1500, ...}.
    """
    for one in ctx.exchanges:
        if one.sent and one.received < one.sent:
            yield warn(
                f"layer {one.alias}: of a burst of {one.sent} events {one.sent - one.received} were dropped in silence"
                + (f" (capacity {one.capacity})" if one.capacity else ""),
                hint='CHANNEL_LAYERS: "CONFIG": {"capacity": 1500, ...}, or send fewer events',
                subject=one.place,
                capacity=one.capacity,
            )


@check("channels.backlog", needs=["redis.channels", "websocket.server"], after=["channels.capacity"])
def backlog(ctx: Context) -> Iterator[Finding]:
    """Web processes and workers of Channels read what is sent to them.

    Each process has one queue in Redis; a healthy one is empty. At `capacity` every further event for any of its
    sockets is dropped without an error. Cause: a web process that is frozen, blocked by synchronous code in a consumer,
    or gone. Shows as: ZCARD of `asgispecific.…!` at the capacity. Fix: restart that process.
    A channel with a name is read by `manage.py runworker NAME`; when it is full, `send()` raises ChannelFull.
    """
    for state in ctx.layer_states:
        for one in state.backlogs:
            limit = limit_of(_declared(ctx), one)
            yield from _named(state, one, limit) if one.named else _of_process(state, one, limit)


def _waits(one: Backlog) -> str:
    return f"{one.waiting} messages wait in {one.key}, the oldest for {one.seconds or 0:.0f} s"


def _of_process(state: LayerState, one: Backlog, limit: int) -> Iterator[Finding]:
    if one.waiting >= limit:
        gone = state.readers is not None and not state.stalled  # a blocked reader would have emptied it
        why = "the process that should read them is gone" if gone else "the web process does not read them"
        full = f"{_waits(one)}: full (capacity {limit}), every further event for its sockets is dropped; {why}"
        hint = "restart the web process (find it: intelli-ops channels); more room: CONFIG capacity"
        yield (warn if gone else fail)(full, hint=hint, subject=state.name, waiting=one.waiting, capacity=limit)
    elif (one.seconds or 0) > EXPIRY / 6 and state.stalled:
        yield warn(f"{_waits(one)}: a web process hangs", hint="restart the web process", subject=state.name)


def _named(state: LayerState, one: Backlog, limit: int) -> Iterator[Finding]:
    """A channel with a name has its own reader: a worker of Channels."""
    hint = f"python manage.py runworker {one.channel}   # keep it running beside the web server"
    if one.waiting >= limit:
        full = f"{_waits(one)}: full (capacity {limit}), send() raises ChannelFull; nobody reads channel {one.channel}"
        yield fail(full, hint=hint, subject=state.name, waiting=one.waiting, capacity=limit)
    elif (one.seconds or 0) > EXPIRY / 6:
        yield warn(f"{_waits(one)}: nobody reads channel {one.channel}", hint=hint, subject=state.name)


@check("channels.prefix", needs=["redis.channels"], after=["channels.capacity"])
def prefix(ctx: Context) -> Iterator[Finding]:
    """Groups of one project live under one prefix.

    Cause: a process started with another `prefix` than its partners, or two environments in one database. Shows as:
    sends succeed and nothing arrives, or events of another environment arrive. Fix: the same prefix for one system, a
    database or prefix of its own for each. Example: keys asgi:group:job_7 and staging:group:job_7 in one database.
    """
    declared = {layer.prefix for layer in _declared(ctx)}
    for state in ctx.layer_states:
        foreign = sorted(state.prefixes - declared) if declared else []
        if not foreign or any("__" in name for name in foreign):
            continue
        counted = ", ".join(f"{_groups(state, name)} under {name!r}" for name in foreign)
        ours = ", ".join(f"{_groups(state, name)} under {name!r}" for name in sorted(declared))
        yield warn(
            f"this project's groups: {ours}; others in the same database: {counted}: another project, or a process of "
            "this one with other settings, which it cannot reach",
            hint="give every process of this project the same prefix, and every other project its own database",
            subject=state.name,
            prefixes=sorted(state.prefixes),
        )


def _groups(state: LayerState, prefix: str) -> int:
    return sum(group.prefix == prefix for group in state.groups)


@check("channels.groups", needs=["redis.channels"], after=["channels.capacity"])
def groups(ctx: Context) -> Iterator[Finding]:
    """Groups do not collect members that are gone.

    A consumer that never calls group_discard, or a process that was killed, stays a member until `group_expiry` (a
    day), and every group_send writes to it. Shows as: groups that only grow, sends that get slower.
    Fix: group_discard in disconnect(). `intelli-ops channels` lists groups and members.
    """
    for state in ctx.layer_states:
        members = sum(group.members for group in state.groups)
        subject = state.name
        yield info(f"{state.group_count} groups, {members} members, {state.readers or 0} readers", subject=subject)
        largest = max(state.groups, key=lambda group: group.members, default=None)
        if largest and members > MANY and state.readers == 0 and not state.stalled:
            yield warn(
                f"{members} members and no process that reads: left behind (most in {largest.name}: {largest.members})",
                hint="call channel_layer.group_discard in disconnect(), and set group_expiry lower",
                subject=subject,
            )


def _declared(ctx: Context) -> tuple[LayerDecl, ...]:
    survey: Survey | None = ctx.project
    return survey.layers if survey else ()
