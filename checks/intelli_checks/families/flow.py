"""Does one real job come through, and where does it stop?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from intelli_checks import Finding, Skip, Stage, check, fail, info
from intelli_checks.context import Context
from intelli_checks.families.declared import listed
from intelli_checks.families.websocket_words import LOOK, code
from intelli_checks.probes.flow import Flow, Run
from intelli_checks.probes.flow_broker import Broker
from intelli_checks.probes.flow_plan import Plan
from intelli_checks.probes.flow_timeline import hops, percentiles


@dataclass(frozen=True, slots=True)
class Broken:
    """The first hop that did not hold."""

    hop: str
    message: str
    hint: str


@check(
    "flow.job",
    stage=Stage.DEEP,
    timeout=120.0,
    needs=[
        "websocket.server",
        "celery.app",
        "redis.broker",
        "redis.channels",
        "channels.handlers",
        "channels.group_names",
        "websocket.handshake",
    ],
    after=["websocket.delivery"],  # our job's events would reach the socket that waits for another message there
)
def job(ctx: Context) -> Iterator[Finding]:
    """One real job comes through, from the request to its last event.

    Posts the job that `[flow]` describes, tagged, and follows it by HTTP and over its WebSocket: accepted, row visible,
    taken by a worker, ended, artifact readable, event on the socket. Names the first hop that broke, with what both
    sides of it saw, and cleans up as `[flow] cleanup` says.
    `--repeat N` gives percentiles of each hop, `--plot FILE` a picture of them.
    """
    flow = ctx.flow
    for run in flow.runs:
        if broken := first_broken(flow.plan, run):
            yield fail(
                f"{broken.hop}: {broken.message}",
                hint=broken.hint,
                subject=f"job {run.id}" if run.id else run.tag,
                timeline=[f"{hop.name} {hop.at:.3f} s" for hop in hops(flow.plan, run)],
            )
            return
    if not flow.runs:
        raise Skip("no time was left to run a job: give it longer with --timeout")
    yield from _told(flow)


def _told(flow: Flow) -> Iterator[Finding]:
    if len(flow.runs) == 1:
        for hop in hops(flow.plan, flow.runs[0]):
            yield info(f"{hop.at * 1000:8.0f} ms  {hop.name}{f': {hop.detail}' if hop.detail else ''}")
        return
    for name, quantiles in percentiles(flow).items():
        floor, p50, p95, worst = (round(seconds * 1000) for seconds in quantiles)
        yield info(
            f"{name}: floor {floor} ms, p50 {p50} ms, p95 {p95} ms, worst {worst} ms, n {len(flow.runs)}",
            subject=name, floor_ms=floor, p50_ms=p50, p95_ms=p95, worst_ms=worst,
        )  # fmt: skip


def first_broken(plan: Plan, run: Run) -> Broken | None:
    """The first hop that broke, in the order in which a job passes them."""
    for judge in (_accepted, _visible, _taken, _ended, _readable, _heard):
        if broken := judge(plan, run):
            return broken
    return None


def _accepted(plan: Plan, run: Run) -> Broken | None:
    asked = f"{plan.method} {plan.path} answered {run.status}"
    if run.status not in plan.accepted:
        said = f" and leads to {run.location}" if run.location else f": {run.answer}"
        return Broken("request", f"{asked}{said}", _wanted(plan, run))
    if not run.id:
        return Broken("request", f"{asked} without {plan.id!r}: {run.answer}", "correct [flow] id")
    return None


_CREDENTIALS = 'credentials: [flow] headers = { Authorization = "Token ${TOKEN}" }, which reads the variable TOKEN'


_SOCKET_LOGIN = (
    'does it want a login? [flow] headers = { Cookie = "sessionid=${SESSION}" }, or ${TOKEN} in the query of [flow] '
    "websocket, which reads the variable TOKEN; else intelli-ops check websocket"
)


def _wanted(plan: Plan, run: Run) -> str:
    """What the request lacks, by how it was refused."""
    leads = urlsplit(run.location)
    if leads.path == f"{plan.path}/":
        return f'[flow] path = "{plan.path}/"'
    if leads.scheme == "https" and leads.path == plan.path:
        return f"--web https://{leads.netloc}, or have it say what the proxy says: [flow] headers, X-Forwarded-Proto"
    if "csrf" in run.answer.lower():
        return f"a session's cookies call for a CSRF token; rather {_CREDENTIALS}"
    refused = run.status in {401, 403} or run.location
    return _CREDENTIALS if refused else f"{LOOK}; compare [flow] with the API"


def _untold(plan: Plan, run: Run) -> Broken | None:
    """The job's page answers, and not with its state."""
    asked = f"{plan.method} {plan.path} was accepted, and {plan.status_path} answers {run.unseen}"
    if run.unseen == 200:
        return Broken("row", f"{asked} without {plan.status!r}: {run.instead}", "correct [flow] status")
    if run.unseen in {301, 302, 303, 307, 308, 401, 403}:
        return Broken("row", f"{asked}: {run.instead}", f"{_CREDENTIALS}; is [flow] status_path right?")
    if (run.unseen or 0) >= 500:
        return Broken("row", f"{asked}: {run.instead}", LOOK)
    return None


