"""Processes of the project on this machine that send tasks, as their options and environment make them do it.

Of an environment only names leave this module, and a URL without its password.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from intelli_checks.dsn import Dsn
from intelli_checks.model import Skip
from intelli_checks.probes import same_server
from intelli_checks.probes.processes import commands, is_celery, option
from intelli_checks.probes.web_process import runs_in, server_rank
from intelli_checks.text import remember_environment

if TYPE_CHECKING:
    import psutil

    from intelli_checks.probes.survey import Survey
    from intelli_checks.target import Target

OVERRIDING = ("CELERY_BROKER_WRITE_URL", "CELERY_BROKER_URL")
RESULTS = ("CELERY_RESULT_BACKEND",)
"""Celery reads these itself, before any configuration."""
BROKER_OPTIONS, RESULT_OPTIONS, CONFIG_OPTIONS = ("-b", "--broker"), ("--result-backend",), ("--config",)
"""Options of `celery`, stronger than any variable; `--config` counts where the app names no configuration itself."""
CONFIG = "CELERY_CONFIG_MODULE"
WEB, WORKER = "the web server", "the worker"


@dataclass(frozen=True, slots=True)
class Sender:
    """A web server, scheduler or worker, and what it was started with that the project asked here was not."""

    pid: int
    program: str
    eager: str = ""
    """The variable that switches EAGER mode on for it."""
    variable: str = ""
    """The variable, or the option, that names another broker."""
    broker: str = ""
    """That broker."""
    results_variable: str = ""
    """The variable, or the option, that names another result store."""
    results: str = ""
    """That store."""
    locked_out: str = ""
    """The variable, or the option, whose password the project's broker or result store refuses."""
    config: str = ""
    """The variable, or the option, that names a configuration module of its own."""
    module: str = ""
    """That module."""

    @property
    def works(self) -> bool:
        """Whether it is a worker: what it was started with explains where it is, and is no fault of its own."""
        return self.program == WORKER

    @property
    def origin(self) -> tuple[str, str]:
        """What makes its broker another one, and the value; two empty strings where nothing is known to."""
        return (self.variable, self.broker) if self.variable else (self.config, self.module)


def gather(target: Target, survey: Survey) -> tuple[Sender, ...]:
    """Everybody who sends, as far as their command line and environment are shown to us; Skip on another machine.

    A broker that was named counts as the project's, as it does for every check.
    """
    if not target.places or target.places[0].remote:
        raise Skip("the processes run on another machine")
    ours = target.broker or survey.broker, target.results or survey.results
    return tuple(
        _sender(process.pid, program, _Started(words, environ_of(process)), survey, ours)
        for process, program, words in of_project(target)
    )


@dataclass(frozen=True, slots=True)
class _Started:
    """How a process was started."""

    words: list[str]
    environ: Mapping[str, str]

    def named(self, options: tuple[str, ...], variables: Iterable[str]) -> tuple[str, str]:
        """The first of these that is given, and its value; two empty strings where none is."""
        given = next(((name, value) for name in options if (value := option(self.words, name))), None)
        told = ((name, self.environ[name]) for name in variables if self.environ.get(name))
        return given or next(told, ("", ""))


def _sender(pid: int, program: str, started: _Started, survey: Survey, ours: tuple[Dsn | None, Dsn | None]) -> Sender:
    works = program == WORKER
    celery = program != WEB  # a server has options of the same names, and they mean other things
    broker = started.named(BROKER_OPTIONS if celery else (), _urls(started, OVERRIDING, survey, "broker_source"))
    results = started.named(RESULT_OPTIONS if celery else (), _urls(started, RESULTS, survey, "results_source"))
    config = started.named(CONFIG_OPTIONS if celery else (), (CONFIG,))
    return Sender(
        pid,
        program,
        "" if works else _eager(survey, started.environ),
        *_unlike(broker, ours[0]),
        *_unlike(results, ours[1]),
        _locked_out((broker, ours[0]), (results, ours[1])),
        *(config if config[1] != os.environ.get(CONFIG, "") else ("", "")),
    )


def _urls(started: _Started, names: tuple[str, ...], survey: Survey, source: str) -> Iterator[str]:
    """The variables of these, and of what the project's own setting reads, that hold a URL."""
    for name in (*names, *_read(survey.extra.get(source) or {})):
        if "://" in started.environ.get(name, ""):
            yield name


def of_project(target: Target) -> Iterator[tuple[psutil.Process, str, list[str]]]:
    """Every process that sends, what it is and its command line."""
    import psutil

    found = {}
    for process, words in commands():
        program = _program(words)
        if program and runs_in(process, target.directory):
            found[process.pid] = (process, program, words)
    for process, program, words in found.values():
        with suppress(psutil.Error):
            if process.ppid() not in found:  # what a server forks is one with it
                yield process, program, words


def _program(words: list[str]) -> str:
    """What the process is, where it is one that sends tasks; empty for any other."""
    if server_rank(words) is not None:
        return WEB
    if is_celery(words, "worker"):
        return WORKER
    return "the scheduler" if is_celery(words, "beat") else ""


def environ_of(process: psutil.Process) -> Mapping[str, str]:
    """The variables a process was started with, whose secrets are remembered; empty where we are not shown them."""
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


def _unlike(named: tuple[str, str], ours: Dsn | None) -> tuple[str, str]:
    """What names a URL, and the URL without its password, where that is not `ours`."""
    name, url = named
    if not name or ours is None or "://" not in url:
        return "", ""
    there = Dsn(url)
    return ("", "") if _place(there) == _place(ours) or same_server.same((there, ours)) else (name, str(there))


def _locked_out(*pairs: tuple[tuple[str, str], Dsn | None]) -> str:
    """What names the project's own server with a login it refuses: connections from before a change live on."""
    for (name, url), ours in pairs:
        there = Dsn(url)
        if not name or ours is None or not there.is_redis or _place(there) != _place(ours):
            continue
        if (there.username, there.password) != (ours.username, ours.password) and same_server.refused(there):
            return name
    return ""


def _place(url: Dsn) -> tuple[Any, ...]:
    return (url.server, url.database) if url.is_redis else (str(url).partition("?")[0],)


def _read(source: Mapping[str, Any]) -> list[str]:
    return [str(one["name"]) for one in source.get("variables", ())]
