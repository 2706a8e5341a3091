"""Which hop is the first that broke, from facts alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from intelli_checks.probes.flow import Artifact, Flow, Frame, Run
from intelli_checks.probes.flow_broker import Broker
from intelli_checks.probes.flow_plan import Plan, fill, picture, select
from intelli_checks.probes.flow_timeline import hops, percentiles
from intelli_checks.registry import registry

registry.load()  # a family's needs are declared by the families before it

PLAN = Plan(
    "/jobs", "id", "/jobs/{id}", artifact="url", websocket="/ws/{id}", event_name="name", terminal=("end",),
    started=("start",), ended=("stop",),
)  # fmt: skip
GOOD = Run(
    "tag", "7", 202, 0.01, visible=0.02, subscribed=0.03, states=((0.02, "queued"), (0.2, "done")),
    frames=(Frame(0.05, "start", "ai", "1"), Frame(0.15, "stop", "ai", "1"), Frame(0.21, "end")),
    artifacts=(Artifact("/a", 200, 10, 0.25),), seconds=0.3,
)  # fmt: skip
QUEUED = replace(GOOD, states=((0.02, "queued"),), frames=(), artifacts=())


def first_broken(plan, run):
    from intelli_checks.families import flow

    return flow.first_broken(plan, run)


def test_a_job_that_came_through_has_no_broken_hop():
    assert first_broken(PLAN, GOOD) is None


@pytest.mark.parametrize(
    ("run", "hop", "words"),
    [
        (replace(GOOD, status=500, id="", answer="oops"), "request", "answered 500: oops"),
        (replace(GOOD, id=""), "request", "without 'id'"),
        (replace(QUEUED, visible=None, states=(), unseen=404), "row", "answered 404"),
        (replace(QUEUED, broker=Broker({"ai": 3}, ("io",), ("w",))), "worker", "wait in ai, which no worker consumes"),
        (replace(QUEUED, broker=Broker({"ai": 3}, ("ai",), ("w",), ("slow on w",))), "worker", "busy: slow on w"),
        (replace(QUEUED, broker=Broker()), "worker", "no worker answers"),
        (replace(QUEUED, broker=Broker({}, ("ai",), ("w",))), "queue", "no queue holds a message"),
        (replace(GOOD, states=((0.2, "running"),), broker=Broker()), "task", "still running"),
        (replace(GOOD, states=((0.2, "failed"),), error="disk full"), "task", "disk full"),
        (replace(GOOD, artifacts=(Artifact("/a", 404, 0, 0.3),)), "artifact", "answers 404"),
        (replace(GOOD, subscribed=None, refusal="HTTP 403", frames=()), "socket", "HTTP 403"),
        (replace(GOOD, frames=(), close_code=1011), "socket", "1011"),
        (replace(GOOD, frames=(), subscribed=0.5), "event", "before its WebSocket was open"),
        (replace(GOOD, frames=(), states=((0.2, "done"),)), "event", "when it was looked at first"),
        (replace(GOOD, frames=GOOD.frames[:2]), "event", "heard 2 frames"),
    ],
)
def test_the_first_broken_hop_is_named_with_its_evidence(run, hop, words):
    broken = first_broken(PLAN, run)
    assert broken
    assert broken.hop == hop
    assert words in broken.message
    assert broken.hint


def test_hops_come_in_the_order_in_which_they_happened():
    names = [hop.name for hop in hops(PLAN, GOOD)]
    assert names[0] == "accepted"
    assert names[-1] == "artifacts read"
    assert "queue ai" in names


def test_percentiles_are_taken_by_nearest_rank():
    runs = tuple(replace(GOOD, accepted=seconds / 100) for seconds in range(1, 21))
    assert percentiles(Flow(PLAN, runs))["accepted"] == (0.01, 0.1, 0.19, 0.2)


def test_pointers_lead_through_lists():
    assert select({"a": [{"b": 1}, {"b": 2}, {}]}, "a.*.b") == [1, 2]
    assert select({"a": [{"b": 1}]}, "a.0.b") == [1]
    assert select([], "a.b") == []


def test_placeholders_are_filled_however_deep():
    assert fill({"x": ["{tag}"]}, tag="t", id="1") == {"x": ["t"]}


def test_our_own_picture_is_one():
    import io

    from PIL import Image

    assert Image.open(io.BytesIO(picture())).size == (32, 32)