def _visible(plan: Plan, run: Run) -> Broken | None:
    if run.visible is not None:
        return None
    if broken := _untold(plan, run):
        return broken
    return Broken(
        "row",
        f"the request was accepted after {run.accepted:.2f} s, and the job never appeared ({plan.status_path} answered "
        f"{run.unseen})",
        "the transaction was rolled back, or the answer left before the commit: enqueue and answer on commit "
        "(transaction.on_commit); is [flow] status right?",
    )


def _taken(plan: Plan, run: Run) -> Broken | None:
    if run.state not in plan.waiting:
        return None
    broker = run.broker or Broker(problem="it was not asked")
    before = f"the row says {run.state} for {run.seconds:.0f} s"
    unread = {name: depth for name, depth in broker.waiting.items() if name not in broker.consumed}
    if broker.problem:
        return Broken("queue", f"{before}; the broker could not be asked: {broker.problem}", "intelli-ops check celery")
    if unread:
        name, depth = next(iter(unread.items()))
        return Broken(
            "worker",
            f"{before}; {depth} wait in {name}, which no worker consumes (consumed: {listed(broker.consumed)})",
            f"start a worker for it: celery worker -Q {name}, or route the task to a queue that is consumed",
        )
    if broker.running or any(broker.waiting.values()):
        busy = listed(broker.running) or f"{sum(broker.waiting.values())} messages before it"
        return Broken("worker", f"{before}; the workers are busy: {busy}", "more workers, or wait: [flow] timeout")
    if not broker.workers:
        return Broken("worker", f"{before}; no worker answers", "start the workers; intelli-ops check celery.workers")
    return Broken(
        "queue",
        f"{before}; no queue holds a message and no worker runs it: it was never sent, was lost, or failed before it "
        "touched the row",
        "send in transaction.on_commit, not inside the transaction; look into the worker's log for DoesNotExist",
    )


def _ended(plan: Plan, run: Run) -> Broken | None:
    if run.state in plan.failed:
        why = f": {run.error}" if run.error else ""
        return Broken(
            "task", f"the job ended {run.state} after {run.states[-1][0]:.2f} s{why}", "the worker's log says why"
        )
    if run.state in plan.succeeded:
        return None
    running = listed(run.broker.running) if run.broker else ""
    where = f"; runs: {running}" if running else "; no worker runs it any more"
    waits = "a task without time limits waits for something: soft_time_limit; intelli-ops check celery.stuck"
    return Broken(
        "task",
        f"the job was taken and is still {run.state} after {run.seconds:.0f} s{where}",
        waits if running else f'is that its end? [flow] succeeded = [..., "{run.state}"], or failed; else {waits}',
    )


_SHARED = "worker and web server must share MEDIA_ROOT (one volume, one path); intelli-ops check celery.places"


def _readable(plan: Plan, run: Run) -> Broken | None:
    if plan.artifact and not run.artifacts:
        return Broken(
            "artifact", f"the job {run.state} and names no artifact ({plan.artifact})", "correct [flow] artifact"
        )
    for one in run.artifacts:
        if one.status != 200 or not one.size:
            return Broken(
                "artifact",
                f"the worker says {run.state}, and {one.url} answers {one.status or 'nothing'} with {one.size} bytes",
                _CREDENTIALS if one.status in {401, 403} else _SHARED,
            )
    return None


def _heard(plan: Plan, run: Run) -> Broken | None:
    if not plan.websocket:
        return None
    ended = f"the job {run.state} by HTTP"
    if run.subscribed is None:
        hint = _SOCKET_LOGIN if run.refusal in {"HTTP 401", "HTTP 403"} else "intelli-ops check websocket"
        return Broken("socket", f"{ended}, and its WebSocket was not opened: {run.refusal}", hint)
    if run.close_code is not None and not any(frame.name in plan.terminal for frame in run.frames):
        return Broken(
            "socket",
            f"{ended}, and its WebSocket was closed with {code(run.close_code)} after {len(run.frames)} frames: the "
            "consumer died of an event",
            f"no handler for the event's type, or one that raises: {LOOK}",
        )
    if not plan.terminal or any(frame.name in plan.terminal for frame in run.frames):
        return None
    last = run.states[-1][0]
    if len(run.states) == 1 or run.subscribed > last:
        return _too_late(run, ended, last)
    return Broken(
        "event",
        f"{ended}, its WebSocket was open since {run.subscribed:.3f} s and heard {len(run.frames)} frames, none of "
        f"{listed(plan.terminal)}",
        "the worker sends into another layer or group than the socket listens to: intelli-ops check channels websocket",
    )


def _too_late(run: Run, ended: str, last: float) -> Broken:
    """The job was over before we could listen; what was told then is nobody's to hear again."""
    snapshot = "send the current state when a consumer connects: layers keep nothing for late comers"
    if run.subscribed is not None and run.subscribed > last:
        before = f"before its WebSocket was open ({run.subscribed:.3f} s), and it told nothing of what was over"
        return Broken("event", f"{ended} after {last:.3f} s, {before}", snapshot)
    return Broken(
        "event",
        f"{ended} when it was looked at first ({last:.3f} s), and its WebSocket told nothing of what was over",
        f"{snapshot}; if it does, group or layer differ: intelli-ops check channels websocket",
    )
