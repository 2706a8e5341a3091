"""A round trip through the project's own channel layers, in its own interpreter, at every place it runs."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from intelli_checks.model import Skip, Unavailable
from intelli_checks.probes.interview import Answer
from intelli_checks.target import Place, Target
from intelli_checks.text import safe

BURST = 50
"""Messages sent before anybody reads: half of the default capacity."""
TALK = 2.0
"""Seconds the participants of one place look for each other; places start at different times and get twice that."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """What one participant heard through one layer."""

    place: str
    participant: str
    """The place's name; a second process at the same place says so."""
    alias: str
    backend: str = ""
    heard: Mapping[str, float] = field(default_factory=dict)
    """Participant -> milliseconds its first message took, by the clocks of both."""
    capacity: int | None = None
    sent: int = 0
    """Messages of the burst."""
    received: int = 0
    step: str = ""
    """What it was doing when it broke; empty when it did not."""
    error: str = ""

    @property
    def main(self) -> bool:
        """Whether this is the place's own interpreter and not its second process."""
        return self.participant == self.place


def gather(target: Target, timeout: float) -> tuple[Exchange, ...]:
    """Let all places talk through their layers at the same time; raises as a survey does, and Skip without a layer.

    Leaves nothing behind: the group is our own, and everybody leaves it.
    """
    if target.layer:
        raise Skip("--layer names another layer than the project's own processes use")
    names = [place.name for place in target.places]
    request = {
        "token": secrets.token_hex(8),
        "participants": names,
        "talk": min(TALK * min(2, len(names)), timeout / 2),
        "burst": BURST,
    }
    found: list[Exchange] = []
    for place, answer in _answers(target, timeout, request):
        found += [_exchange(place.name, told) for told in answer.facts.get("exchange", ())]
        found += [
            Exchange(place.name, place.name, "", step=str(error["step"]), error=safe(error["message"]))
            for error in answer.errors
            if error["step"] == "exchange"
        ]
    if not found:
        raise Skip("the project declares no channel layer")
    return tuple(found)


def _answers(target: Target, timeout: float, request: Mapping[str, Any]) -> list[tuple[Place, Answer]]:
    """What each place tells; the survey imported this very project, so slowness here proves nothing about it."""
    from intelli_checks.probes import transcript

    try:
        answers = list(transcript.ask_all(target, "exchange", timeout, **request))
    except Unavailable as slow:
        raise TimeoutError(str(slow)) from slow
    for _, answer in answers:
        if late := next((error for error in answer.errors if error.get("type") == "Timeout"), None):
            raise TimeoutError(late["message"])
    return answers


def _exchange(place: str, told: Mapping[str, Any]) -> Exchange:
    sent, received = told.get("burst") or (0, 0)
    return Exchange(
        place,
        safe(told["participant"]),
        safe(told["alias"]),
        safe(told.get("backend") or ""),
        {safe(name): float(ms) for name, ms in told["heard"].items()},
        told.get("capacity") if isinstance(told.get("capacity"), int) else None,
        int(sent),
        int(received),
        safe(told.get("step") or ""),
        safe(told.get("error") or ""),
    )
