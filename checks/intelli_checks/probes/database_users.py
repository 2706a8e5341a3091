"""Which database each process of the project on this machine uses: two of them share no row.

Where a process was started with other variables than this shell has, the project is asked again in its environment:
what the settings make of a variable only they know. Of an environment only names leave this module.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intelli_checks.dsn import LOOPBACK, Dsn
from intelli_checks.probes import interview, processes, senders, transcript
from intelli_checks.probes.inside.detect import SETTINGS
from intelli_checks.probes.led_elsewhere import of_app
from intelli_checks.text import safe

if TYPE_CHECKING:
    import psutil

    from intelli_checks.probes.survey import Survey
    from intelli_checks.target import Place, Target

ASKED = 4
"""Environments the project is asked in at most; each takes an interpreter of its own."""
PORTS = {"postgresql": "5432", "postgis": "5432", "mysql": "3306", "oracle": "1521"}
"""What no port means, by the last part of ENGINE (docs.djangoproject.com, Databases)."""


@dataclass(frozen=True, slots=True)
class Database:
    """A database by what tells it from others; no user and no password."""

    name: str
    """Its name on its server, or the absolute path of its file."""
    server: str = ""
    """`host:port`; empty for a file."""

    def __str__(self) -> str:
        return safe(f"{self.server}/{self.name}" if self.server else self.name)


@dataclass(frozen=True, slots=True)
class DatabaseUser:
    """A process and the default database it was started with."""

    pid: int
    program: str
    database: Database
    broker: str
    """Its broker, by which the processes of one system are told from those of another that runs the same code."""
    variables: tuple[str, ...] = ()
    """Variables of its own that name this database, as far as the settings read them."""
    at_home: bool = True
    """Whether it is the database that the project has in this shell."""

    @property
    def works(self) -> bool:
        return self.program == senders.WORKER


@dataclass(frozen=True, slots=True)
class _Started:
    """A process, and what decides which database it uses."""

    pid: int
    program: str
    directory: str
    environ: Mapping[str, str]
    settings: str
    variables: tuple[str, ...]
    """Those the settings read, and that this shell has otherwise."""

    @property
    def asked_as(self) -> tuple[object, ...]:
        """What is one for processes that the project would tell the same."""
        return self.settings, self.directory, *((name, self.environ.get(name)) for name in self.variables)


def gather(target: Target, survey: Survey, timeout: float) -> tuple[DatabaseUser, ...]:
    """Every process whose database can be known, where both web and workers run here and were started otherwise."""
    place = target.places[0] if target.places else None
    if place is None or place.remote or place.argv[0] == "env" or not survey.django:
        return ()
    found = (
        _started(process, program, words, target, survey) for process, program, words in senders.of_project(target)
    )
    started = [one for one in found if one]
    if len({one.program == senders.WORKER for one in started}) < 2 or len({one.asked_as for one in started}) < 2:
        return ()
    apart = {one.asked_as: one for one in started if one.variables or one.settings != survey.settings_module}
    told = _ask_all(target, place, list(apart.values())[:ASKED], timeout)
    homes = _database(survey, str(target.directory.resolve()))
    users = (_user(one, told.get(one.asked_as) if one.asked_as in apart else survey, started, homes) for one in started)
    return tuple(user for user in users if user)


def _started(
    process: psutil.Process, program: str, words: list[str], target: Target, survey: Survey
) -> _Started | None:
    """How a process was started; None for one of another application, and where that cannot be known."""
    import psutil

    try:
        directory = process.cwd()
    except psutil.Error:
        return None
    environ = senders.environ_of(process)
    settings = processes.option(words, "--settings") or environ.get(SETTINGS) or _default(survey)
    of_ours = directory in {str(target.directory.resolve()), survey.project} and processes.sees_our_files(process.pid)
    if (
        not environ
        or not settings
        or not of_ours
        or (program == senders.WORKER and not of_app(words, survey.celery_app))
    ):
        return None
    if any(processes.option(words, name) for name in senders.BROKER_OPTIONS) and program != senders.WEB:
        return None  # where it listens is not what the project says
    names = {*(survey.extra.get("environment_read") or ()), *senders.OVERRIDING, "DATABASE_URL"} - {SETTINGS}
    differing = tuple(sorted(name for name in names if environ.get(name) != os.environ.get(name)))
    return _Started(process.pid, program, directory, environ, settings, differing)


def _default(survey: Survey) -> str:
    """The settings of a process that names none; empty where manage.py, celery.py and asgi.py name several."""
    named = set((survey.extra.get("settings_defaults") or {}).values())
    return str(named.pop()) if len(named) == 1 else ""


def _ask_all(target: Target, place: Place, started: list[_Started], timeout: float) -> dict[tuple[object, ...], Survey]:
    """What the project tells in each of these environments; one in which it does not load tells nothing."""
    if not started:
        return {}

    def ask(one: _Started) -> Survey | None:
        request = {**transcript.request(target, place, "databases"), "settings": one.settings}
        environ = {**one.environ, SETTINGS: one.settings}
        try:
            answer = interview.ask(place, request, timeout, environ)
        except (OSError, ValueError):
            return None
        return transcript.survey(place, answer) if answer.ended and not answer.errors else None

    with ThreadPoolExecutor(len(started)) as pool:
        told = zip(started, pool.map(ask, started), strict=True)
        return {one.asked_as: survey for one, survey in told if survey}


def _user(one: _Started, survey: Survey | None, started: list[_Started], homes: Database | None) -> DatabaseUser | None:
    database = _database(survey, one.directory) if survey else None
    if survey is None or database is None or survey.eager:
        return None
    named = _naming(one, database, started)
    return DatabaseUser(one.pid, one.program, database, _broker(survey.broker), named, database == homes)


def _database(survey: Survey, directory: str) -> Database | None:
    config = (survey.django.get("DATABASES") or {}).get("default")
    return of(config, directory) if config else None


def _naming(one: _Started, database: Database, started: list[_Started]) -> tuple[str, ...]:
    """Variables that not all processes have alike; where some hold a part of what tells the database, those alone."""
    mine = [*one.variables, SETTINGS] if one.environ.get(SETTINGS) else list(one.variables)
    own = [name for name in mine if len({other.environ.get(name) for other in started}) > 1 and one.environ.get(name)]
    parts = {Path(database.name).name, *database.server.rsplit(":", 1)} - {""}
    holding = [name for name in own if any(part in one.environ[name] for part in parts)]
    return tuple(holding or own)


def _broker(url: Dsn | None) -> str:
    """A broker by what it is called from anywhere on this machine."""
    if url is None:
        return ""
    return f"{url.server}/{url.database}" if url.is_redis else str(url)


def of(config: Mapping[str, Any], directory: str) -> Database | None:
    """The database that a process in `directory` opens; None where the settings do not tell (a service, memory)."""
    engine, name = str(config.get("ENGINE") or "").rpartition(".")[2], str(config.get("NAME") or "")
    if not name or not engine or engine == "dummy":
        return None
    if engine in {"sqlite3", "spatialite"}:
        in_memory = name.startswith("file:") or ":memory:" in name
        return None if in_memory else Database(str((Path(directory) / name).resolve()))
    host, port = str(config.get("HOST") or ""), str(config.get("PORT") or PORTS.get(engine, ""))
    here = not host or host.startswith("/") or host in LOOPBACK
    return Database(name, f"{'127.0.0.1' if here else host}:{port}")
