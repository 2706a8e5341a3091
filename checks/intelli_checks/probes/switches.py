"""Processes of the project on this machine whose own environment switches EAGER mode on.

Only names of variables leave this module: what else an environment holds is nobody's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from intelli_checks.model import Skip
from intelli_checks.probes.processes import is_celery
from intelli_checks.probes.web_process import runs_in, server_rank
from intelli_checks.text import safe

if TYPE_CHECKING:
    import psutil

    from intelli_checks.probes.survey import Survey
    from intelli_checks.target import Target


@dataclass(frozen=True, slots=True)
class Switch:
    """A web server or scheduler that was started with the variable set."""

    pid: int
    program: str
    variable: str


def gather(target: Target, survey: Survey) -> tuple[Switch, ...]:
    """Who has EAGER mode on by a variable that the project's settings read; raises Skip on another machine."""
    import psutil

    if target.places[0].remote:
        raise Skip("the processes run on another machine")
    source = survey.extra.get("eager") or {}
    names, yes = [one["name"] for one in source.get("variables", ())], set(source.get("yes", ()))
    if survey.eager or not names or not yes:
        return ()
    senders = {}
    for process in psutil.process_iter(["cmdline", "ppid"]):
        program = _sender(process.info["cmdline"] or [])
        if program and runs_in(process, target.directory):
            senders[process.pid] = (process, program)
    found = []
    for pid, (process, program) in senders.items():
        variable = next((name for name in names if _said(process, name).lower() in yes), "")
        if variable and process.info["ppid"] not in senders:  # what a server forks is one with it
            found.append(Switch(pid, program, variable))
    return tuple(found)


def _sender(words: list[str]) -> str:
    """What the process is, where it is one that sends tasks; empty for any other."""
    if server_rank(words) is not None:
        return "the web server"
    return "the scheduler" if is_celery(words, "beat") else ""


def _said(process: psutil.Process, name: str) -> str:
    import psutil

    try:
        return safe(process.environ().get(name, ""))
    except (psutil.Error, OSError):
        return ""
