"""Reports as plain data: the JSON document, and the one place where a report is made fit to leave the process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import date
from enum import Enum
from typing import Any

from intelli_checks.dsn import Dsn
from intelli_checks.model import Check, Finding, Outcome, Report, Result, Severity, Stage
from intelli_checks.text import safe, scrub

SCHEMA_VERSION = 1
MUTED = "muted"


def clean(report: Report) -> Report:
    """The same report with every text made printable and every secret masked, so that no renderer can forget to."""
    return replace(
        report,
        results=tuple(_clean_result(result) for result in report.results),
        target=plain(report.target),
        notes=tuple(safe(note) for note in report.notes),
    )


def plain(value: object) -> Any:
    """`value` as JSON knows it: dictionaries, lists, strings, numbers, booleans, None; secrets masked.

    Control characters stay: JSON escapes them, and a program may want the exact name of a queue.
    """
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {scrub(str(name)): plain(item) for name, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((plain(item) for item in value), key=str)
    if is_dataclass(value) and not isinstance(value, type | Dsn):
        return {part.name: plain(getattr(value, part.name)) for part in fields(value)}
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return [plain(item) for item in value]
    return scrub(_word(value))


def _word(value: object) -> str:
    match value:
        case Enum():
            return str(value.value)
        case date():
            return value.isoformat()
        case bytes():
            return value.decode("utf-8", "backslashreplace")
        case _:
            return str(value)


def outcome_name(result: Result) -> str:
    """The outcome as renderings name it, where a covered problem is called muted."""
    return MUTED if result.mute is not None else result.outcome.value


def to_dict(report: Report, *, exit_code: int, version: str) -> dict[str, Any]:
    """`report` as docs/report.schema.json describes it, schema version 1."""
    return {
        "schema_version": SCHEMA_VERSION,
        "tool": {"name": "intelli-ops", "version": version},
        "target": plain(report.target),
        "outcome": report.outcome.value,
        "exit_code": exit_code,
        "started_at": report.started_at,
        "seconds": round(report.seconds, 3),
        "notes": list(report.notes),
        "checks": [_result_to_dict(result) for result in report.results],
    }


def from_dict(document: Mapping[str, Any]) -> Report:
    """The report a document of schema version 1 describes; raises ValueError for any other version.

    The checks of such a report know their names, not how to run.
    """
    if document.get("schema_version") != SCHEMA_VERSION:
        raise ValueError(f"this is not a report of schema version {SCHEMA_VERSION}")
    return Report(
        tuple(_result_from_dict(entry) for entry in document["checks"]),
        document["target"],
        document["started_at"],
        document["seconds"],
        tuple(document.get("notes", ())),
    )


def _clean_result(result: Result) -> Result:
    findings = tuple(
        replace(found, message=safe(found.message), hint=safe(found.hint), subject=safe(found.subject))
        for found in result.findings
    )
    reason = None if result.reason is None else safe(result.reason)
    mute = None if result.mute is None else safe(result.mute)
    return replace(result, findings=findings, reason=reason, mute=mute)


def _result_to_dict(result: Result) -> dict[str, Any]:
    return {
        "id": result.check.id,
        "title": result.check.title,
        "stage": result.check.stage.name.lower(),
        "outcome": outcome_name(result),
        "seconds": round(result.seconds, 3),
        "reason": result.reason,
        "because": result.because,
        "mute": None if result.mute is None else {"reason": result.mute, "outcome": result.outcome.value},
        "docs": result.check.docs,
        "findings": [_finding_to_dict(finding) for finding in result.findings],
    }


def _finding_to_dict(finding: Finding) -> dict[str, Any]:
    return {
        "severity": finding.severity.name.lower(),
        "subject": finding.subject,
        "message": finding.message,
        "hint": finding.hint,
        "facts": plain(finding.facts),
    }


def _result_from_dict(entry: Mapping[str, Any]) -> Result:
    def forgotten(_: object) -> Iterable[Finding]:
        raise NotImplementedError("a check read from a report cannot run")

    forgotten.__doc__ = entry["title"]
    mute = entry.get("mute")
    return Result(
        Check(entry["id"], forgotten, Stage[entry["stage"].upper()], 0.0),
        Outcome(mute["outcome"] if mute else entry["outcome"]),
        tuple(_finding_from_dict(found) for found in entry["findings"]),
        entry["seconds"],
        entry["reason"],
        entry.get("because"),
        mute["reason"] if mute else None,
    )


def _finding_from_dict(entry: Mapping[str, Any]) -> Finding:
    severity = Severity[entry["severity"].upper()]
    return Finding(severity, entry["message"], entry["hint"], entry["subject"], entry["facts"])
