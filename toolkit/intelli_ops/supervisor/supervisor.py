"""The loop: start what may start, bring back what died, stop in order."""

from __future__ import annotations

import contextlib
import os
import queue
import random
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from intelli_ops.supervisor.child import Child, Guard, Readiness, Service
from intelli_ops.supervisor.logs import RotatingFile, Terminal
from intelli_ops.supervisor.platforms import Platform, Step
from intelli_ops.supervisor.policy import Phase, RestartPolicy, after_exit
from intelli_ops.supervisor.readiness import Prober
from intelli_ops.supervisor.state import identity
from intelli_ops.supervisor.unit import Unit

_TICK = 0.1
_COLD_PATIENCE = 3.0


@dataclass
class Supervisor:
    """Runs services from the main thread; other threads only post events to it."""

    services: Iterable[Service]
    logs: Path
    """Folder of the log files."""
    terminal: Terminal = field(default_factory=Terminal)
    on_change: Callable[[Unit], None] = lambda _: None
    """Told of every change of phase or detail, in the loop's own thread."""
    policy: RestartPolicy = field(default_factory=RestartPolicy)
    platform: Platform = field(default_factory=Platform)

    def __post_init__(self) -> None:
        self.units = {
            service.name: Unit(service, RotatingFile(self.logs / f"{service.name}.log")) for service in self.services
        }
        self.terminal.width = max(map(len, self.units), default=0)
        self.stopping: Step | None = None
        self.interrupts = 0
        self._events: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._guard: Guard | None = None
        self.identity = identity(os.getpid())
        """The supervisor's own process, as `state.find` finds it."""

    # What other threads and signal handlers may call.

    def post(self, action: Callable[[], None]) -> None:
        """Have `action` run by the loop; SimpleQueue.put is safe in signal handlers."""
        self._events.put(action)

    def request_stop(self, step: Step = "warm") -> None:
        """Stop everything in order; asking again makes it colder."""
        self.post(lambda: self._stop_all(step))

    @property
    def all_ready(self) -> bool:
        return all(unit.phase.satisfied for unit in self.units.values())

    @property
    def exit_code(self) -> int:
        """0 when everything ended as it was asked to; else that of the worst unit, as a shell reports it."""
        codes = [unit.exit_code or 1 for unit in self.units.values() if unit.phase is Phase.FATAL]
        return max(codes, default=130 if self.interrupts > 1 else 0)

    def run(self) -> int:
        """Supervise until everything has stopped; returns the exit code."""
        self._guard = Guard(self.platform)
        try:
            with self._signals():
                while not all(unit.phase.over for unit in self.units.values()):
                    self._advance()
                    self._handle_events()
        finally:
            self._end_everything()
        return self.exit_code

    # The loop's own work.

    def _handle_events(self) -> None:
        timeout = _TICK
        with contextlib.suppress(queue.Empty):
            while True:
                self._events.get(timeout=timeout)()
                timeout = 0

    def _advance(self) -> None:
        now = time.monotonic()
        for unit in self.units.values():
            self._notice_exit(unit, now)
            if self.stopping:
                self._stop_one(unit, now)
            elif (unit.phase is Phase.WAITING and self._may_start(unit)) or (
                unit.phase is Phase.BACKOFF and now >= unit.restart_at
            ):
                self._start(unit)

    def _may_start(self, unit: Unit) -> bool:
        return all(self.units[need].phase.satisfied for need in unit.service.needs)

    def _start(self, unit: Unit) -> None:
        assert self._guard is not None  # noqa: S101 - run() made it
        unit.step = None
        unit.starts += 1
        try:
            unit.child = Child(unit.service, self.platform, self._guard, unit.log, self.terminal.write)
        except OSError as error:
            unit.exit_code = 127
            self._change(unit, Phase.FATAL, f"cannot start: {error}")
            return
        if unit.service.ready is None and not unit.service.once:
            self._change(unit, Phase.READY, f"pid {unit.child.pid}")
            return
        self._change(unit, Phase.STARTING, "")
        if unit.service.ready:
            Prober(unit, unit.child, self._heard).start()

    def _heard(self, unit: Unit, child: Child, answer: Readiness) -> None:
        """What a prober found; posted, since it comes from another thread."""
        self.post(lambda: self._judge(unit, child, answer))

    def _judge(self, unit: Unit, child: Child, answer: Readiness) -> None:
        if unit.child is not child or unit.phase is not Phase.STARTING:
            return
        if answer.ready:
            self._change(unit, Phase.READY, answer.detail)
        elif answer.detail != unit.detail:
            self._change(unit, Phase.STARTING, answer.detail)

    def _notice_exit(self, unit: Unit, now: float) -> None:
        child = unit.child
        if child is None or not unit.phase.has_process or (code := child.poll()) is None:
            return
        unit.exit_code = code if code >= 0 else 128 - code
        if self.stopping or unit.step:
            self._change(unit, Phase.STOPPED, "")
        elif unit.service.once:
            phase = Phase.FATAL if code else Phase.DONE
            self._change(unit, phase, _last_words(child, code) if code else "")
        else:
            self._plan_restart(unit, child, code, now)

    def _plan_restart(self, unit: Unit, child: Child, code: int, now: float) -> None:
        unit.history, delay = after_exit(self.policy, unit.history, child.uptime, random.random())  # noqa: S311 - jitter
        if delay is None:
            why = f"ended {unit.history.failures} times within {self.policy.fast:g} s of its start; "
            self._change(unit, Phase.FATAL, why + _last_words(child, code))
        else:
            unit.restart_at = now + delay
            self._change(unit, Phase.BACKOFF, f"{_ending(code)}, next start in {delay:.1f} s")

    def _change(self, unit: Unit, phase: Phase, detail: str) -> None:
        unit.phase, unit.detail = phase, detail
        self.on_change(unit)

    # Stopping.

    def _stop_all(self, step: Step) -> None:
        if self.stopping == "warm" and step == "warm":
            step = "cold"
        self.stopping = step

    def _stop_one(self, unit: Unit, now: float) -> None:
        if unit.phase in {Phase.WAITING, Phase.BACKOFF}:
            self._change(unit, Phase.STOPPED, "")
        if not unit.phase.has_process or self._is_needed(unit):
            return
        if unit.step is None or _colder(self.stopping, unit.step):
            self._step(unit, self.stopping or "warm", now)
        elif now >= unit.step_until:
            self._step(unit, "cold" if unit.step == "warm" else "kill", now)

    def _is_needed(self, unit: Unit) -> bool:
        return any(unit.name in other.service.needs and other.phase.has_process for other in self.units.values())

    def _step(self, unit: Unit, step: Step, now: float) -> None:
        unit.step = step
        unit.step_until = now + (unit.service.patience if step == "warm" else _COLD_PATIENCE)
        if unit.child:
            unit.child.stop(step)
        self._change(unit, Phase.STOPPING, step)

    def _end_everything(self) -> None:
        """Whatever ended the loop, a bug included, no process stays behind."""
        for unit in self.units.values():
            if unit.child and unit.phase.has_process:
                unit.child.stop("kill")
                unit.child.process.wait(timeout=10)
                unit.child.poll()
            unit.log.close()
        if self._guard:
            self._guard.close()

    # Signals.

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        handlers: dict[int, Any] = dict.fromkeys(self.platform.stop_signals(), self._interrupted)
        if hasattr(signal, "SIGCHLD"):
            handlers[signal.SIGCHLD] = lambda *_: self.post(lambda: None)  # look now, not at the next tick
        if hasattr(signal, "SIGHUP"):
            handlers[signal.SIGHUP] = self._hung_up
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _interrupted(self, number: int, _frame: object) -> None:
        self.interrupts += number == signal.SIGINT
        self.request_stop()

    def _hung_up(self, _number: int, _frame: object) -> None:
        self.request_stop()


def _colder(asked: Step | None, current: Step) -> bool:
    order = ("warm", "cold", "kill")
    return asked is not None and order.index(asked) > order.index(current)


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    with contextlib.suppress(ValueError):
        return f"killed by {signal.Signals(-code).name}"
    return f"killed by signal {-code}"


def _last_words(child: Child, code: int) -> str:
    tail = "".join(f"\n    {line}" for line in child.tail)
    return f"{_ending(code)}; its last lines:{tail}" if tail else f"{_ending(code)} without a word"
