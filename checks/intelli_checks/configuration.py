"""Where a Target comes from: flags, then environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from intelli_checks.dsn import Dsn
from intelli_checks.target import Target


class UsageError(Exception):
    """Raised for a flag, variable or configuration value that makes no sense; the message says what to write."""


def load(flags: Mapping[str, object], environ: Mapping[str, str], cwd: Path) -> Target:
    """The target these flags and variables describe."""
    broker = flags.get("broker") or environ.get("INTELLI_OPS_BROKER")
    timeout = flags.get("timeout") or environ.get("INTELLI_OPS_TIMEOUT") or 10.0
    return Target(cwd, broker=Dsn(str(broker)) if broker else None, timeout=float(str(timeout)))
