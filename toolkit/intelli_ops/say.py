"""Lines for people, documents for programs: the only ways to a standard stream that commands have."""

from __future__ import annotations

import json
import sys

from intelli_checks.text import safe, scrub


def say(text: object) -> None:
    """A line on stdout, for a command whose result it is."""
    sys.stdout.write(f"{safe(text)}\n")  # one write, so that no log line lands in the middle
    sys.stdout.flush()


def complain(text: object) -> None:
    """A line on stderr, about a command that could not do what it should."""
    sys.stderr.write(f"{safe(text)}\n")
    sys.stderr.flush()


def say_json(document: object) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(f"{as_json(document, indent=2)}\n")
    sys.stdout.flush()


def as_json(document: object, indent: int | None = None) -> str:
    """`document` in ASCII: names stay exact, and a terminal does not obey one that it shows."""
    return scrub(json.dumps(document, indent=indent).replace("\x7f", "\\u007f"))
