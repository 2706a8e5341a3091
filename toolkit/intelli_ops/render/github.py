"""Workflow commands: problems as annotations, and a table for the step's summary page."""

from __future__ import annotations

from collections.abc import Iterator

from intelli_checks.model import Outcome, Report, Result, Severity
from intelli_checks.report import outcome_name
from intelli_ops.render import View
from intelli_ops.render.text import gist, told, verdict

_LEVEL = {Severity.INFO: "notice", Severity.WARNING: "warning", Severity.ERROR: "error"}
_SHOWN_OUTCOMES = (Outcome.FAILED, Outcome.ERRORED, Outcome.WARNED)


def render(view: View) -> str:
    """One annotation per problem, then the verdict as a plain line for the log."""
    rows = [row for outcome in _SHOWN_OUTCOMES for result in view.report.having(outcome) for row in _rows(result)]
    return "\n".join([*rows, verdict(view)]) + "\n"


def summary(report: Report) -> str:
    """A Markdown table of everything that did not simply pass, for $GITHUB_STEP_SUMMARY."""
    shown = [result for outcome in _SHOWN_OUTCOMES for result in report.having(outcome)] + list(report.muted)
    title = f"## intelli-ops: {report.outcome.value}\n"
    if not shown:
        return f"{title}\n{len(report.having(Outcome.PASSED))} checks passed.\n"
    rows = [f"| {outcome_name(r)} | {_cell(r.check.id)} | {_cell(gist(r))} | {_cell(_hints(r))} |" for r in shown]
    return "\n".join([title, "| outcome | check | what | fix |", "| --- | --- | --- | --- |", *rows, ""])


def _rows(result: Result) -> Iterator[str]:
    if result.outcome is Outcome.ERRORED:
        yield _command("warning", result.check.id, f"could not tell: {result.reason}")
    for finding in result.findings:
        if finding.severity > Severity.INFO:
            fix = f"\nfix: {finding.hint}" if finding.hint else ""
            yield _command(_LEVEL[finding.severity], result.check.id, told(finding) + fix)


def _command(level: str, title: str, message: str) -> str:
    return f"::{level} title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    """Escaped as the runner unescapes it (actions/toolkit, command.ts)."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _hints(result: Result) -> str:
    return "; ".join(dict.fromkeys(finding.hint for finding in result.findings if finding.hint))


def _cell(text: str) -> str:
    """As text, whatever it is: no table cell, tag, link or code span may begin inside a message."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\n", " ")
    for mark in "\\`|*_[]!@#~":
        text = text.replace(mark, f"&#{ord(mark)};" if mark in "@#" else f"\\{mark}")
    return text
