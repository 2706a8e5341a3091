"""When to try again, and how long to wait before."""

import math
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import TypeVar

from apps.jobs.ai.model import AiConfig, AiError, Pace
from apps.jobs.outbound import Deadline, DeadlineError

# A server may ask for any time; more than an hour is treated as one, and the task's own budget is far below.
LONGEST_RETRY_AFTER = 3600.0

T = TypeVar("T")


def retry_after(value: str | None, now: float) -> float | None:
    """Seconds from a Retry-After header (RFC 9110, 10.2.3): a number or an HTTP date; None when it is neither."""
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        seconds = float(text[:9])
    else:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - now
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(0.0, seconds), LONGEST_RETRY_AFTER) if math.isfinite(seconds) else None


def backoff(attempt: int, config: AiConfig, chance: float) -> float:
    """Exponential backoff with full jitter: anything from 0 to the step, so that clients do not return in step."""
    return chance * min(config.backoff_cap_seconds, config.backoff_seconds * 2.0 ** (attempt - 1))


def persistently(attempt: Callable[[Deadline], T], config: AiConfig, pace: Pace) -> tuple[T, int]:
    """Call `attempt` until it succeeds, fails for good, or attempts or time run out.

    Waits at least as long as the server asked. A wait that would outlast the total is not begun: the error goes up at
    once, with `retry_after`, and the caller can come back later.

    Returns:
        The result and the number of attempts.

    Raises:
        AiError: the last failure.
    """
    whole = Deadline.after(config.total_seconds, pace.clock)
    for number in range(1, config.max_attempts + 1):
        try:
            return attempt(Deadline.after(min(config.attempt_seconds, whole.left()), pace.clock)), number
        except AiError as error:
            if not error.retryable or number == config.max_attempts:
                raise
            wait = max(backoff(number, config, pace.chance()), error.retry_after or 0.0)
            if not _fits(wait, whole):
                raise
            pace.sleep(wait)
    raise AiError("bad_config", "max_attempts must be at least 1")


def _fits(wait: float, whole: Deadline) -> bool:
    try:
        return wait < whole.left()
    except DeadlineError:
        return False
