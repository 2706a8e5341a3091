"""What `check` adds for `flow`: the system that `up` runs here, repetition, and the picture."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from intelli_checks.context import Context
from intelli_checks.target import Target

RUNNING = "the system that `up` runs here"
"""The origin of what is known from it."""
_VARIABLES = {
    "CELERY_BROKER_URL": "broker",
    "CELERY_RESULT_BACKEND": "results",
    "REDIS_URL": "layer",
    "MEDIA_ROOT": "media",
    "DATABASE_URL": "database",
}


def with_running(target: Target) -> Target:
    """`target` with the web server of the system that `up` runs here, where nobody named another.

    The survey then sees the environment that `up` gave its parts, its database too; variables the user has set stand.
    """
    if target.web or target.websocket or target.broker or not target.places or any(p.remote for p in target.places):
        return target
    if not any((folder / ".intelli-ops").is_dir() for folder in (target.directory, *target.directory.parents)):
        return target
    from intelli_ops.bring_up import find_running  # the supervisor, which only a running system is worth
    from intelli_ops.system import NoCheckout

    try:
        record = find_running(target.directory)
    except NoCheckout:
        return target
    if not record.get("web"):
        return target
    for variable, name in _VARIABLES.items():
        if name in record:
            os.environ.setdefault(variable, str(record[name]))
    return replace(target, web=record["web"], origins={**target.origins, "web": RUNNING})


def repeated(target: Target, times: int) -> Target:
    """`target` whose job is run so often."""
    return replace(target, flow=MappingProxyType({**target.flow, "repeat": times})) if times > 1 else target


@dataclass
class Remembering:
    """Makes contexts and remembers the last one, whose facts a picture is made of."""

    make: Callable[[Target, float], Context]
    made: list[Context] = field(default_factory=list)

    def __call__(self, target: Target, deadline: float) -> Context:
        self.made.append(self.make(target, deadline))
        return self.made[-1]

    def plot(self, path: Path) -> None:
        """Draw the jobs of the last context; nothing where none was run."""
        from intelli_ops.render.flow_plot import plot

        known = self.made[-1].gathered.get("flow") if self.made else None
        if known and known.done() and known.exception() is None:
            plot(known.result(), path)
