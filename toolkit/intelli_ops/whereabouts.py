"""What is said of one task: where it is, and what its state means."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from intelli_checks.context import Context
from intelli_checks.model import Skip, Unavailable
from intelli_checks.probes.trace import Trace
from intelli_ops import exits

_FINAL = {"SUCCESS", "FAILURE", "REVOKED"}


@dataclass(frozen=True, slots=True)
class Told:
    """The answer, for people and for programs."""

    id: str
    where: str
    """`ended`, `running`, `held`, `delivered`, `waiting`, `stored`, `nowhere` or `unknown`."""
    state: str
    """What `AsyncResult(id).state` says."""
    lines: tuple[str, ...]
    code: int


def tell(trace: Trace, ctx: Context) -> Told:
    """The first line says where the task is, the others why, and what to do."""
    for look in (_ended, _held, _waiting, _delivered, _stored, _unknown):
        if lines := list(look(trace, ctx)):
            where = look.__name__.removeprefix("_")
            break
    else:
        where, lines = "nowhere", ["no trace: it waits in no queue, no worker holds it, nothing is stored for it"]
    if not trace.state:
        lines += _pending(trace, ctx)
    code = {"nowhere": exits.FAILED, "unknown": exits.COULD_NOT_TELL}.get(where, exits.HEALTHY)
    shown = (f"{trace.id}: {lines[0]}", *(f"  {line}" for line in lines[1:]))
    return Told(trace.id, where, trace.state or "PENDING", shown, code)


def _ended(trace: Trace, ctx: Context) -> Iterator[str]:
    if trace.state in _FINAL:
        yield f"ended: {trace.state}{f', {trace.failure}' if trace.failure else ''}"
    if trace.state == "FAILURE":
        if trace.failure.startswith("NotRegistered"):
            yield "fix: intelli-ops check celery.tasks"
        else:
            yield "its traceback is in the worker's log, and in AsyncResult(id).traceback"


def _held(trace: Trace, ctx: Context) -> Iterator[str]:
    for node, request in trace.held:
        if request.started is not None:
            seconds = max(0.0, ctx.fleet.taken - request.started)
            yield f"runs on {node.name} for {seconds:.0f} s: {request.name}"
        else:
            when = f", to start at {request.eta}" if request.eta else "; its turn has not come"
            yield f"held by {node.name}: {request.name}{when}"


def _waiting(trace: Trace, ctx: Context) -> Iterator[str]:
    if trace.queue is None:
        return
    consumers = ctx.fleet.consumers(trace.queue)
    yield f"waits in queue {trace.queue}, {trace.ahead} before it"
    if consumers:
        yield f"consumed by {', '.join(node.name for node in consumers)}"
    else:
        yield f"NOBODY who answers consumes {trace.queue}"
        yield f"fix: celery -A {ctx.target.app or 'APP'} worker -Q {trace.queue}"


def _delivered(trace: Trace, ctx: Context) -> Iterator[str]:
    if trace.delivered is not None:
        since = max(0.0, ctx.depths.taken - trace.delivered)
        again = max(0.0, ctx.layout.visibility_timeout - since)
        yield f"delivered {since:.0f} s ago, and no worker that answers holds it; delivered again in {again:.0f} s"
        yield "fix: intelli-ops check celery.unacked"


def _stored(trace: Trace, ctx: Context) -> Iterator[str]:
    if trace.state:
        yield f"{trace.state}, but it waits nowhere and no worker that answers holds it"
        yield "fix: intelli-ops check celery.lost"


def _unknown(trace: Trace, ctx: Context) -> Iterator[str]:
    parts = [f"{trace.unseen} messages were not looked at"] if trace.unseen else []
    if ctx.fleet.silent:
        parts.append(f"{ctx.fleet.silent} of {ctx.fleet.listeners} workers did not answer")
    if not trace.store and not _off(ctx):
        parts.append("no result store could be read (--results URL)")
    if parts:
        yield f"could not tell: {', '.join(parts)}"


def _pending(trace: Trace, ctx: Context) -> Iterator[str]:
    """What PENDING means here: Celery says it of every id of which it has stored nothing."""
    if not trace.store and (reason := _off(ctx)):
        yield f"PENDING for ever: {reason}"
    elif trace.held and not _tracks(ctx):
        yield "PENDING until it ends: task_track_started is off, so nothing is stored when it starts"
    elif trace.held or trace.queue is not None or trace.delivered is not None:
        yield "PENDING: nothing is stored for it yet"
    else:
        yield "PENDING is what Celery says of every id it has nothing stored for. One of these:"
        yield "- never sent: the transaction rolled back, the sender runs in EAGER mode, or the id is another system's"
        yield "- sent to another broker or database: intelli-ops check celery.places --via web=CMD --via worker=CMD"
        yield f"- it ended, and its result expired ({_expiry(ctx)}) or was ignored (ignore_result)"
        yield "- it was revoked, or it had expired before a worker took it"


def _tracks(ctx: Context) -> bool:
    """Whether workers store STARTED."""
    return bool(ctx.project and ctx.project.conf.get("task_track_started"))


def _off(ctx: Context) -> str:
    """Why the project keeps no results that this project could read; empty when it does, or when nobody could say."""
    try:
        _ = ctx.results_endpoint
    except Skip as reason:
        return "" if reason.because or not ctx.project else str(reason)
    except Unavailable:
        return ""
    return ""


def _expiry(ctx: Context) -> str:
    seconds = ctx.project.conf.get("result_expires") if ctx.project else None
    return f"result_expires is {seconds:g} s" if isinstance(seconds, int | float) else "result_expires"
