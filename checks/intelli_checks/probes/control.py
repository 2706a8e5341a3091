"""Brokers that are not Redis: asked by the project's own app, in the project's own interpreter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from intelli_checks.probes import processes, transcript
from intelli_checks.probes.queues import expected
from intelli_checks.probes.survey import Survey
from intelli_checks.target import Target
from intelli_checks.text import safe


@dataclass(frozen=True, slots=True)
class Count:
    """A queue as its broker counts it."""

    messages: int
    consumers: int


@dataclass(frozen=True, slots=True)
class Control:
    """What the project's own app learnt of its broker."""

    reached: bool = False
    problem: str = ""
    """Why it did not get further."""
    broadcasts: bool = False
    """Whether the transport can ask every worker at once."""
    workers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Queues of each worker that answered."""
    queues: Mapping[str, Count | None] = field(default_factory=dict)
    """Only where the broker counts consumers; None for a queue that does not exist."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Queues that exist otherwise than the project declares them, and what the broker says to that."""
    blocked: bool = False
    """Whether the broker takes no message from anybody (RabbitMQ's alarms)."""
    local: tuple[processes.Process, ...] = ()
    """Worker processes of this project on this machine."""


def gather(target: Target, project: Survey, timeout: float) -> Control:
    """Ask at the first place; back within `timeout` whatever broker and driver do."""
    asked = Target(
        target.directory, target.places[:1], settings=target.settings, app=target.app, origins=target.origins
    )
    named: dict[str, Any] = {"broker": target.broker.raw} if target.broker else {}
    named["queues"] = sorted(expected(project))
    ((place, answer),) = transcript.ask_all(asked, "control", timeout, **named)
    facts, error = transcript.redact(answer.facts), next(iter(transcript.redact(answer.errors)), None)
    homes = {project.project, str(target.directory.resolve())}
    local = () if place.remote else tuple(one for one in processes.celery("worker") if one.directory in homes)
    return Control(
        reached=bool(facts.get("reached")),
        problem=_words(error) if error else "",
        broadcasts=bool(facts.get("fanout")),
        workers={safe(name): tuple(queues) for name, queues in facts.get("workers", ())},
        queues={name: Count(*told) if told else None for name, told in facts.get("queues", {}).items()},
        refused={name: safe(words) for name, words in facts.get("refused", {}).items()},
        blocked=bool(facts.get("blocked")),
        local=local,
    )


def _words(error: Mapping[str, Any]) -> str:
    message = " ".join(str(error.get("message") or "").split())
    return message if error.get("type") in {"Timeout", "Exit"} else f"{error.get('type')}: {message}"
