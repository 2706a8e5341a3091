"""When a process that ended is started again, and when not: pure, so hours of crashes are tested in microseconds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum


class Phase(Enum):
    """Where a unit is in its life; the words are supervisord's where it has one."""

    WAITING = "waiting"
    """For something it needs to be ready."""
    STARTING = "starting"
    """Its process runs and is not ready yet."""
    READY = "ready"
    BACKOFF = "backoff"
    """It ended; the next start is due later."""
    STOPPING = "stopping"
    STOPPED = "stopped"
    DONE = "done"
    """A one-shot that did its work."""
    FATAL = "fatal"
    """It ended too often, too fast: nobody will start it again."""

    @property
    def has_process(self) -> bool:
        return self in {Phase.STARTING, Phase.READY, Phase.STOPPING}

    @property
    def over(self) -> bool:
        return self in {Phase.STOPPED, Phase.DONE, Phase.FATAL}

    @property
    def satisfied(self) -> bool:
        """Whether what waits for this unit may start."""
        return self in {Phase.READY, Phase.DONE}


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """Exponential delays with jitter, forgiveness for what ran long, and an end for what never will (all seconds)."""

    delays: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
    fast: float = 10.0
    """An exit sooner than this after the start counts against the unit."""
    forget: float = 60.0
    """Running this long clears the count."""
    attempts: int = 5
    """Fast exits after which the unit is FATAL."""


@dataclass(frozen=True, slots=True)
class History:
    """What the policy remembers about a unit."""

    failures: int = 0


def after_exit(
    policy: RestartPolicy, history: History, uptime: float, jitter: float = 0.0
) -> tuple[History, float | None]:
    """The unit's new history, and the seconds until its next start; None when it is to be given up.

    `jitter`, from 0 to 1, lengthens the delay by up to a quarter: units that died together, of a broker that went away,
    do not come back in step, and the delays still grow.
    """
    if uptime >= policy.forget:
        history = History()
    if uptime < policy.fast:
        history = replace(history, failures=history.failures + 1)
    if history.failures >= policy.attempts:
        return history, None
    step = min(max(history.failures - 1, 0), len(policy.delays) - 1)
    return history, policy.delays[step] * (1 + jitter / 4)
