"""OpenMetrics text 1.0 for a scrape or a textfile collector; labels come from check ids and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime

from intelli_checks.model import Outcome
from intelli_checks.report import MUTED, outcome_name
from intelli_ops.render import View

_OUTCOMES = (*(outcome.value for outcome in Outcome), MUTED)


def render(view: View) -> str:
    """Families of samples, closed by `# EOF` so that a cut-off file is noticed."""
    return "\n".join([*_outcomes(view), *_seconds(view), *_totals(view), "# EOF"]) + "\n"


def _outcomes(view: View) -> Iterator[str]:
    name = "intelli_ops_check_outcome"
    yield f"# TYPE {name} stateset"
    yield f"# HELP {name} How each check ended."
    for result in view.report.results:
        ended = outcome_name(result)
        for outcome in _OUTCOMES:
            yield f'{name}{{check="{_label(result.check.id)}",{name}="{outcome}"}} {int(ended == outcome)}'


def _seconds(view: View) -> Iterator[str]:
    name = "intelli_ops_check_duration_seconds"
    yield from _head(name, "How long each check took.", unit="seconds")
    for result in view.report.results:
        yield f'{name}{{check="{_label(result.check.id)}"}} {result.seconds:.3f}'


def _totals(view: View) -> Iterator[str]:
    counts = Counter(outcome_name(result) for result in view.report.results)
    yield from _head("intelli_ops_checks", "Checks by how they ended.")
    for outcome in _OUTCOMES:
        yield f'intelli_ops_checks{{outcome="{outcome}"}} {counts[outcome]}'
    yield from _head("intelli_ops_healthy", "1 when nothing failed and everything could be told.")
    yield f"intelli_ops_healthy {int(view.exit_code == 0)}"
    yield from _head("intelli_ops_run_duration_seconds", "How long the whole run took.", unit="seconds")
    yield f"intelli_ops_run_duration_seconds {view.report.seconds:.3f}"
    if view.report.started_at:
        name = "intelli_ops_run_start_timestamp_seconds"
        yield from _head(name, "When the run began.", unit="seconds")
        yield f"{name} {datetime.fromisoformat(view.report.started_at).timestamp():.3f}"


def _head(name: str, text: str, unit: str = "") -> Iterator[str]:
    yield f"# TYPE {name} gauge"
    if unit:
        yield f"# UNIT {name} {unit}"
    yield f"# HELP {name} {text}"


def _label(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
