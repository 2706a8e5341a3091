"""The hops of a job, and what they cost over many jobs. No I/O, no opinion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from intelli_checks.probes.flow import Flow, Run
from intelli_checks.probes.flow_plan import Plan


@dataclass(frozen=True, slots=True)
class Hop:
    """Something that happened to the job."""

    name: str
    at: float
    """Seconds since the request was sent."""
    detail: str = ""


def hops(plan: Plan, run: Run) -> tuple[Hop, ...]:
    """What was seen of the job, in the order in which it happened."""
    return tuple(sorted(_hops(plan, run), key=lambda hop: hop.at))


def _hops(plan: Plan, run: Run) -> Iterator[Hop]:
    if run.accepted is not None:
        yield Hop("accepted", run.accepted, f"HTTP {run.status}")
    if run.visible is not None:
        yield Hop("row visible", run.visible)
    if run.subscribed is not None:
        yield Hop("socket open", run.subscribed)
    yield from _taken(plan, run)
    yield from _tasks(plan, run)
    if run.frames:
        yield Hop("first frame", run.frames[0].at, run.frames[0].name)
    yield from (Hop("last event", frame.at, frame.name) for frame in run.frames if frame.name in plan.terminal)
    if run.state in {*plan.succeeded, *plan.failed}:
        yield Hop("ended", run.states[-1][0], run.state)
    if run.artifacts:
        size = sum(one.size for one in run.artifacts)
        yield Hop("artifacts read", run.artifacts[-1].at, f"{len(run.artifacts)}, {size} bytes")


def _taken(plan: Plan, run: Run) -> Iterator[Hop]:
    """The first sign that a worker has it, by whichever way it came first."""
    told = [at for at, state in run.states if state not in plan.waiting]
    told += [frame.at for frame in run.frames if frame.name in plan.started]
    if told:
        yield Hop("taken", min(told))


def _tasks(plan: Plan, run: Run) -> Iterator[Hop]:
    """Of each queue the slowest wait and the longest run, as the events tell them."""
    waits: dict[str, float] = {}
    runs: dict[str, float] = {}
    begun: dict[str, float] = {}
    last: dict[str, float] = {}
    free = run.accepted or 0.0
    for frame in run.frames:
        if frame.name in plan.started and frame.queue:
            begun[frame.task] = frame.at
            waits[frame.queue] = max(waits.get(frame.queue, 0.0), frame.at - free)
        elif frame.name in plan.ended and frame.task in begun:
            runs[frame.queue] = max(runs.get(frame.queue, 0.0), frame.at - begun[frame.task])
            last[frame.queue] = free = frame.at
    for queue, at in last.items():
        yield Hop(f"queue {queue}", at, f"waited {waits[queue] * 1000:.0f} ms, ran {runs[queue] * 1000:.0f} ms")


def percentiles(flow: Flow) -> Mapping[str, tuple[float, float, float, float]]:
    """Hop -> best, median, 95th percentile and worst of its seconds, by nearest rank."""
    seen: dict[str, list[float]] = {}
    for run in flow.runs:
        for hop in hops(flow.plan, run):
            seen.setdefault(hop.name, []).append(hop.at)
    return {name: _ranks(sorted(values)) for name, values in seen.items()}


def _ranks(values: list[float]) -> tuple[float, float, float, float]:
    last = len(values) - 1
    return values[0], values[last // 2], values[round(0.95 * last)], values[last]
