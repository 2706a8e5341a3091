"""Lines for people."""

from __future__ import annotations

import sys

from intelli_checks.text import safe


def say(text: str) -> None:
    """A line on stdout, for a command whose result it is."""
    sys.stdout.write(f"{safe(text)}\n")  # one write, so that no log line lands in the middle
    sys.stdout.flush()
