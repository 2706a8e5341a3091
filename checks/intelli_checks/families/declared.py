"""How checks of declared configuration read: one survey in, findings out, the same judgement at every place."""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import wraps
from itertools import count
from pathlib import PurePath
from typing import Any, TypeAlias

from intelli_checks.context import Context
from intelli_checks.dsn import Dsn
from intelli_checks.model import Finding, OutOfTime, Skip, fail
from intelli_checks.probes.survey import Survey

Judge: TypeAlias = "Callable[[Survey], Iterable[Finding]]"
Answer: TypeAlias = "Callable[[Context], Iterator[Finding]]"


def of_celery(judge: Judge) -> Answer:
    """Ask `judge` about each place that has a Celery app; Skip where none has."""
    return _asked(judge, lambda survey: survey.celery_app is not None, "this project has no Celery app")


def of_django(judge: Judge) -> Answer:
    """Ask `judge` about each place that has Django settings; Skip where none has."""
    return _asked(judge, lambda survey: bool(survey.django), "this project has no Django settings")


def of_channels(judge: Judge) -> Answer:
    """Ask `judge` about each place that declares a channel layer or a WebSocket route; Skip where none does."""
    return _asked(judge, uses_channels, "this project does not use Channels")


def told_in_time(error: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The error itself; raises OutOfTime where nothing broke and the project had no time to tell."""
    if error and error["type"] == OutOfTime.__name__:
        raise OutOfTime(str(error["message"]), hint=str(error["hint"]))
    return error


def caches_on(survey: Survey | None, address: str, database: int) -> list[str]:
    """The caches of the project on this database of a Redis: Django's and django-redis's `clear()` is a FLUSHDB."""
    here = Dsn(f"redis://{address}").server, database
    caches = _caches(survey) if survey else {}
    return [alias for alias, urls in caches.items() if any((url.server, url.database) == here for url in urls)]


def _caches(survey: Survey) -> dict[str, list[Dsn]]:
    declared: Mapping[str, Any] = survey.django.get("CACHES") or {}
    return {
        alias: [Dsn(str(url)) for url in cache.get("urls") or () if "://" in str(url)]
        for alias, cache in declared.items()
    }


def spare_database(survey: Survey) -> int:
    """The first number of a Redis database that nothing in this project uses."""
    urls = [url for url in (survey.broker, survey.results) if url]
    urls += [host for layer in survey.layers for host in layer.hosts]
    urls += [url for cache in _caches(survey).values() for url in cache]
    return next(number for number in count() if number not in {url.database for url in urls})


def version_of(survey: Survey, name: str) -> tuple[int, ...] | None:
    """The version of a distribution beside the project, as numbers; None where it is not installed."""
    told = survey.versions.get(name)
    return tuple(int(part) for part in re.findall(r"\d+", told)[:3]) if told else None


def transport_lacking(survey: Survey) -> Finding | None:
    """What kombu lacks to connect with the broker, of any scheme; None where it lacks nothing."""
    if survey.broker and survey.broker.is_redis and (lacking := _driver_lacking(survey)):
        return lacking
    missing = re.search(r"No module named '([\w.]+)'", str(survey.extra.get("broker_refused") or ""))
    if not survey.broker or not missing:
        return None
    scheme, package = survey.broker.scheme, missing[1].partition(".")[0]
    extra = "redis" if survey.broker.is_redis else scheme
    install = f"'celery[{extra}]'" if extra in _EXTRAS else package
    return fail(
        f"kombu cannot load its transport {scheme}: no module named {missing[1]}: workers and senders end with it",
        hint=f"pip install {install}   # in the project's environment",
    )


_EXTRAS = ("redis", "sqs", "gcpubsub", "zookeeper", "consul")
"""What Celery's extras call the packages of a transport."""


def _driver_lacking(survey: Survey) -> Finding | None:
    """What is wrong with the redis-py beside a kombu that would connect with it; None where nothing is."""
    kombu, installed = survey.versions.get("kombu"), version_of(survey, "redis")
    wanted = str(survey.extra.get("driver_wanted") or "")
    if kombu and installed is None:
        return fail(
            "the broker is a Redis, and the package redis is not installed: workers and senders cannot connect",
            hint="pip install redis   # in the project's environment",
        )
    if kombu and wanted and installed and installed < tuple(map(int, wanted.split("."))):
        return fail(
            f"kombu {kombu} connects with redis-py {wanted} or later, and {survey.versions['redis']} is installed: "
            "workers and senders raise VersionMismatch",
            hint=f"pip install 'redis>={wanted}'   # in the project's environment; or an older kombu",
        )
    return None


def uses_channels(survey: Survey) -> bool:
    """Whether the project declares anything of Channels."""
    apps = survey.django.get("INSTALLED_APPS") or ()
    return bool(survey.layers or survey.websocket_routes) or "channels" in apps


def _asked(judge: Judge, applies: Callable[[Survey], bool], otherwise: str) -> Answer:
    @wraps(judge)
    def run(ctx: Context) -> Iterator[Finding]:
        places = {name: survey for name, survey in ctx.surveys.items() if applies(survey)}
        if not places:
            raise Skip(otherwise)
        yield from _together({name: tuple(judge(survey)) for name, survey in places.items()})

    return run


def _together(found: Mapping[str, tuple[Finding, ...]]) -> Iterator[Finding]:
    """What every place shares is said once; the rest names its place."""
    told: list[Finding] = []
    for findings in found.values():
        for finding in findings:
            if finding in told:
                continue
            told.append(finding)
            holders = [name for name, others in found.items() if finding in others]
            if len(holders) < len(found):
                at = ", ".join(holders)
                yield replace(finding, subject=f"{finding.subject} at {at}" if finding.subject else at)
            else:
                yield finding


def place_of(survey: Survey, record: Mapping[str, Any]) -> str:
    """`file:line` of a record that has both, relative to the project; empty when it does not say."""
    file = record.get("file")
    if not file:
        return ""
    path = PurePath(str(file))
    if survey.project and path.is_relative_to(survey.project):
        path = path.relative_to(survey.project)
    return f"{path}:{record['line']}" if record.get("line") else str(path)


def close_to(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or nothing when no known name resembles it."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.75)
    return f"; did you mean {close[0]!r}?" if close else ""


def idle_routes(survey: Survey) -> dict[str, str]:
    """Routes, patterns too, that take no task of the project, and what each may have meant (`; did you mean ...?`)."""
    declared = survey.conf.get("task_routes")
    known = {task.name for task in survey.tasks}
    modules = {f"{task.name.rpartition('.')[0]}.*" for task in survey.tasks}
    return {
        name: close_to(name, modules if "*" in name else known)
        for name in (declared if isinstance(declared, dict) else ())
        if "\\" not in name and not name.startswith("celery.") and not fnmatch.filter(known, name)
    }


def listed(names: Iterable[object], limit: int = 6) -> str:
    """Names for a sentence, the first few of them."""
    told = list(dict.fromkeys(str(name) for name in names))
    more = f" and {len(told) - limit} more" if len(told) > limit else ""
    return ", ".join(told[:limit]) + more


def for_tests(survey: Survey) -> bool:
    """Whether these are settings for a test run, where EAGER and in-memory transports are meant."""
    last = (survey.settings_module or "").rpartition(".")[2].lower()
    return last.startswith(("test", "ci")) or last.endswith(("test", "tests", "testing"))


def for_development(survey: Survey) -> bool:
    """Whether these settings serve a developer or a test, not people."""
    return bool(survey.django.get("DEBUG")) or for_tests(survey)


def usage(survey: Survey, kind: str) -> list[Mapping[str, Any]]:
    """Uses of one kind in the project's code, as the survey's `usage` tells them."""
    return [use for use in survey.extra.get("usage", ()) if use["kind"] == kind]


def spelt(ctx: Context, name: str) -> str:
    """`setting` where there may be no project: then Celery's own spelling."""
    return setting(ctx.project, name) if ctx.project else name


def setting(survey: Survey, name: str) -> str:
    """How this project would spell a Celery setting: with Django's prefix or in lower case."""
    prefix = survey.extra.get("namespace")
    return f"{prefix}_{name.upper()}" if prefix else name
