"""Run checks at the same time, report them in order, and always come back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from datetime import UTC, datetime

from intelli_checks.context import Context
from intelli_checks.model import Check, Finding, Outcome, OutOfTime, Report, Result, Skip, Stage, Unavailable
from intelli_checks.stalls import Stalls
from intelli_checks.text import scrub


def run(checks: Iterable[Check], ctx: Context) -> Iterator[Result]:
    """Start every check now; yield each result in declared order, at the latest at the context's deadline."""
    for task in _start(checks, ctx):
        yield task.result()


def diagnose(checks: Iterable[Check], ctx: Context, on_result: Callable[[Result], None] | None = None) -> Report:
    """Run `checks` to the end and report; `on_result` sees each result as it becomes known, in declared order.

    Raises Interrupted, a KeyboardInterrupt that carries what is known by then.
    """
    checks = tuple(checks)
    ctx.offline = all(check.stage is Stage.STATIC for check in checks)
    started, clock = datetime.now(UTC).isoformat(timespec="milliseconds"), time.monotonic()
    with Stalls() as stalls:
        tasks, results = _start(checks, ctx), []
        try:
            for task in tasks:
                results.append(task.result())
                if on_result:
                    on_result(results[-1])
        except KeyboardInterrupt:
            known = tuple(task.so_far() for task in tasks)
            seconds = time.monotonic() - clock
            raise Interrupted(Report(known, ctx.target.describe(), started, seconds, ("interrupted",))) from None
    return Report(tuple(results), ctx.target.describe(), started, time.monotonic() - clock, stalls.told)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a diagnosis; checks that had not ended by then are ERRORED, for they prove nothing."""

    def __init__(self, report: Report) -> None:
        super().__init__()
        self.report = report


def wait(
    checks: Iterable[Check], ctx: Callable[[], Context], *, timeout: float, interval: float = 0.5
) -> Iterator[Report]:
    """Diagnose again and again, each time with a fresh context, until healthy or `timeout` seconds have passed."""
    checks = tuple(checks)
    deadline = time.monotonic() + timeout
    while True:
        report = diagnose(checks, ctx())
        yield report
        if report.exit_code() == 0 or time.monotonic() + interval > deadline:
            return
        threading.Event().wait(interval)


def _start(checks: Iterable[Check], ctx: Context) -> list[_Task]:
    tasks: dict[str, _Task] = {}
    for check in checks:
        needs = [tasks[need] for need in check.needs if need in tasks]
        after = [tasks[other] for other in check.after if other in tasks]
        tasks[check.id] = _Task(check, ctx, needs, after, tasks)
    for task in tasks.values():
        task.start()
    return list(tasks.values())


class _Task(threading.Thread):
    """One check on its own daemon thread.

    An executor, or asyncio's `to_thread`, joins its threads at interpreter exit: one hung driver would hold the process
    long after the deadline was reported.
    """

    def __init__(
        self, check: Check, ctx: Context, needs: list[_Task], after: list[_Task], others: Mapping[str, _Task]
    ) -> None:
        super().__init__(name=check.id, daemon=True)
        self.check, self.ctx, self.needs, self.after, self.others = check, ctx, needs, after, others
        self.found: list[Finding] = []
        self.verdict: Future[Result] = Future()
        self.began: Future[float] = Future()

    def run(self) -> None:
        blocked = self.blocked()
        self.began.set_result(time.monotonic())
        if blocked:
            return
        try:
            for finding in self.check.run(self.ctx):
                self.found.append(finding)
        except Skip as reason:
            self.settle(Outcome.SKIPPED, str(reason), because=reason.because)
        except Unavailable as outage:
            self.fail(outage)
        except BaseException as error:  # noqa: BLE001 - a check that breaks, even by sys.exit, must not stop the others
            self.settle(Outcome.ERRORED, f"{type(error).__name__}: {error}")
        else:
            self.judge()

    def blocked(self) -> bool:
        """Wait for what this check needs or comes after; whether it is skipped because of a need."""
        for other in self.after:
            other.result()
        blocker = next((result for need in self.needs if (result := need.result()).blocks), None)
        if blocker:
            cause = blocker.because or blocker.check.id
            self.settle(Outcome.SKIPPED, f"because of {cause}", because=cause)
        return blocker is not None

    def result(self) -> Result:
        """The verdict, waiting at most the check's own timeout and the run's deadline; the first verdict stands.

        What importing the project takes is not the check's own time: all of them wait for that answer.
        """
        self.blocked()  # at the deadline, what it needed ended this very moment: a skip, whoever of us is first
        try:
            began = self.began.result(self.ctx.remaining)
            with suppress(TimeoutError):
                return self.verdict.result(self.left(began))
            return self.verdict.result(self.left(max(began, self.ctx.told())))
        except TimeoutError:
            self.settle(Outcome.ERRORED, f"no answer within {self.seconds:.1f} s")
            return self.verdict.result()

    def left(self, began: float) -> float:
        """Seconds this check still has, by a clock that started at `began`."""
        return max(0.0, min(self.ctx.deadline, began + self.check.timeout) - time.monotonic())

    def so_far(self) -> Result:
        """The verdict if there is one, else that there will be none."""
        self.settle(Outcome.ERRORED, "interrupted")
        return self.verdict.result()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began.result() if self.began.done() else 0.0

    def fail(self, outage: Unavailable) -> None:
        """An outage is this check's failure, unless a check declared before it has named its cause, or time was up."""
        cause = self.others.get(outage.cause or "")
        if cause and cause is not self and cause.result().blocks:
            why = cause.result().because or cause.check.id
            self.settle(Outcome.SKIPPED, f"because of {why}", because=why)
        elif isinstance(outage, OutOfTime):
            self.settle(Outcome.ERRORED, f"{outage}; {outage.hint}")
        else:
            self.found.append(outage.as_finding())
            self.judge()

    def judge(self) -> None:
        self.conclude(Result.judged(self.check, tuple(self.found), self.seconds))

    def settle(self, outcome: Outcome, reason: str, because: str | None = None) -> None:
        findings = tuple(self.found)
        self.conclude(Result(self.check, outcome, findings, self.seconds, scrub(reason), because))

    def conclude(self, result: Result) -> None:
        try:
            self.verdict.set_result(result)
        except InvalidStateError:  # the deadline spoke first
            return
