"""The loop: start what may start, bring back what died, stop in order."""

from __future__ import annotations

import contextlib
import os
import queue
import random
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from intelli_ops.supervisor.child import Child, Drain, Guard, Readiness, Service
from intelli_ops.supervisor.logs import RotatingFile, Terminal
from intelli_ops.supervisor.platforms import Platform, Step
from intelli_ops.supervisor.policy import Phase, RestartPolicy, after_exit
from intelli_ops.supervisor.readiness import Drainer, Prober
from intelli_ops.supervisor.state import identity
from intelli_ops.supervisor.unit import Unit

_TICK = 0.1
_COLD_PATIENCE = 3.0
_IDLE_PATIENCE = 5.0  # for the warm stop of a unit that said it has nothing left to do
_ORDER: tuple[Step, ...] = ("drain", "warm", "cold", "kill")


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
    on_tick: Callable[[], object] = lambda: None
    """Called in every round of the loop."""
    on_hangup: Callable[[], object] | None = None
    """What SIGHUP means when there is no terminal to have hung up; None: stop."""

    def __post_init__(self) -> None:
        self.units: dict[str, Unit] = {}
        for service in self.services:
            self.add(service)
        self.stopping: Step | None = None
        self.interrupts = 0
        self._events: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._guard: Guard | None = None
        self._interactive = sys.stdin is not None and sys.stdin.isatty()
        self.identity = identity(os.getpid())
        """The supervisor's own process, as `state.find` finds it."""

    # What other threads and signal handlers may call.

    def post(self, action: Callable[[], object]) -> None:
        """Have `action` run by the loop; SimpleQueue.put is safe in signal handlers."""
        self._events.put(action)

    def request_stop(self, step: Step = "warm") -> None:
        """Stop everything in order; asking again makes it colder."""
        self.post(lambda: self._stop_all(step))

    # What the loop's own callbacks may call.

    def add(self, service: Service) -> Unit:
        """One more unit, started when what it needs is ready."""
        unit = Unit(service, RotatingFile(self.logs / f"{service.name}.log"))
        self.units[service.name] = unit
        self.terminal.width = max(self.terminal.width, len(service.name))
        return unit

    def retire(self, unit: Unit) -> None:
        """Stop `unit` and forget it; the others go on."""
        unit.retiring = True

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
                    self.on_tick()
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
        for unit in tuple(self.units.values()):
            self._notice_exit(unit, now)
            if self.stopping or unit.retiring:
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
        started = unit.service.ready is None and not unit.service.once
        self._change(unit, Phase.READY if started else Phase.STARTING, f"pid {unit.child.pid}" if started else "")
        Prober(unit, unit.child, self._heard).start()

    def _heard(self, unit: Unit, child: Child, answer: Readiness) -> None:
        """What a prober found; posted, since it comes from another thread."""
        self.post(lambda: self._judge(unit, child, answer))

    def _judge(self, unit: Unit, child: Child, answer: Readiness) -> None:
        if unit.child is not child:
            return
        if unit.phase is Phase.READY and not answer.ready:
            child.stop("kill")
            self._change(unit, Phase.READY, f"{answer.detail}: starting it anew")
        elif unit.phase is Phase.STARTING and answer.ready:
            self._change(unit, Phase.READY, answer.detail)
        elif unit.phase is Phase.STARTING and answer.detail != unit.detail:
            self._change(unit, Phase.STARTING, answer.detail)

    def _notice_exit(self, unit: Unit, now: float) -> None:
        child = unit.child
        if child is None or not unit.phase.has_process or (code := child.poll()) is None:
            return
        unit.exit_code = code if code >= 0 else 128 - code
        if self.stopping or unit.retiring:
            self._stopped(unit)
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
        """Ask everything to stop; asked again, no longer politely."""
        self.stopping = "cold" if self.stopping == "warm" and step == "warm" else step

    def _stop_one(self, unit: Unit, now: float) -> None:
        if unit.phase in {Phase.WAITING, Phase.BACKOFF} or (unit.retiring and unit.phase in {Phase.DONE, Phase.FATAL}):
            self._stopped(unit)
        if not unit.phase.has_process or self._is_needed(unit):
            return
        first: Step = "drain" if unit.service.drain and unit.phase is Phase.READY else "warm"
        if unit.step is None:
            self._step(unit, first if self.stopping in {None, "warm"} else "cold", now)
        elif self.stopping and self.stopping != "warm" and _colder(self.stopping, unit.step):
            self._step(unit, self.stopping, now)
        elif now >= unit.step_until:
            self._step(unit, _ORDER[min(_ORDER.index(unit.step) + 1, 3)], now)

    def _is_needed(self, unit: Unit) -> bool:
        return any(unit.name in other.service.needs and other.phase.has_process for other in self.units.values())

    def _step(self, unit: Unit, step: Step, now: float, patience: float | None = None) -> None:
        drained = unit.step == "drain"
        unit.step = step
        polite = _IDLE_PATIENCE if drained else unit.service.patience
        unit.step_until = now + (patience or (polite if step in {"drain", "warm"} else _COLD_PATIENCE))
        if unit.child and step == "drain":
            Drainer(unit, unit.child, self._told).start()
        elif unit.child:
            unit.child.stop(step)
        self._change(unit, Phase.STOPPING, step)

    def _told(self, unit: Unit, child: Child, found: Drain) -> None:
        """What a drainer found; posted, since it comes from another thread."""
        self.post(lambda: self._drained(unit, child, found))

    def _drained(self, unit: Unit, child: Child, found: Drain) -> None:
        if unit.child is not child or unit.step != "drain" or not unit.phase.has_process:
            return
        if not found.known:
            self._step(unit, "warm", time.monotonic(), unit.service.patience)
        elif not found.busy:
            self._step(unit, "warm", time.monotonic())
        elif (detail := "; ".join(found.busy)) != unit.detail:
            self._change(unit, Phase.STOPPING, detail)

    def _stopped(self, unit: Unit) -> None:
        if unit.retiring:
            unit.log.close()
            self.units.pop(unit.name, None)
        self._change(unit, Phase.STOPPED, "")

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
        """A closed terminal takes what it started with it; without one, SIGHUP asks to reload, as daemons have it."""
        if self.on_hangup and not self._interactive:
            self.post(self.on_hangup)
        else:
            self.request_stop()


def _colder(asked: Step, current: Step) -> bool:
    return _ORDER.index(asked) > _ORDER.index(current)


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    with contextlib.suppress(ValueError):
        return f"killed by {signal.Signals(-code).name}"
    return f"killed by signal {-code}"


def _last_words(child: Child, code: int) -> str:
    tail = "".join(f"\n    {line}" for line in child.tail)
    return f"{_ending(code)}; its last lines:{tail}" if tail else f"{_ending(code)} without a word"
