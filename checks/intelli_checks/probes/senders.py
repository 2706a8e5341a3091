"""Processes of the project on this machine that send tasks, as their own environment makes them do it.

Of an environment only names leave this module, and a URL without its password.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from intelli_checks.dsn import Dsn
from intelli_checks.model import Skip
from intelli_checks.probes.layer_users import host_of
from intelli_checks.probes.processes import commands, is_celery
from intelli_checks.probes.web_process import runs_in, server_rank
from intelli_checks.text import remember_environment

if TYPE_CHECKING:
    import psutil

    from intelli_checks.probes.survey import Survey
    from intelli_checks.target import Target

OVERRIDING = ("CELERY_BROKER_WRITE_URL", "CELERY_BROKER_URL")
"""Celery reads these itself, before any configuration."""


@dataclass(frozen=True, slots=True)
class Sender:
    """A web server or scheduler, and what its variables make it do that the project asked here does not."""

    pid: int
    program: str
    eager: str = ""
    """The variable that switches EAGER mode on for it."""
    variable: str = ""
    """The variable that names another broker."""
    broker: str = ""
    """That broker."""


def gather(target: Target, survey: Survey) -> tuple[Sender, ...]:
    """Everybody who sends, as far as their environment is shown to us; raises Skip on another machine.

    A broker that was named counts as the project's, as it does for every check.
    """
    if target.places[0].remote:
        raise Skip("the processes run on another machine")
    found = []
    for process, program in _senders(target):
        environ = _environ(process)
        broker = _broker(survey, target.broker or survey.broker, environ)
        found.append(Sender(process.pid, program, _eager(survey, environ), *(broker or ())))
    return tuple(found)


def _senders(target: Target) -> Iterator[tuple[psutil.Process, str]]:
    import psutil

    found = {}
    for process, words in commands():
        program = _program(words)
        if program and runs_in(process, target.directory):
            found[process.pid] = (process, program)
    for process, program in found.values():
        with suppress(psutil.Error):
            if process.ppid() not in found:  # what a server forks is one with it
                yield process, program


def _program(words: list[str]) -> str:
    """What the process is, where it is one that sends tasks; empty for any other."""
    if server_rank(words) is not None:
        return "the web server"
    return "the scheduler" if is_celery(words, "beat") else ""


def _environ(process: psutil.Process) -> Mapping[str, str]:
    import psutil

    try:
        environ = process.environ()
    except (psutil.Error, OSError):  # somebody else's, or gone
        return {}
    remember_environment(environ)
    return environ


def _eager(survey: Survey, environ: Mapping[str, str]) -> str:
    source = survey.extra.get("eager") or {}
    yes = set(source.get("yes", ()))
    return "" if survey.eager else next((name for name in _read(source) if environ.get(name, "").lower() in yes), "")


def _broker(survey: Survey, ours: Dsn | None, environ: Mapping[str, str]) -> tuple[str, str] | None:
    """The variable and the broker it names, where that is not `ours`."""
    names = (*OVERRIDING, *_read(survey.extra.get("broker_source") or {}))
    name = next((name for name in names if "://" in environ.get(name, "")), None)
    if name is None or ours is None:
        return None
    there = Dsn(environ[name])
    return (name, str(there)) if _place(there) != _place(ours) else None


def _place(url: Dsn) -> tuple[Any, ...]:
    return (host_of(url), url.database) if url.is_redis else (str(url).partition("?")[0],)


def _read(source: Mapping[str, Any]) -> list[str]:
    return [str(one["name"]) for one in source.get("variables", ())]
