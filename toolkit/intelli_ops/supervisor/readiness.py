"""Ready means: does its work. A process that exists may be anything."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
from collections.abc import Callable
from typing import TypeAlias
from urllib.parse import urlsplit

from intelli_checks.dsn import Dsn
from intelli_checks.probes.resp import Connection, DialError, ReplyError
from intelli_ops.supervisor.child import Child, Drain, Readiness
from intelli_ops.supervisor.policy import Phase
from intelli_ops.supervisor.unit import Unit

Question: TypeAlias = Callable[[], Readiness]
_PATIENCE = 1.0


class Prober(threading.Thread):
    """Asks whether a unit is ready, often at first; once it is, whether it is still alive; until this life is over."""

    def __init__(self, unit: Unit, child: Child, tell: Callable[[Unit, Child, Readiness], None]) -> None:
        super().__init__(name=f"readiness of {unit.name}", daemon=True)
        self.unit, self.child, self.tell = unit, child, tell
        self.pause = threading.Event()

    def run(self) -> None:
        self._until_ready()
        if alive := self.unit.service.alive:
            self._until_silent(alive)

    def _until_ready(self) -> None:
        delay = 0.05
        while (ask := self.unit.service.ready) and self._lives(Phase.STARTING):
            answer = asked(ask)
            self.tell(self.unit, self.child, answer)
            if answer.ready:
                return
            self.pause.wait(delay)
            delay = min(delay * 1.2, 0.5)

    def _until_silent(self, alive: Question) -> None:
        missed = 0
        while self._lives(Phase.STARTING, Phase.READY):
            answer = asked(alive)
            missed = 0 if answer.ready else missed + 1
            if missed >= self.unit.service.misses:
                self.tell(self.unit, self.child, answer)
                return
            self.pause.wait(self.unit.service.alive_every)

    def _lives(self, *phases: Phase) -> bool:
        return self.unit.child is self.child and self.unit.phase in phases


class Drainer(threading.Thread):
    """Waits until a unit that stops has nothing left to do, telling what it still does, for at most its patience."""

    def __init__(self, unit: Unit, child: Child, tell: Callable[[Unit, Child, Drain], None]) -> None:
        super().__init__(name=f"drain of {unit.name}", daemon=True)
        self.unit, self.child, self.tell = unit, child, tell

    def run(self) -> None:
        drain, pause = self.unit.service.drain, threading.Event()
        while drain and self.unit.child is self.child and self.unit.step == "drain":
            try:
                found = drain()
            except Exception:  # noqa: BLE001 - a unit that cannot be asked is stopped like any other
                found = Drain(known=False)
            self.tell(self.unit, self.child, found)
            if found.known and not found.busy:
                self._wake(drain, pause)
            if not found.known or not found.busy:
                return
            pause.wait(0.5)

    def _wake(self, drain: Callable[[], Drain], pause: threading.Event) -> None:
        """Ask once more when the signal is sent.

        A worker acts on a signal after its next event, and an idle one may have none for a second and a half
        (`celery.worker.loops.asynloop`).
        """
        until = time.monotonic() + _PATIENCE
        while self.unit.child is self.child and self.unit.step == "drain" and time.monotonic() < until:
            pause.wait(0.02)
        with contextlib.suppress(Exception):  # it is on its way out, or gone
            drain()


def asked(ask: Question) -> Readiness:
    """What `ask` says; when it breaks, that, so that it is seen and does not look like a unit that waits."""
    try:
        return ask()
    except Exception as error:  # noqa: BLE001 - see above
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
