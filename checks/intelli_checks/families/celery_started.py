"""What workers were started with, where it explains why they are not where the project looks."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from intelli_checks.context import Context
from intelli_checks.model import Skip, Unavailable
from intelli_checks.probes.led_elsewhere import Led
from intelli_checks.probes.senders import Sender
from intelli_checks.text import safe


def _workers(ctx: Context) -> list[Sender]:
    try:
        return [one for one in ctx.senders if one.works]
    except (Skip, Unavailable):  # another machine, or no project to compare with
        return []


def locked_out(ctx: Context) -> bool:
    """Whether a worker on this machine was started with a password that is refused now."""
    return any(one.locked_out for one in _workers(ctx))


def started_otherwise(ctx: Context) -> Mapping[int, Sender]:
    """The workers on this machine that were started with a configuration the project here does not have, by pid."""
    return {one.pid: one for one in _workers(ctx) if (one.variable or one.results_variable or one.config)}


def started_with(name: str, value: str) -> str:
    """An option or a variable as it is typed."""
    return f"{name} {safe(value)}" if name.startswith("-") else f"{name}={safe(value)}"


def led_by(ctx: Context, pid: int) -> Led | None:
    """The other Redis that serves a worker on this machine, where one does and what names it is known."""
    try:
        return next((one for one in ctx.led_elsewhere if one.pid == pid and one.variable), None)
    except (Skip, Unavailable):  # a recording of before, or no project to compare with
        return None


def look_there(worker: Led) -> str:
    """How to run a check with what a worker was started with; the value may hold a password and is not shown."""
    name = safe(worker.variable)
    if name.startswith("-"):
        return f"intelli-ops check --broker {safe(worker.url)}   # what pid {worker.pid} was started with: {name}"
    if sys.platform == "linux":
        found = rf"tr '\0' '\n' </proc/{worker.pid}/environ | grep '^{name}='"
        return f'export "$({found})"   # {name} as pid {worker.pid} has it; then check again'
    return f"export {name}=...   # as pid {worker.pid} has it; then check again"
