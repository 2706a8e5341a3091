"""What a program that asked for JSON gets when there is no report: a document all the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from intelli_checks.report import SCHEMA_VERSION
from intelli_ops.version import VERSION


def wants_json(args: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Whether this command line, which may be wrong in any way, asks for JSON."""
    if "--json" in args or "--format=json" in args:
        return True
    if "--format" in args:
        return args[args.index("--format") + 1 :][:1] == ["json"]
    return args[:1] == ["check"] and environ.get("INTELLI_OPS_FORMAT") == "json"


def document(kind: str, message: str, code: int) -> dict[str, Any]:
    """A report of schema version 1 with no checks and an `error`."""
    return {
        "schema_version": SCHEMA_VERSION,
        "tool": {"name": "intelli-ops", "version": VERSION},
        "target": {},
        "outcome": "errored",
        "exit_code": code,
        "started_at": "",
        "seconds": 0.0,
        "notes": [],
        "error": {"type": kind, "message": message},
        "checks": [],
    }
