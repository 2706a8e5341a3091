"""A service at one moment of its life."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from intelli_ops.supervisor.child import Child, Service
from intelli_ops.supervisor.logs import RotatingFile
from intelli_ops.supervisor.platforms import Step
from intelli_ops.supervisor.policy import History, Phase


@dataclass
class Unit:
    """A service and where it is in its life."""

    service: Service
    log: RotatingFile
    phase: Phase = Phase.WAITING
    detail: str = ""
    """Its address once ready, else what it waits for or why it ended."""
    child: Child | None = None
    history: History = field(default_factory=History)
    restart_at: float = 0.0
    step: Step | None = None
    """How hard it has been asked to stop, None when it has not."""
    step_until: float = 0.0
    exit_code: int = 0
    """Of its last life, as a shell reports it."""
    starts: int = 0
    retiring: bool = False
    """To be stopped although the others go on."""

    @property
    def name(self) -> str:
        return self.service.name

    @property
    def pid(self) -> int | None:
        return self.child.pid if self.child and self.phase.has_process else None

    def describe(self) -> dict[str, Any]:
        """The unit for the state file: enough to find its process again, or to see that it is gone."""
        who = self.child.identity if self.child and self.phase.has_process else {}
        return {"name": self.name, "phase": self.phase.value, "detail": self.detail, "starts": self.starts, **who}
