"""Health checks for Django + Celery + Redis + Channels: facts in, findings out.

The vocabulary a check needs is importable from here; drivers and renderers are not. Names are looked up when they are
used (PEP 562), because a probe imports this package several times a minute and needs none of them.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` would cost more than this module
if TYPE_CHECKING:
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


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{'registry' if name == 'check' else 'model'}"), name)
