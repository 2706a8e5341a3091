"""Does every event that the code sends have a consumer that joined its group and handles it?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from intelli_checks import Finding, Skip, Stage, check, fail
from intelli_checks.families.declared import (
    close_to,
    listed,
    of_channels,
    place_of,
    usage,
)
from intelli_checks.probes.survey import Survey


@check("channels.handlers", stage=Stage.STATIC, needs=["channels.asgi"])
@of_channels
def handlers(survey: Survey) -> Iterator[Finding]:
    """Every event that is sent has a handler.

    A group message of type "job.event" calls the consumer's method `job_event`; without it, or without a type, the
    consumer raises "No handler for message type" and its socket closes with 1011, while the sender sees success.
    Fix: the method, or the type's name.
    """
    if usage(survey, "receives"):
        raise Skip("the code reads from the layer itself, and needs no handler for what it reads")
    for use in usage(survey, "untyped"):
        yield fail(
            "an event is sent without a type: every consumer that gets it raises ValueError, and its socket closes",
            hint=f'{{"type": "job.event", ...}} at {place_of(survey, use)}, for the consumer\'s method job_event',
            subject=place_of(survey, use),
        )
    known = {handler for route in survey.websocket_routes for handler in route.get("handlers") or ()}
    if not known:
        raise Skip("no consumer to compare with")
    known |= set(survey.extra.get("listening") or ())
    for use in usage(survey, "event"):
        method = str(use["type"]).replace(".", "_")
        if method not in known:
            yield fail(
                f"no consumer has a method {method} for events of type {use['type']}{close_to(method, known)}",
                hint=f"def {method}(self, event) in the consumer, or correct the type at {place_of(survey, use)}",
                subject=place_of(survey, use),
            )


@check("channels.group_names", stage=Stage.STATIC, needs=["channels.asgi"])
@of_channels
def group_names(survey: Survey) -> Iterator[Finding]:
    """Events are sent to groups that somebody joins.

    A group is only a name: `group_send` to one that no consumer joins succeeds and reaches nobody. Compares the names
    in the code, where all of them can be told from it. Shows as: no events, no errors. Fix: one function that makes the
    name, for both sides. Example: consumers join f"job_{id}", a task sends to f"job-{id}".
    Names have letters, digits, hyphens, underscores and periods alone; any other raises TypeError where it is used.
    """
    yield from _illegal(survey)
    joins = usage(survey, "group_add")
    names = [str(join["group"]) for join in joins if join["group"]]
    names += [str(name) for route in survey.websocket_routes for name in route.get("groups") or ()]
    foreign = any(route.get("foreign") for route in survey.websocket_routes)
    if not names or foreign or not survey.extra.get("usage_complete") or not all(join["group"] for join in joins):
        raise Skip("the code does not tell every name of a group that is joined")
    for use in usage(survey, "group_send"):
        group = use["group"]
        if group and not any(overlap(group, name) for name in names):
            yield fail(
                f"events are sent to group {group}, which no consumer joins{close_to(group, names)} "
                f"(joined: {listed(sorted(set(names)))})",
                hint=f"write one name at {place_of(survey, use)} and in the consumer; * is what the program fills in",
                subject=place_of(survey, use),
            )


def _illegal(survey: Survey) -> Iterator[Finding]:
    """What the layer refuses; that on publish/subscribe takes any name."""
    if not any("pubsub" not in layer.backend for layer in survey.layers):
        return
    places: dict[str, list[str]] = {}
    for use in (*usage(survey, "group_add"), *usage(survey, "group_send")):
        if use["group"] and illegal(use["group"]):
            places.setdefault(use["group"], []).append(place_of(survey, use))
    for group, where in places.items():
        yield fail(
            f"{group} is no name of a group: {' '.join(map(repr, illegal(group)))} raises TypeError",
            hint=f"letters, digits, hyphens, underscores and periods alone, at {listed(where)}",
            subject=where[0],
        )


def illegal(group: str) -> list[str]:
    """The characters of a name that channels_redis.core and the layer in memory refuse."""
    return list(dict.fromkeys(_ILLEGAL.findall(group)))


_ILLEGAL = re.compile(r"[^a-zA-Z0-9._*-]")
"""Channels, BaseChannelLayer.group_name_regex; * is our own word for what the program fills in."""


@lru_cache(1024)
def overlap(one: str, other: str) -> bool:
    """Whether some text fits both patterns; `*` is any text."""
    if not one or not other:
        return not (one + other).strip("*")
    if one[0] == "*":
        return overlap(one[1:], other) or overlap(one, other[1:])
    if other[0] == "*":
        return overlap(other, one)
    return one[0] == other[0] and overlap(one[1:], other[1:])
