"""Which workers to run, with which interpreter, where: decided once, printed by --dry-run, then carried out."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from intelli_checks.dsn import Dsn
from intelli_checks.fleet import Fleet, FleetError, Pool, WorkerProfile, choose_pool, of_project
from intelli_checks.probes import survey as surveys
from intelli_checks.probes.layout import Layout
from intelli_checks.probes.redis_roles import secured
from intelli_checks.probes.survey import Survey
from intelli_checks.target import Place, Target
from intelli_ops.supervisor.child import Drain, Readiness, Service
from intelli_ops.supervisor.nodes import Node
from intelli_ops.system import celery_command, slim_celery

_DEAF = frozenset({"solo", "gevent", "eventlet"})
"""Pools that answer nothing while a task computes: silence says nothing about them."""
_STOP_SECONDS = 30.0
_GIVEN = ("DJANGO_SETTINGS_MODULE", "CELERY_BROKER_URL", "PYTHONPATH")
_SURVEY_SECONDS = 30.0
EAGER = "EAGER mode is on: tasks run inside the web process and workers would wait for ever"


class CannotPlan(Exception):
    """These workers cannot be run here; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What was asked for on the command line; None leaves it to the project."""

    single: bool = False
    queues: tuple[str, ...] = ()
    pool: str | None = None
    concurrency: int | None = None
    loglevel: str = "info"
    beat: bool = False
    mingle: bool = False
    stop_timeout: float | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Workers ready to be started; nothing runs yet."""

    fleet: Fleet
    pool: Pool
    python: str
    directory: Path
    facts: Future[Survey] = field(repr=False)
    """What the project tells about its broker; may still be on its way."""
    wishes: Wishes
    environment: Mapping[str, str] = field(repr=False)

    def command(self, profile: WorkerProfile, instance: str, *, celery: tuple[str, ...]) -> tuple[str, ...]:
        """The command line of one worker, after the words that run `celery`."""
        named = replace(profile, name=instance)
        argv = self.fleet.argv(named, celery=celery, loglevel=self.wishes.loglevel)
        return tuple(part for part in argv if not (self.wishes.mingle and part == "--without-mingle"))

    def beat_command(self, schedule: Path, *, celery: tuple[str, ...]) -> tuple[str, ...]:
        """The scheduler; its state and no pid file of its own: a container that restarts must not find it locked."""
        return (
            *celery, "-A", self.fleet.app, "beat", "-l", self.wishes.loglevel,
            "-s", str(schedule), "--pidfile=",
        )  # fmt: skip

    @property
    def settings(self) -> dict[str, str]:
        """What the workers find in their environment and this shell does not have; a URL without its password."""
        given = {
            name: value for name in _GIVEN if (value := self.environment.get(name, "")) != os.environ.get(name, "")
        }
        return {name: str(Dsn(value)) if "://" in value else value for name, value in given.items()}

    def service(self, profile: WorkerProfile, instance: str) -> Service:
        """One worker as the supervisor runs it."""
        contact = Contact(self.facts, instance, profile.queues)
        return Service(
            instance,
            self.command(profile, instance, celery=slim_celery(self.python)),
            self.directory,
            self.environment,
            ready=contact.consumes,
            drain=contact.drain,
            alive=contact.answers if (profile.pool or self.pool.name) not in _DEAF else None,
            patience=self.wishes.stop_timeout or (profile.time_limit or _STOP_SECONDS) + 5,
        )

    def beat(self, schedule: Path) -> Service:
        """The scheduler as the supervisor runs it."""
        command = self.beat_command(schedule, celery=slim_celery(self.python))
        return Service("beat", command, self.directory, self.environment)


class Contact:
    """How to talk to one worker, once the project has told where its broker is."""

    def __init__(self, facts: Future[Survey], instance: str, queues: tuple[str, ...]) -> None:
        self.facts, self.instance, self.queues = facts, instance, queues

    @cached_property
    def node(self) -> Node | None:
        """None where the broker is not Redis or the worker takes no remote control."""
        survey = self.facts.result(_SURVEY_SECONDS)
        if survey.eager:
            raise CannotPlan(EAGER)
        broker = survey.broker
        if broker is None or broker.transport != "redis" or survey.conf.get("worker_enable_remote_control") is False:
            return None
        url, tls = secured(broker, survey.conf)
        return Node(Layout.of(url, survey.conf, tls=tls), self.instance, self.queues)

    def consumes(self) -> Readiness:
        if self.node is None:
            return Readiness(ready=True, detail="runs; over this broker nobody can ask whether it consumes")
        return self.node.consumes()

    def answers(self) -> Readiness:
        return self.node.answers() if self.node else Readiness(ready=True)

    def drain(self) -> Drain:
        return self.node.drain() if self.node else Drain(known=False)


