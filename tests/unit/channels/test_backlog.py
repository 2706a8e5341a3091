"""What waits in a layer, and what that means for whoever sends more, from facts alone."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from intelli_checks.probes.channels_state import Backlog, LayerState, limit_of
from intelli_checks.probes.survey import LayerDecl
from intelli_checks.registry import registry
from intelli_ops.commands.channels import lines

registry.load()  # a family's needs are declared by the families before it

PROCESS, NAMED = "asgispecific.0123!", "asgithumbnails"
SPECIAL = LayerDecl("default", "core.RedisChannelLayer", config={"capacity": 7, "channel_capacity": {"thumb*": 3}})


def state(key: str, waiting: int, seconds: float = 1.0, **more: object) -> LayerState:
    return LayerState("redis:6379", 1, backlogs=(Backlog(key, "asgi", waiting, seconds),), **{"readers": 1, **more})


def said(one: LayerState) -> str:
    from intelli_checks.families.channels import backlog

    ctx = SimpleNamespace(layer_states=(one,), project=None)
    return "; ".join(f"{f.severity.name} {f.message}" for f in backlog(ctx))


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (state(PROCESS, 100, stalled=(9,)), "ERROR 100 messages wait in asgispecific.0123!"),
        (state(PROCESS, 100, readers=None), "the web process does not read them"),
        (state(PROCESS, 100), "WARNING 100 messages wait in asgispecific.0123!"),
        (state(PROCESS, 9, 20.0, stalled=(9,)), "a web process hangs"),
        (state(NAMED, 100), "ChannelFull; nobody reads channel thumbnails"),
        (state(NAMED, 2, 20.0), "WARNING 2 messages wait in asgithumbnails"),
    ],
    ids=["frozen", "unseen", "gone", "hangs", "named full", "named unread"],
)
def test_a_backlog_is_told_with_its_reason(one, words):
    assert words in said(one)


@pytest.mark.parametrize(
    "one", [state(PROCESS, 9, 20.0), state(NAMED, 2), state(PROCESS, 99, stalled=(3,))], ids=["gone", "named", "busy"]
)
def test_what_waits_a_moment_or_for_nobody_is_no_fault(one):
    assert said(one) == ""


def test_a_channel_may_have_a_capacity_of_its_own():
    process, named = (state(key, 3).backlogs[0] for key in (PROCESS, NAMED))
    assert (limit_of([SPECIAL], process), limit_of([SPECIAL], named), limit_of([], named)) == (7, 3, 100)


def test_the_command_says_where_events_are_dropped():
    full = "\n".join(lines(state(PROCESS, 7, stalled=(12,)), 20, [SPECIAL]))
    assert "7 of 7 waiting, oldest 1 s, events are DROPPED" in full
    assert "1 readers took a message and did not come back, for 12 s" in full
    assert "DROPPED" not in "\n".join(lines(state(PROCESS, 6), 20, [SPECIAL]))
    assert "send() raises ChannelFull" in "\n".join(lines(state(NAMED, 3), 20, [SPECIAL]))
