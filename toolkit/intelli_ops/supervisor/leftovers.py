"""Processes of an earlier run whose supervisor is gone: found by pid and create time, never by pid alone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from intelli_ops.supervisor.state import find


def living(record: Mapping[str, Any]) -> list[Any]:
    """The recorded units that still run, as `psutil.Process`."""
    units = record.get("units")
    found = [find(unit) for unit in units if isinstance(unit, Mapping)] if isinstance(units, list) else []
    return [process for process in found if process is not None]


def sweep(record: Mapping[str, Any], say: Callable[[str], None]) -> int:
    """End what an earlier run left; how many processes that were.

    Only for callers that hold the lock: then no supervisor can own these processes.
    """
    import psutil

    stale = living(record)
    for process in stale:
        with contextlib.suppress(psutil.Error):
            say(f"ending what an earlier run left: {process.name()} (pid {process.pid})")
            for one in (*process.children(recursive=True), process):
                one.kill()
    psutil.wait_procs(stale, timeout=5)
    return len(stale)
