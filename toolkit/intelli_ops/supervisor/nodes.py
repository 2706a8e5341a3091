"""What a Celery worker says about itself over its mailbox: whether it consumes, lives, and still has work."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from typing import Any

from intelli_checks.probes import pidbox
from intelli_checks.probes.layout import Layout
from intelli_checks.probes.resp import Connection, DialError, ReplyError
from intelli_ops.supervisor.child import Drain, Readiness

_PATIENCE = 1.0
_GLANCE = 0.3
"""While a worker starts it is asked often, and an answer that does not come tells nothing: look again soon."""


class Node:
    """One worker on this machine; `name` is what stands before the `@` of its node name."""

    def __init__(self, layout: Layout, name: str, queues: tuple[str, ...]) -> None:
        self.layout, self.queues = layout, queues
        self.name = f"{name}@{socket.gethostname()}"  # what Celery makes of `name@%h`
        self._emptied = False

    def consumes(self) -> Readiness:
        """Ready when it says that it consumes every one of its queues; a process that exists may do nothing."""
        self._emptied = False
        try:
            said = self._ask(_GLANCE, active_queues={})
        except (DialError, ReplyError) as error:
            return Readiness(ready=False, detail=f"broker down: {error}")
        consumed = {queue.get("name") for queue in said.get("active_queues") or ()}
        if consumed.issuperset(self.queues):
            return Readiness(ready=True, detail=f"{self.name} consumes {', '.join(self.queues)}")
        return Readiness(ready=False, detail="not consuming yet")

    def answers(self) -> Readiness:
        """Alive when it answers, and also when the broker does not: then nobody can tell."""
        try:
            heard = bool(self._ask(_PATIENCE, ping={}))
        except (DialError, ReplyError):
            return Readiness(ready=True, detail="broker down")
        return Readiness(ready=heard, detail="" if heard else "unresponsive")

    def drain(self) -> Drain:
        """Have it take no more messages, and tell what it still runs.

        Celery's own warm stop says nothing while it waits, and was measured to wait 32 s with nothing left to run (10
        of 55 stops after a burst of tasks): so a worker is emptied first, and ended once it says that it is idle.
        """
        try:
            for queue in () if self._emptied else self.queues:
                self._ask(_PATIENCE, cancel_consumer={"queue": queue})
            self._emptied = True
            said = self._ask(_PATIENCE, active={}, reserved={})
        except (DialError, ReplyError):
            return Drain(known=False)
        if "active" not in said:
            return Drain(known=False)
        return Drain(tuple(_running(task) for task in said["active"]) + _waiting(said.get("reserved")))

    def _ask(self, patience: float, **commands: Mapping[str, Any]) -> dict[str, Any]:
        """Its answer to each command; empty when it stays silent. The connection lives longer than the question."""
        with Connection.open(self.layout.dsn, patience + 1, tls=self.layout.tls) as connection:
            said = pidbox.ask(connection, self.layout, commands, timeout=patience, destination=[self.name])
        return {answer.command: answer.body for answer in said.answers if answer.node == self.name}


def _running(task: Mapping[str, Any]) -> str:
    started = task.get("time_start")
    seconds = f" for {max(0.0, time.time() - started):.0f} s" if isinstance(started, int | float) else ""
    return f"{task.get('name')} {str(task.get('id'))[:8]} runs{seconds}"


def _waiting(reserved: object) -> tuple[str, ...]:
    return (f"{len(reserved)} more fetched",) if isinstance(reserved, list) and reserved else ()
