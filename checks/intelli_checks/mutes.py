"""Known problems somebody decided to live with: for a while, for a reason, and only as bad as they were."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta

from intelli_checks.model import Outcome, Report, Result, Severity

_PROBLEMS = frozenset({Outcome.WARNED, Outcome.FAILED, Outcome.ERRORED})
_AGO = re.compile(r"(?P<count>\d+)(?P<unit>[mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_ACCEPT = "another reason or expiry accepts that too"
_KEYS = frozenset({"reason", "until", "severity", "subjects"})


@dataclass(frozen=True, slots=True)
class Mute:
    """What is muted and how far: a problem outside these bounds is shown and counted as if there were no mute."""

    id: str
    """A check, or a family."""
    reason: str = ""
    until: datetime | None = None
    """Aware; None means for good."""
    severity: Severity | None = None
    """The worst severity accepted; None accepts what is found first, see `Seen`."""
    subjects: frozenset[str] | None = None
    """The subjects accepted; None accepts those found first, see `Seen`."""
    source: str = ""
    """As it was written. Another reason or expiry makes another mute, which accepts what it finds anew."""

    def covers(self, id_: str) -> bool:
        return id_ == self.id or id_.startswith(f"{self.id}.")

    def expired(self, now: datetime) -> bool:
        return self.until is not None and now >= self.until

    def __str__(self) -> str:
        until = f"until {self.until:%Y-%m-%d %H:%M}" if self.until else "no expiry"
        return f"{self.reason}, {until}" if self.reason else until


@dataclass(frozen=True, slots=True)
class Extent:
    """How bad a problem is: its severity and which subjects it has."""

    severity: Severity
    subjects: frozenset[str]

    @classmethod
    def of(cls, result: Result) -> Extent:
        problems = [finding for finding in result.findings if finding.severity > Severity.INFO]
        severity = max((finding.severity for finding in problems), default=Severity.ERROR)
        return cls(severity, frozenset(finding.subject for finding in problems))


Seen = MutableMapping[str, Extent]
"""Check and mute -> how bad the problem was when this mute first covered it. Kept between runs by the caller."""


def parse(text: str, now: datetime | None = None) -> Mute:
    """A mute from `ID[=REASON][@EXPIRY]`; the expiry is a date, a time, or a span such as 30m, 12h, 7d, 2w.

    Raises ValueError, with the form it wants, for an expiry that is none.
    """
    head, at, tail = text.rpartition("@")
    if at and ("=" not in head or re.match(r"\s*\d", tail)):
        id_, _, reason = head.partition("=")
        return Mute(id_.strip(), reason.strip(), expiry(tail, now), source=text)
    id_, _, reason = text.partition("=")  # an @ in the reason, as in an address, is no expiry
    return Mute(id_.strip(), reason.strip(), source=text)


def from_config(entries: Mapping[str, object]) -> list[Mute]:
    """The `[mute]` table: id = "reason", or id = {reason, until, severity, subjects}; raises ValueError for more."""
    return [_entry(id_, value) for id_, value in entries.items()]


def expiry(value: object, now: datetime | None = None) -> datetime:
    """When a mute ends, aware; a date ends with its last second, a time without zone is local."""
    moment = value
    if isinstance(value, str):
        text = value.strip()
        if span := _AGO.fullmatch(text):
            return (now or datetime.now(UTC)) + timedelta(**{_UNITS[span["unit"]]: int(span["count"])})
        try:
            moment = date.fromisoformat(text) if re.fullmatch(r"[\d-]+", text) else datetime.fromisoformat(text)
        except ValueError:
            moment = None
    if isinstance(moment, datetime):
        return moment.astimezone() if moment.tzinfo is None else moment
    if isinstance(moment, date):
        return datetime.combine(moment, time.max).astimezone()
    raise ValueError(f"{value!r} is not an expiry: write 2027-01-31, 2027-01-31T18:00 or 30m, 12h, 7d, 2w")


def apply(report: Report, mutes: Iterable[Mute], seen: Seen, now: datetime | None = None) -> Report:
    """`report` with covered problems muted, and a note for every mute that no longer holds.

    `seen` learns how bad each problem was when it was first covered, and forgets problems that are gone.
    """
    now = now or datetime.now(UTC)
    notes, results = list(report.notes), list(report.results)
    for mute in mutes:
        if mute.expired(now):
            notes.append(f"the mute of {mute.id} has expired ({mute})")
            continue
        for place, result in enumerate(results):
            if not mute.covers(result.check.id):
                continue
            if result.outcome not in _PROBLEMS:
                if result.outcome is Outcome.PASSED:
                    seen.pop(_key(result, mute), None)
            elif worse := _worse(result, mute, seen):
                notes.append(f"the mute of {result.check.id} is void: {worse}")
            else:
                results[place] = replace(result, mute=str(mute))
    return replace(report, results=tuple(results), notes=tuple(notes))


def _worse(result: Result, mute: Mute, seen: Seen) -> str:
    """What goes beyond the mute, or nothing."""
    found = Extent.of(result)
    first = seen.setdefault(_key(result, mute), found)
    severity = first.severity if mute.severity is None else mute.severity
    subjects = first.subjects if mute.subjects is None else mute.subjects
    if found.severity > severity:
        return f"a {severity.name.lower()} was muted, this is an {found.severity.name.lower()}; {_ACCEPT}"
    if new := sorted(found.subjects - subjects):
        return f"new since it was muted: {', '.join(new)}; {_ACCEPT}"
    return ""


def _key(result: Result, mute: Mute) -> str:
    return f"{result.check.id} {mute.source}"


def _entry(id_: str, value: object) -> Mute:
    if isinstance(value, str):
        return Mute(id_, value, source=value)
    if isinstance(value, date):
        return Mute(id_, until=expiry(value), source=str(value))
    if not isinstance(value, Mapping):
        raise ValueError(  # noqa: TRY004 - the user's mistake, like the others here
            f'[mute] {id_}: write "{id_}" = "reason" or {{ reason = "...", until = 2027-01-31 }}'
        )
    if unknown := sorted(set(value) - _KEYS):
        raise ValueError(f"[mute] {id_}: unknown key {unknown[0]!r}; known are {', '.join(sorted(_KEYS))}")
    subjects = value.get("subjects")
    return Mute(
        id_,
        str(value.get("reason", "")),
        expiry(value["until"]) if "until" in value else None,
        _severity(id_, value["severity"]) if "severity" in value else None,
        frozenset(map(str, subjects)) if isinstance(subjects, list | tuple) else None,
        str(sorted(value.items())),
    )


def _severity(id_: str, value: object) -> Severity:
    try:
        return Severity[str(value).upper()]
    except KeyError:
        raise ValueError(f"[mute] {id_}: severity is warning or error, not {value!r}") from None
