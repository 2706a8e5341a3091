"""One line and performance data, as the Monitoring Plugins guidelines want it."""

from __future__ import annotations

from collections import Counter

from intelli_checks.model import Outcome, Report
from intelli_ops.render import View
from intelli_ops.render.text import gist, root_cause

_STATES = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
_LIMIT = 400
"""Characters of message; NRPE cuts a whole line at 1024 bytes."""


def render(view: View) -> str:
    """`INTELLI-OPS CRITICAL - redis.broker: ... | failed=1 ...`."""
    state = _STATES[view.exit_code] if view.exit_code < len(_STATES) else "UNKNOWN"
    message = _message(view.report).replace("|", "/")[:_LIMIT]  # the bar begins the performance data
    return f"INTELLI-OPS {state} - {message} | {_perfdata(view.report)}\n"


def _message(report: Report) -> str:
    muted = f" ({len(report.muted)} muted)" if report.muted else ""
    cause = root_cause(report)
    if cause is None:
        return f"{len(report.having(Outcome.PASSED))} checks passed{muted}"
    others = len(report.having(Outcome.FAILED, Outcome.ERRORED, Outcome.WARNED)) - 1
    more = f" (and {others} more)" if others else ""
    return f"{cause.check.id}: {gist(cause)}{more}{muted}"


def _perfdata(report: Report) -> str:
    counts = Counter(result.outcome for result in report.results if result.mute is None)
    numbers = [f"{outcome.value}={counts[outcome]};;;0;{len(report.results)}" for outcome in Outcome]
    return " ".join([f"time={report.seconds:.3f}s;;;0", *numbers, f"muted={len(report.muted)};;;0"])
