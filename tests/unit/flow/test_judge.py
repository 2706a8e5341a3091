"""Which hop is the first that broke, from facts alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from intelli_checks.model import Skip, Unavailable
from intelli_checks.probes import http, websocket_server
from intelli_checks.probes.flow import Artifact, Flow, Frame, Run, _Follower
from intelli_checks.probes.flow_broker import Broker
from intelli_checks.probes.flow_plan import Plan, below, fill, id_of, picture, read, select
from intelli_checks.probes.flow_timeline import hops, percentiles
from intelli_checks.probes.http import Answer
from intelli_checks.registry import registry
from intelli_checks.target import Target
from intelli_checks.text import MASK, safe

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


@pytest.mark.parametrize(
    ("run", "hint"),
    [
        (replace(GOOD, status=302, id="", location="/accounts/login/?next=/jobs"), "Authorization"),
        (replace(GOOD, status=301, id="", location="/jobs/"), '[flow] path = "/jobs/"'),
        (replace(GOOD, status=301, id="", location="https://shop/jobs"), "--web https://shop"),
        (replace(GOOD, status=403, id="", answer="CSRF verification failed."), "CSRF token"),
        (replace(GOOD, status=400, id="", answer="name is wanted"), "compare [flow] with the API"),
        (replace(QUEUED, visible=None, states=(), unseen=200), "correct [flow] status"),
        (replace(QUEUED, visible=None, states=(), unseen=401), "Authorization"),
        (replace(QUEUED, visible=None, states=(), unseen=500), "log"),
        (replace(GOOD, states=((0.2, "all good"),), broker=Broker()), 'succeeded = [..., "all good"]'),
        (replace(GOOD, states=((0.2, "running"),), broker=Broker({}, ("ai",), ("w",), ("slow",))), "a task without"),
        (replace(GOOD, artifacts=(Artifact("/a", 401, 2, 0.3),)), "Authorization"),
        (replace(GOOD, artifacts=(Artifact("/a", 404, 2, 0.3),)), "MEDIA_ROOT"),
    ],
)
def test_what_to_do_depends_on_how_it_broke(run, hint):
    assert hint in first_broken(PLAN, run).hint


@pytest.mark.parametrize(
    ("pointer", "found"), [("job.id", [7]), ("/job/id", [7]), ("$.job.id", [7]), ("job.none", []), ("none", [])]
)
def test_a_pointer_may_be_written_in_any_of_three_ways(pointer, found):
    assert select({"job": {"id": 7, "none": None}}, pointer) == found


@pytest.mark.parametrize(
    ("document", "location", "told"),
    [
        ({"id": 7}, "", "7"),
        ({"id": None}, "", ""),
        (None, "/jobs/77", "77"),
        (None, "http://shop/api/jobs/77?new", "77"),
        (None, "/elsewhere/77", ""),
    ],
)
def test_the_job_is_named_by_the_body_or_by_the_location(document, location, told):
    assert id_of(PLAN, document, location) == told


@pytest.mark.parametrize(
    ("base", "path", "url"),
    [
        ("http://shop", "/jobs/", "http://shop/jobs/"),
        ("http://shop", "jobs/", "http://shop/jobs/"),
        ("http://shop/app", "/jobs/", "http://shop/app/jobs/"),
        ("http://shop/app", "/app/jobs/", "http://shop/app/jobs/"),
        ("http://shop", "http://api/jobs/", "http://api/jobs/"),
    ],
)
def test_paths_lie_below_the_address_of_the_web_server(base, path, url):
    assert below(base, path) == url


def plan_of(**flow):
    return read(Target(Path(), flow={"path": "/jobs", "id": "id", "status_path": "/jobs/{id}", **flow}))


def test_a_plan_takes_one_name_for_a_list_of_one_and_any_spelling_of_a_state():
    plan = plan_of(succeeded="done", accepted=202, timeout="5")
    assert (plan.succeeded, plan.accepted, plan.timeout) == (("done",), (202,), 5.0)
    assert (plan.named("DONE"), plan.named("PENDING"), plan.named("Odd")) == ("done", "pending", "Odd")


@pytest.mark.parametrize("wrong", [{"timeout": "soon"}, {"cleanup": "/jobs"}, {"status": ["a"]}, {"accepted": "ok"}])
def test_a_plan_that_cannot_be_meant_is_told_by_its_name(wrong):
    with pytest.raises(Unavailable, match=rf"\[flow\] {next(iter(wrong))}"):
        plan_of(**wrong)


def follower_of(target: Target, visited: tuple[str, int] | None = None) -> Any:
    return _Follower(SimpleNamespace(target=target, web_server=SimpleNamespace(visited=visited)), PLAN, 0.0)  # type: ignore[arg-type]


def test_a_server_that_takes_its_public_name_alone_is_asked_by_it_and_its_links_are_followed_there(monkeypatch):
    sent = []

    def call(method, url, timeout, *, headers):
        sent.append((url, dict(headers)))
        return Answer(method, url, 200, {}, b"file")

    monkeypatch.setattr(http, "call", call)
    target = Target(Path(), web="http://127.0.0.1:8000", flow={"headers": {"Authorization": "Token hush"}})
    follower_of(target, ("shop.example", 404)).download("https://shop.example/media/a?s=1")
    follower_of(target, ("shop.example", 400)).download("https://shop.example/media/a?s=1")
    assert sent == [
        ("http://127.0.0.1:8000/media/a?s=1", {"Host": "shop.example", "Authorization": "Token hush"}),
        ("https://shop.example/media/a?s=1", {}),
    ]


def test_a_socket_that_wants_a_login_is_given_one_by_a_variable(monkeypatch):
    (told,) = [first_broken(PLAN, replace(GOOD, subscribed=None, refusal="HTTP 403", frames=()))]
    assert "${TOKEN} in the query of [flow] websocket" in safe(told.hint)
    monkeypatch.setenv("TOKEN", "hush-hush-hush")
    assert websocket_server.expanded("/ws/{id}/?token=${TOKEN}", "websocket") == "/ws/{id}/?token=hush-hush-hush"
    assert safe("hush-hush-hush") == MASK
    monkeypatch.delenv("TOKEN")
    with pytest.raises(Skip, match=r"\[flow\] websocket wants the variable TOKEN"):
        websocket_server.expanded("/ws/{id}/?token=${TOKEN}", "websocket")


def test_what_lets_us_in_is_not_sent_to_another_host(monkeypatch):
    sent = {}

    def call(method, url, timeout, *, headers):
        sent[url] = dict(headers)
        answers = {"http://shop/a": (302, "http://store/a?signature=s"), "http://shop/b": (302, "/accounts/login/")}
        status, location = answers.get(url, (200, ""))
        return Answer(method, url, status, {"location": location} if location else {}, b"file")

    monkeypatch.setattr(http, "call", call)
    target = Target(Path(), web="http://shop", flow={"headers": {"Authorization": "Token hush"}})
    follower = follower_of(target)
    assert (follower.download("http://shop/a").status, follower.download("http://shop/b").status) == (200, 401)
    assert "?" not in follower.download("http://store/a?signature=s").url
    assert sent == {
        "http://shop/a": {"Authorization": "Token hush"},
        "http://shop/b": {"Authorization": "Token hush"},
        "http://store/a?signature=s": {},
    }


def test_of_a_page_is_told_what_is_read_there():
    page = b"<!DOCTYPE html><html><head><style>html * { color: red }</style></head><body><h1>CSRF failed</h1></body>"
    assert Answer("POST", "/", 403, body=page).gist == "CSRF failed"
    assert Answer("POST", "/", 400, body=b'{"a": "<b>"}').gist == '{"a": "<b>"}'


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
