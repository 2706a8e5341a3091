"""The nouns of a diagnosis: what was asked, what was found, how it ended."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from intelli_checks.context import Context


class Severity(IntEnum):
    """How much a finding matters, on the scale `logging` and Django already use."""

    INFO = 20
    WARNING = 30
    ERROR = 40


class Stage(IntEnum):
    """How far a check reaches; later stages cost more and mislead more often."""

    STATIC = 0
    """Declared configuration only: no network, made for CI."""
    LIVE = 1
    """Does it answer?"""
    READY = 2
    """Reads the running state; harmless round trips."""
    DEEP = 3
    """Exercises the system: a real job end to end."""


class Outcome(Enum):
    """How one check ended. ERRORED means the check broke: it proves nothing."""

    PASSED = "passed"
    WARNED = "warned"
    FAILED = "failed"
    ERRORED = "errored"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One observation, with the next step when it asks for one."""

    severity: Severity
    message: str
    hint: str = ""
    subject: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)


def info(message: str, /, *, subject: str = "", **facts: object) -> Finding:
    """An observation that asks for nothing."""
    return Finding(Severity.INFO, message, subject=subject, facts=facts)


def warn(message: str, /, *, hint: str, subject: str = "", **facts: object) -> Finding:
    """Something that will hurt later, and what to do about it."""
    return Finding(Severity.WARNING, message, hint, subject, facts)


def fail(message: str, /, *, hint: str, subject: str = "", **facts: object) -> Finding:
    """Something that is broken now, and what to type."""
    return Finding(Severity.ERROR, message, hint, subject, facts)


class Skip(Exception):
    """Raised by a check, or by the facts it reads, when the question does not apply here.

    `because` names the check whose failure makes the question moot, if there is one.
    """

    def __init__(self, reason: str, *, because: str | None = None) -> None:
        super().__init__(reason)
        self.because = because


class Unavailable(Exception):
    """Raised by a probe whose target did not answer; what each driver calls that stays inside the probe.

    `cause` names a check that says the same better: where it failed in the same run, this is skipped because of it.
    """

    def __init__(
        self, message: str, *, hint: str, subject: str = "", cause: str | None = None, **facts: object
    ) -> None:
        super().__init__(message)
        self.hint = hint
        self.cause = cause
        self.subject = subject
        self.facts = facts

    def as_finding(self) -> Finding:
        """The outage as the one failing line it deserves."""
        return fail(str(self), hint=self.hint, subject=self.subject, **self.facts)


class OutOfTime(Unavailable):
    """Raised by a probe that was given less time than an answer takes: nothing is proved, so nothing FAILED."""


@dataclass(frozen=True, slots=True)
class Check:
    """A named question about the system and the function that answers it."""

    id: str
    run: Callable[[Context], Iterable[Finding]]
    stage: Stage
    timeout: float
    """Seconds this check may take once the checks it needs have ended."""
    needs: tuple[str, ...] = ()
    """Checks whose failure would explain this one's."""
    after: tuple[str, ...] = ()
    """Checks that pay for facts this one reads: its own clock starts when they have ended, however they did."""

    @property
    def family(self) -> str:
        return self.id.partition(".")[0]

    @property
    def title(self) -> str:
        """The docstring's first line."""
        return self._doc[0].rstrip(".")

    @property
    def explanation(self) -> str:
        """The rest of the docstring: cause, how it shows, how to fix."""
        return "\n".join(self._doc[1:]).strip()

    @property
    def docs(self) -> str:
        return f"docs/checks/{self.id}.md"

    @property
    def _doc(self) -> list[str]:
        return (inspect.getdoc(self.run) or self.id).strip().splitlines()


@dataclass(frozen=True, slots=True)
class Result:
    """What one check found, and how long it took.

    The outcome follows from the findings and from how the check ended; it is never chosen beside them.
    """

    check: Check
    outcome: Outcome
    findings: tuple[Finding, ...]
    seconds: float
    reason: str | None = None
    """Why it was skipped or errored."""
    because: str | None = None
    """The check whose failure this one was skipped for."""
    mute: str | None = None
    """Why the operator does not want this counted; None when it counts."""

    @classmethod
    def judged(cls, check: Check, findings: Iterable[Finding], seconds: float) -> Result:
        found = tuple(findings)
        worst = max((finding.severity for finding in found), default=Severity.INFO)
        return cls(check, _BY_SEVERITY[worst], found, seconds)

    @property
    def blocks(self) -> bool:
        """Whether checks that need this one would only repeat its cause."""
        return self.outcome in {Outcome.FAILED, Outcome.ERRORED} or self.because is not None


_BY_SEVERITY = {
    Severity.INFO: Outcome.PASSED,
    Severity.WARNING: Outcome.WARNED,
    Severity.ERROR: Outcome.FAILED,
}


@dataclass(frozen=True, slots=True)
class Report:
    """Every result of one run; the only thing renderers, endpoints and pytest see."""

    results: tuple[Result, ...]
    target: Mapping[str, object] = field(default_factory=dict)
    started_at: str = ""
    """ISO 8601, UTC."""
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    """What the reader must know about the run itself: a mute that expired, an interrupt."""

    def having(self, *outcomes: Outcome) -> tuple[Result, ...]:
        """The results that count and ended in one of `outcomes`, in declared order."""
        return tuple(result for result in self.results if result.outcome in outcomes and result.mute is None)

    @property
    def muted(self) -> tuple[Result, ...]:
        """The problems that a mute covers."""
        return tuple(result for result in self.results if result.mute is not None)

    @property
    def outcome(self) -> Outcome:
        """The worst thing that happened; a failure outranks a check that could not tell.

        SKIPPED where every question was moot: none was answered well.
        """
        for worst in (Outcome.FAILED, Outcome.ERRORED, Outcome.WARNED):
            if self.having(worst):
                return worst
        moot = bool(self.results) and all(result.outcome is Outcome.SKIPPED for result in self.results)
        return Outcome.SKIPPED if moot else Outcome.PASSED

    def exit_code(self, fail_level: Severity = Severity.ERROR) -> int:
        """0 healthy, 1 something failed, 3 could not tell (2 is a usage error, raised before any run)."""
        match self.outcome:
            case Outcome.FAILED:
                return 1
            case Outcome.WARNED if fail_level <= Severity.WARNING:
                return 1
            case Outcome.ERRORED:
                return 3
            case _:
                return 0
