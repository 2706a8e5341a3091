"""Values that other programs sent, each read as what it should be, or left out.

A worker, a message or a result is JSON that anybody may have written: `Infinity` and whole numbers without end are
among it, and neither `int` nor `float` takes all of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any


def mapping(value: object) -> Mapping[str, Any]:
    """`value` where it is an object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def items(value: object) -> Sequence[Any]:
    """`value` where it is an array, else an empty one."""
    return value if isinstance(value, (list, tuple)) else ()


def number(value: object) -> float | None:
    """`value` where it is a finite number, else None."""
    if not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def whole(value: object) -> int:
    """`value` without its fraction where it is a finite number, else 0."""
    return int(number(value) or 0)


def epoch(moment: object) -> float | None:
    """Seconds since the epoch of an ISO 8601 moment, which is UTC unless it says otherwise; None if unreadable."""
    try:
        when = datetime.fromisoformat(str(moment))
    except ValueError:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