def make(target: Target, wishes: Wishes, platform: str = sys.platform) -> Plan:
    """Plan the workers of `target`; raises CannotPlan, FleetError, Skip or Unavailable.

    Where the configuration names the application and its workers, nobody waits for the project to tell the same: it is
    asked meanwhile, for the broker through which the workers say that they consume.
    """
    place = _place(target)
    facts = _ask(target)
    if target.workers and target.app:
        survey = Survey(place.name, settings_module=target.settings, celery_app=target.app)
        return _plan(target, survey, facts, wishes, platform)
    survey = facts.result()
    if error := survey.error("settings", "app"):
        where = f"{error['file']}:{error['line']}: " if error.get("file") else ""
        raise CannotPlan(f"the project does not import: {where}{error['message']}")
    if survey.celery_app is None and not target.app:
        raise CannotPlan("no Celery app found in this project: name it with --app MODULE[:ATTRIBUTE]")
    if survey.eager:
        raise CannotPlan(EAGER)
    return _plan(target, survey, facts, wishes, platform)


def _ask(target: Target) -> Future[Survey]:
    """The project's own word, sooner or later."""
    facts: Future[Survey] = Future()

    def run() -> None:
        try:
            told = next(iter(surveys.gather(target, max(target.timeout, _SURVEY_SECONDS), "workers").values()))
            facts.set_result(replace(told, broker=target.broker or told.broker))
        except BaseException as error:  # noqa: BLE001 - carried to whoever asks
            facts.set_exception(error)

    threading.Thread(target=run, name="survey", daemon=True).start()
    return facts


def _plan(target: Target, survey: Survey, facts: Future[Survey], wishes: Wishes, platform: str) -> Plan:
    place = _place(target)
    app = str(target.app or survey.celery_app)
    fleet = of_project(app, survey, target.workers)
    if wishes.queues:
        fleet = fleet.only(wishes.queues)
    if wishes.single:
        fleet = fleet.single()
    if wishes.concurrency:
        fleet = fleet.each(concurrency=wishes.concurrency)
    pool = _pool(place.argv[0], survey, wishes.pool, platform)
    if wishes.pool or platform == "win32":
        fleet = fleet.each(pool=pool.name)
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    if settings := target.settings or survey.settings_module:
        environment["DJANGO_SETTINGS_MODULE"] = settings
    if target.broker:
        environment["CELERY_BROKER_URL"] = target.broker.raw
    directory = place.directory or target.directory
    if target.directory in directory.parents:  # a `src` layout: its modules lie below the folder it is run from
        inherited = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = os.pathsep.join([str(directory), *([inherited] if inherited else [])])
        directory = target.directory
    return Plan(fleet, pool, place.argv[0], directory, facts, wishes, environment)


def _place(target: Target) -> Place:
    if not target.places:
        raise CannotPlan("no project here: change to its folder, or name it with --project")
    place = target.places[0]
    if place.remote or len(place.argv) != 1:
        raise CannotPlan("start-workers starts processes on this machine: run it there instead of with --via")
    return place


def _pool(python: str, survey: Survey, asked: str | None, platform: str) -> Pool:
    if asked is None and not survey.conf and platform != "win32":
        return Pool("prefork", "the default, unless worker_pool in the project's settings says otherwise")
    declared_pool = survey.conf.get("worker_pool")
    if (
        asked is None
        and platform != "win32"
        and "worker_pool" in survey.conf_changed
        and isinstance(declared_pool, str)
    ):
        return Pool(declared_pool, "worker_pool in the project's settings")
    return choose_pool(asked, platform, lambda package: _importable(python, package))


def _importable(python: str, package: str) -> bool:
    probe = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({package!r}) is None)"
    return subprocess.run([python, "-c", probe], check=False, timeout=10).returncode == 0  # noqa: S603 - our own argv


def lines(plan: Plan, schedule: Path, platform: str = sys.platform) -> Iterator[str]:
    """The plan as commands to copy and paste, for the shell of `platform`."""
    quote = powershell if platform == "win32" else shlex.join
    celery = celery_command(plan.python)
    yield f"{'Set-Location' if platform == 'win32' else 'cd'} {quote_one(str(plan.directory), platform)}"
    for name, value in plan.settings.items():
        word = quote_one(value, platform)
        yield f"$env:{name} = {word}" if platform == "win32" else f"export {name}={word}"
    for profile in plan.fleet.profiles:
        yield quote(plan.command(profile, profile.name, celery=celery))
    if plan.wishes.beat:
        yield quote(plan.beat_command(schedule, celery=celery))


def powershell(argv: Iterable[str]) -> str:
    """`argv` as a PowerShell command: everything in single quotes, where only the quote itself is special."""
    return "& " + " ".join(quote_one(part, "win32") for part in argv)


def quote_one(word: str, platform: str) -> str:
    """One word for the shell of `platform`."""
    return "'" + word.replace("'", "''") + "'" if platform == "win32" else shlex.quote(word)


__all__ = ["CannotPlan", "FleetError", "Plan", "Wishes", "lines", "make", "powershell", "quote_one"]
