"""No events in the browser, for three reasons written into the code of a project: each is named by its own evidence.

The project is not of the reference system's shape: nested URLRouters, a synchronous JsonWebsocketConsumer, a token in
the URL instead of a session, uvicorn instead of daphne.
"""

from __future__ import annotations

import pytest
from tests.integration.channels.harness import failing, told
from tests.integration.flow.conftest import FLOW, start

__all__ = ["start"]

ASKED = ("channels", "websocket", "flow.job")
TASKS, CONSUMERS = "orders/tasks.py", "orders/consumers.py"
GROUP_SENT = 'group = f"order-{number}" if settings.FAULT == "group" else f"order_{number}"'
KIND_SENT = 'kind = "order.moved" if settings.FAULT == "handler" else "order.changed"'
NO_FAULTS = ((TASKS, GROUP_SENT, 'group = f"order_{number}"'), (TASKS, KIND_SENT, 'kind = "order.changed"'))
"""The project as somebody would write it, who does not break it on demand."""
UVICORN = {"server": "uvicorn"}


@pytest.fixture
def asked(relay, start):
    """Edit the project, start it, and ask everything about its sockets."""

    def run(*edits, fault="", **options):
        for edit in edits:
            relay.edit(*edit)
        web = start(fault, web=UVICORN)
        return relay.check(*ASKED, web=web, flow={**FLOW, "timeout": 4}, timeout=60.0, **options)

    return run


def test_the_project_as_it_should_be_has_no_fault(asked):
    results = asked(*NO_FAULTS)
    assert failing(results) == {}
    assert "order.changed" not in told(results["channels.handlers"])
    assert "last event" in told(results["flow.job"])


@pytest.mark.parametrize(
    ("edit", "check", "evidence"),
    [
        (
            (CONSUMERS, "def order_changed(", "def order_changes("),
            "channels.handlers",
            "no consumer has a method order_changed for events of type order.changed; did you mean 'order_changes'?",
        ),
        (
            (CONSUMERS, 'self.group = f"order_{', 'self.group = f"order-{'),
            "channels.group_names",
            "events are sent to group order_*, which no consumer joins",
        ),
        (
            (CONSUMERS, "    def connect(self):\n", "    def connect(self):\n        raise LookupError('a bug')\n"),
            "websocket.handshake",
            "500: orders.consumers.OrderConsumer",
        ),
    ],
    ids=["handler", "group", "connect"],
)
def test_what_is_wrong_in_the_code_is_the_one_failing_line(asked, edit, check, evidence):
    results = asked(*NO_FAULTS, edit)
    assert list(failing(results)) == [check]
    assert evidence in told(results[check])
    assert results["flow.job"].because == check


@pytest.mark.parametrize(
    ("fault", "check", "evidence"),
    [
        ("handler", "flow.job", "the consumer died of an event"),
        ("group", "flow.job", "none of shipped"),
        ("crash", "websocket.handshake", "500: orders.consumers.OrderConsumer"),
        ("dies", "websocket.handshake", "accepted, and closed again"),
    ],
)
def test_where_the_code_does_not_tell_the_running_system_does(asked, fault, check, evidence):
    """Names that only the running program knows: a job of the project's own, followed, tells the same three apart."""
    results = asked(fault=fault)
    assert list(failing(results)) == [check]
    assert evidence in told(results[check])


def test_an_event_sent_to_our_own_socket_names_the_missing_handler(relay):
    web = relay.serve(server="uvicorn")
    results = relay.check("websocket.delivery", web=web, flow={"event": {"type": "order.moved"}})
    assert list(failing(results)) == ["websocket.delivery"]
    assert "no method order_moved for events of type order.moved" in told(results["websocket.delivery"])
