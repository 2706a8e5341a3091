"""Can Django reach what it keeps its data in, and is that what the code expects?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from intelli_checks import Finding, Skip, Stage, Unavailable, check, fail, warn
from intelli_checks.context import Context
from intelli_checks.dsn import Dsn
from intelli_checks.families.declared import for_development, listed
from intelli_checks.families.django import audits_of
from intelli_checks.families.wording import in_lower_case


@check("django.database", stage=Stage.READY, timeout=60.0)
def database(ctx: Context) -> Iterator[Finding]:
    """The database answers.

    Each of DATABASES is connected to, once, by the project's own driver and settings. Shows as: OperationalError in
    views and tasks. Fix: start it, or correct HOST, PORT and the credentials; where SQLite is locked, end the
    transaction that another process holds open; where it has no connection left, close some.
    """
    for alias, told in _databases(ctx):
        if "error" in told:
            error = told["error"]
            text = " ".join(str(error["message"]).split())
            silent = error["type"] == "Timeout"
            said = "does not answer: connecting, or the first query, hangs" if silent else f"{error['type']}: {text}"
            yield fail(
                f"database {alias}{' ' if silent else ': '}{said}",
                hint=remedy(text, alias, (ctx.survey.django.get("DATABASES") or {}).get(alias) or {}),
                subject=alias,
            )
        elif told.get("missing_file"):
            yield fail(
                f"database {alias}: there is no file {told['missing_file']}",
                hint="python manage.py migrate   # makes the file; or correct NAME in DATABASES",
                subject=alias,
            )


_TOO_MANY = (
    "CONN_MAX_AGE = 0 where an ASGI server runs (now {CONN_MAX_AGE}), fewer processes, or a pooler; who holds them: "
    "SELECT application_name, client_addr, state, count(*) FROM pg_stat_activity GROUP BY 1, 2, 3"
)
_SAYS = (
    (
        r"database is locked",
        "fuser -v {NAME}   # who holds it? One writer at a time: PostgreSQL, or WAL and short transactions",
    ),
    (
        r"too many (clients|connections)|remaining connection slots|connection limit exceeded",
        _TOO_MANY,
    ),
    (
        r"password authentication failed|Access denied|no password supplied|role .* does not exist",
        "correct USER and PASSWORD of DATABASES, where the web server and the workers get them from",
    ),
    (
        r"database .* does not exist|Unknown database",
        "createdb -h {HOST} -p {PORT} -U {USER} {NAME}   # or correct NAME in DATABASES",
    ),
    (
        r"resolve host|translate host name|Name or service not known|Unknown .*server host",
        "correct HOST in DATABASES: {HOST} is no name here",
    ),
    (
        r"timeout expired|timed out",
        "does a firewall drop what goes to {HOST}:{PORT}? nc -vz {HOST} {PORT}; else the server is overloaded or stuck",
    ),
    (
        r"Connection refused|Can't connect",
        "start the database server at {HOST}:{PORT}, or correct HOST and PORT in DATABASES",
    ),
)
"""What drivers say, and what helps."""
_PORTS = {"postgresql": "5432", "mysql": "3306"}


def remedy(text: str, alias: str, config: Mapping[str, Any]) -> str:
    """What to type for what the driver said."""
    engine = str(config.get("ENGINE") or "").rpartition(".")[2]
    known = {name: str(config.get(name) or "") for name in ("NAME", "USER", "HOST", "PORT")}
    known["HOST"] = known["HOST"] or "localhost"
    known["PORT"] = known["PORT"] or _PORTS.get(engine, "5432")
    hint = next(
        (hint for words, hint in _SAYS if re.search(words, text)), "python manage.py dbshell --database {alias}"
    )
    return hint.format(alias=alias, CONN_MAX_AGE=config.get("CONN_MAX_AGE") or 0, **known)


@check("django.migrations", stage=Stage.READY, timeout=60.0, needs=["django.database"])
def migrations(ctx: Context) -> Iterator[Finding]:
    """Every migration is applied.

    Cause: a deploy without `migrate`, two branches that both added one, code rolled back, or a model that was changed
    without `makemigrations`. Shows as: "no such table", "column does not exist" in some views and tasks.
    Fix: `python manage.py migrate`. Example: jobs.0007_imagetask_lease is pending.
    """
    for alias, told in _databases(ctx):
        if leaves := told.get("conflicts"):
            ends = listed(f"{app}.{name}" for app, names in leaves.items() for name in names)
            yield fail(
                f"migrations of one app were added side by side: {ends}",
                hint="python manage.py makemigrations --merge   # migrate refuses to run until then",
                subject=alias,
            )
        elif pending := told.get("pending"):
            yield fail(
                f"{len(pending)} migrations are not applied to {alias}: {listed(pending, 4)}",
                hint="python manage.py migrate" + ("" if alias == "default" else f" --database {alias}"),
                subject=alias,
                pending=len(pending),
            )
        if ahead := told.get("ahead"):
            yield warn(
                f"{alias} has migrations this code does not know: {listed(ahead, 4)}",
                hint="deploy the code they belong to; to go back, with that code: python manage.py migrate APP NAME",
                subject=alias,
            )
        if unmade := told.get("unmade"):
            yield warn(
                f"models of {listed(unmade)} differ from their migrations: what was changed is not in the database",
                hint=f"python manage.py makemigrations {' '.join(unmade)}",
                subject=alias,
            )


@check("django.cache", stage=Stage.READY, timeout=60.0)
def cache(ctx: Context) -> Iterator[Finding]:
    """The caches answer.

    Each of CACHES is asked for a key nobody has, by the project's own settings. Shows as: 500 in every view that uses
    it, and everywhere when sessions are kept there. Fix: start it or correct LOCATION; a table is made by
    `createcachetable`. A cache in memory belongs to one process: sessions kept there come and go.
    """
    for audit in audits_of(ctx).values():
        for alias, error in audit.caches.items():
            if _down_with_broker(ctx, alias):
                raise Skip("the cache is on the broker's server", because="redis.broker")
            text = " ".join(str(error["message"]).split())
            table = re.search(r"no such table|does not exist|doesn't exist", text)
            hint = in_lower_case(text) or f"start it, or correct CACHES[{alias!r}]"
            yield fail(
                f"cache {alias}: {error['type']}: {text}",
                hint="python manage.py createcachetable" if table else hint,
                subject=alias,
            )
    yield from _sessions(ctx)


def _down_with_broker(ctx: Context, alias: str) -> bool:
    """Whether the cache is on the server that is named as the cause already."""
    survey = ctx.survey
    urls = ((survey.django.get("CACHES") or {}).get(alias) or {}).get("urls") or ()
    servers = {Dsn(str(url)).address for url in urls if "://" in str(url)}
    if survey.broker is None or survey.broker.address not in servers:
        return False
    try:
        return not ctx.redis_broker
    except Unavailable:
        return True


def _sessions(ctx: Context) -> Iterator[Finding]:
    for survey in ctx.surveys.values():
        alias = survey.django.get("session_cache")
        backend = str(((survey.django.get("CACHES") or {}).get(alias) or {}).get("BACKEND") or "")
        if alias and backend.endswith(("LocMemCache", "DummyCache")) and not survey.django.get("DEBUG"):
            yield warn(
                f"sessions are kept in cache {alias}, which is {backend.rpartition('.')[2]}: each process has its own",
                hint='SESSION_ENGINE = "django.contrib.sessions.backends.db", or a cache on Redis',
                subject=alias,
            )


@check("django.static", stage=Stage.READY, needs=["celery.app", "websocket.server"])
def static(ctx: Context) -> Iterator[Finding]:
    """Static files were collected.

    A storage with a manifest (WhiteNoise's, ManifestStaticFilesStorage) looks every file up in staticfiles.json;
    without DEBUG a page that names one is answered with 500: "Missing staticfiles manifest entry". Shows as: the admin
    and every page with a style sheet fail, an API works. Asked where a web server runs; workers need none.
    Fix: collectstatic, as part of each deploy.
    """
    _ = ctx.web_server  # raises Skip where none runs
    survey = ctx.survey
    told = survey.django.get("static") or {}
    if told.get("manifest") and not told.get("collected") and not for_development(survey):
        yield fail(
            f"there is no {told['manifest']}: every page that names a static file is answered with 500",
            hint="python manage.py collectstatic --noinput   # where the web server runs, then restart it",
        )


def _databases(ctx: Context) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Alias and what the audit told of it, at the first place; Skip where there is nothing to ask."""
    audit = next(iter(audits_of(ctx).values()))
    for error in audit.errors:
        if error["step"] == "migrations":
            yield "default", {"error": error}
    yield from audit.migrations.items()
