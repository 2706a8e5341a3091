"""Ready means: does its work. A process that exists may be anything."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from typing import TypeAlias
from urllib.parse import urlsplit

from intelli_checks.dsn import Dsn
from intelli_checks.probes import pidbox
from intelli_checks.probes.layout import Layout
from intelli_checks.probes.resp import Connection, DialError, ReplyError
from intelli_ops.supervisor.child import Child, Readiness
from intelli_ops.supervisor.policy import Phase
from intelli_ops.supervisor.unit import Unit

Question: TypeAlias = Callable[[], Readiness]
_PATIENCE = 1.0


class Prober(threading.Thread):
    """Asks whether a unit is ready, often at first, until it is or this life of it is over."""

    def __init__(self, unit: Unit, child: Child, tell: Callable[[Unit, Child, Readiness], None]) -> None:
        super().__init__(name=f"readiness of {unit.name}", daemon=True)
        self.unit, self.child, self.tell = unit, child, tell

    def run(self) -> None:
        ask = self.unit.service.ready
        pause, delay = threading.Event(), 0.05
        while ask and self.unit.child is self.child and self.unit.phase is Phase.STARTING:
            answer = _asked(ask)
            self.tell(self.unit, self.child, answer)
            if answer.ready:
                return
            pause.wait(delay)
            delay = min(delay * 1.2, 0.5)


def _asked(ask: Question) -> Readiness:
    try:
        return ask()
    except Exception as error:  # noqa: BLE001 - a probe that breaks must be seen, not look like a unit that waits
        return Readiness(ready=False, detail=f"{type(error).__name__}: {error}")


def redis_answers(dsn: Dsn) -> Question:
    """Ready when Redis answers PING with PONG: one that loads its data set answers with an error."""

    def ask() -> Readiness:
        try:
            with Connection.open(dsn, _PATIENCE) as connection:
                if connection.call("PING") == b"PONG":
                    return Readiness(ready=True, detail=str(dsn))
        except (DialError, ReplyError) as error:
            return Readiness(ready=False, detail=str(error))
        return Readiness(ready=False, detail="answers, but not as Redis does")

    return ask


def page_answers(base: str, path: str) -> Question:
    """Ready when `path` of the web server at `base` answers 200."""
    where = urlsplit(base)

    def ask() -> Readiness:
        connection = http.client.HTTPConnection(where.hostname or "127.0.0.1", where.port, timeout=_PATIENCE)
        try:
            connection.request("GET", path)
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            return Readiness(ready=False, detail=f"{path}: {error}")
        finally:
            connection.close()
        return Readiness(
            ready=status == http.client.OK, detail=base if status == http.client.OK else f"{path}: {status}"
        )

    return ask


def worker_consumes(layout: Layout, profile: str, queues: tuple[str, ...]) -> Question:
    """Ready when a node called `profile@...` says that it consumes every one of `queues`."""

    def ask() -> Readiness:
        try:
            with Connection.open(layout.dsn, _PATIENCE) as connection:
                said = pidbox.ask(connection, layout, {"active_queues": {}}, timeout=_PATIENCE).to("active_queues")
        except (DialError, ReplyError) as error:
            return Readiness(ready=False, detail=f"broker down: {error}")
        for node, answer in said:
            consumed = {queue.get("name") for queue in answer or ()}
            if node.startswith(f"{profile}@") and consumed.issuperset(queues):
                return Readiness(ready=True, detail=f"{node} consumes {', '.join(queues)}")
        return Readiness(ready=False, detail="not consuming yet")

    return ask
