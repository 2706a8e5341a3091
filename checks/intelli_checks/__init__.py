"""Health checks for Django + Celery + Redis + Channels: facts in, findings out.

The vocabulary a check needs is importable from here; drivers and renderers are not.
"""

from intelli_checks.model import (
    Check,
    Finding,
    Outcome,
    Report,
    Result,
    Severity,
    Skip,
    Stage,
    Unavailable,
    fail,
    info,
    warn,
)
from intelli_checks.registry import check

__all__ = [
    "Check",
    "Finding",
    "Outcome",
    "Report",
    "Result",
    "Severity",
    "Skip",
    "Stage",
    "Unavailable",
    "check",
    "fail",
    "info",
    "warn",
]
