"""Run the Redis checks against URLs, without any project, and read what they said."""

from __future__ import annotations

import re
from pathlib import Path

from intelli_checks.context import Context
from intelli_checks.dsn import Dsn
from intelli_checks.model import Finding, Outcome, Report, Severity
from intelli_checks.registry import registry
from intelli_checks.runner import diagnose
from intelli_checks.target import Target

PASSWORD = "pl4nted-s3cret"


def check(
    url: str, *patterns: str, results: str | None = None, layer: str | None = None, timeout: float = 10.0
) -> Report:
    """Every `redis.*` check, or those of these names, against these URLs."""
    registry.load()
    target = Target(
        Path(),
        broker=Dsn(url),
        results=Dsn(results) if results else None,
        layer=Dsn(layer) if layer else None,
        timeout=timeout,
    )
    return diagnose(registry.select(patterns or ["redis"]), Context(target))


def with_login(url: str, login: str) -> str:
    """`url` with this login instead of its own."""
    return re.sub(r"://(?:[^/]*@)?", f"://{login}@" if login else "://", url, count=1)


def outcomes(report: Report) -> dict[str, str]:
    return {result.check.id: result.outcome.value for result in report.results}


def failing(report: Report) -> list[str]:
    return [result.check.id for result in report.having(Outcome.FAILED)]


def findings(report: Report, id_: str) -> list[Finding]:
    return [finding for result in report.results if result.check.id == id_ for finding in result.findings]


def kinds(report: Report) -> list[tuple[str, object]]:
    """Check id and fault of every failing finding."""
    return [
        (result.check.id, finding.facts.get("kind"))
        for result in report.results
        for finding in result.findings
        if finding.severity is Severity.ERROR
    ]


def names(report: Report, kind: str, *words: str) -> Finding:
    """The report blames exactly this fault, on the broker, in these words, and never shows the password."""
    assert kinds(report) == [("redis.broker", kind)], everything(report)
    (finding,) = [f for f in findings(report, "redis.broker") if f.severity is Severity.ERROR]
    assert finding.hint
    assert PASSWORD not in everything(report)
    for word in words:
        assert word in f"{finding.message} {finding.hint}"
    return finding


def everything(report: Report) -> str:
    """All text and facts a renderer could print."""
    lines = [str(dict(report.target))]
    for result in report.results:
        lines.append(f"{result.check.id} {result.outcome} {result.reason}")
        lines += [f"  {f.subject} {f.message} {f.hint} {dict(f.facts)}" for f in result.findings]
    return "\n".join(lines)
