"""One report, many renderings: each module here has a pure `render(view) -> str` and nothing else to offer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module

from intelli_checks.model import Outcome, Report, Severity
from intelli_checks.report import clean
from intelli_checks.text import scrub


class Format(StrEnum):
    """What `--format` takes; each is the module of its name."""

    TEXT = "text"
    JSON = "json"
    JUNIT = "junit"
    GITHUB = "github"
    NAGIOS = "nagios"
    OPENMETRICS = "openmetrics"


@dataclass(frozen=True, slots=True)
class View:
    """A report and how somebody wants to see it."""

    report: Report
    exit_code: int
    fail_level: Severity = Severity.ERROR
    verbose: bool = False
    quiet: bool = False
    width: int = 80
    """Columns of the terminal; only prose is folded to it, never a command."""
    color: bool = False
    symbols: bool = True
    """False where the output's encoding has no check marks."""
    compact: bool = False
    """One line per document, for streams of them."""


def render(view: View, fmt: Format) -> str:
    """`view` as `fmt`, with nothing secret in it, ending in a newline."""
    module = import_module(f"intelli_ops.render.{fmt.value}")
    text: str = module.render(view)
    return scrub(text)


def viewed(report: Report, fmt: Format, *, fail_level: Severity = Severity.ERROR, exit_code: int | None = None) -> View:
    """A clean view of `report`, with the exit code that `fmt` calls for unless one is given."""
    if exit_code is None:
        exit_code = nagios_code(report, fail_level) if fmt is Format.NAGIOS else report.exit_code(fail_level)
    return View(clean(report), exit_code, fail_level)


def nagios_code(report: Report, fail_level: Severity = Severity.ERROR) -> int:
    """0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN, as the Monitoring Plugins guidelines number them."""
    if report.outcome is Outcome.WARNED and fail_level <= Severity.WARNING:
        return 2
    return {Outcome.WARNED: 1, Outcome.FAILED: 2, Outcome.ERRORED: 3}.get(report.outcome, 0)
