"""Is the Django side fit to serve and to run tasks?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from intelli_checks import Finding, Skip, Stage, Unavailable, check, fail, info, warn
from intelli_checks.context import Context
from intelli_checks.families.declared import caches_on, for_development, listed, of_django, place_of, spare_database
from intelli_checks.probes.survey import Audit, Survey

DJANGO_ERROR = 40
TOLD_ELSEWHERE = frozenset({"daphne.E001"})
"""Messages another check of ours names as the cause: `channels.server`."""
GIB = 1024**3
WINDOWED = ("tk", "qt", "gtk", "wx", "macosx", "nbagg", "webagg")
"""First letters of the matplotlib backends that open windows."""


def serves_people(survey: Survey) -> bool:
    """Whether the settings call themselves a production's: then what a developer may do is a fault."""
    name = (survey.settings_module or "").lower()
    return any(word in name for word in ("prod", "live", "staging", "deploy"))


@check("django.debug", stage=Stage.STATIC, needs=["celery.app"])
@of_django
def debug(survey: Survey) -> Iterator[Finding]:
    """Production does not run with DEBUG.

    DEBUG shows settings and tracebacks to anybody, and makes every process, workers included, remember each SQL query.
    In development settings it is right. Fix: DEBUG = False. Example: `DEBUG = env.bool("DEBUG", True)` in prod.py.
    """
    if survey.django.get("DEBUG") and serves_people(survey):
        yield fail(f"DEBUG is on in {survey.settings_module}", hint="DEBUG = False there, then restart web and workers")


@check("django.allowed_hosts", stage=Stage.STATIC, needs=["celery.app"])
@of_django
def allowed_hosts(survey: Survey) -> Iterator[Finding]:
    """Django knows the names it is called by.

    Without DEBUG, an empty ALLOWED_HOSTS answers every request with 400 (DisallowedHost), and the origin validator of
    Channels rejects every WebSocket with 403; "*" accepts forged Host headers. Fix: list the names.
    Example: ALLOWED_HOSTS = ["shop.example.com"].
    """
    served = survey.django.get("WSGI_APPLICATION") or survey.django.get("ASGI_APPLICATION")
    if not served or for_development(survey):
        return
    hosts = survey.django.get("ALLOWED_HOSTS") or []
    useless = {host: meant for host in hosts if (meant := _host_meant(str(host))) and meant not in hosts}
    if not hosts:
        yield fail("ALLOWED_HOSTS is empty: every request is answered with 400", hint='ALLOWED_HOSTS = ["your.domain"]')
    elif "*" in hosts:
        yield warn("ALLOWED_HOSTS accepts any Host header", hint='ALLOWED_HOSTS = ["your.domain"]')
    elif useless:
        others = [host for host in hosts if host not in useless and host not in _LOOPBACK]
        right = ", ".join(f'"{meant}"' for meant in dict.fromkeys(useless.values()))
        yield (warn if others else fail)(
            f"{listed(useless)} in ALLOWED_HOSTS matches no request: what is asked of it is answered with 400",
            hint=f"ALLOWED_HOSTS = [{right}]   # a name alone; a leading dot for all below it",
        )


_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]", "testserver"})


def _host_meant(entry: str) -> str:
    """The name an entry should have been that has a scheme, a port, a path or a wildcard; empty for a right one."""
    name = entry.partition("://")[2] or entry
    name = re.sub(r"(?<!:):\d+$", "", name.partition("/")[0])
    meant = f".{name[2:]}" if name.startswith("*.") else name
    return meant if meant != entry else ""


@check("django.secret_key", stage=Stage.STATIC, needs=["celery.app"])
@of_django
def secret_key(survey: Survey) -> Iterator[Finding]:
    """The secret key is a secret.

    Sessions, password resets and signed values are only as good as SECRET_KEY. The placeholder of `startproject`
    ("django-insecure-...") or a short key can be guessed. Development settings may have one.
    """
    strength = survey.django.get("key_strength")
    if strength in {"insecure", "weak"} and not for_development(survey):
        what = "is the placeholder of startproject" if strength == "insecure" else "is short or monotonous"
        yield warn(
            f"SECRET_KEY {what}",
            hint='put another into the environment: python -c "import secrets; print(secrets.token_urlsafe(50))"',
        )


@check("django.settings", stage=Stage.STATIC, needs=["celery.app"])
@of_django
def settings(survey: Survey) -> Iterator[Finding]:
    """Workers and web fall back to the same settings module.

    manage.py, celery.py and asgi.py each name a default for DJANGO_SETTINGS_MODULE; where the variable is not set, a
    worker may run on other settings than the web server. Shows as: a broker, database or EAGER flag that differs.
    Fix: the same default, or set the variable everywhere. Example: celery.py says development, asgi.py production.
    """
    defaults: Mapping[str, str] = survey.extra.get("settings_defaults") or {}
    workers = {file: module for file, module in defaults.items() if file.endswith("celery.py")}
    servers = {file: module for file, module in defaults.items() if file.endswith(("asgi.py", "wsgi.py"))}
    for file, module in workers.items():
        others = {other: named for other, named in servers.items() if named != module}
        if others:
            told = ", ".join(f"{other} {named}" for other, named in others.items())
            yield warn(
                f"{file} falls back to {module}, but {told}",
                hint="set DJANGO_SETTINGS_MODULE wherever web and workers start, or name one module in all of them",
            )


@check("django.sqlite", stage=Stage.STATIC, needs=["celery.app"])
@of_django
def sqlite(survey: Survey) -> Iterator[Finding]:
    """Web and workers do not write to one SQLite file in production.

    SQLite has one writer at a time. Shows as: OperationalError "database is locked" under load; in containers each has
    a file of its own. Fix: PostgreSQL; until then WAL, `timeout` 20 and `transaction_mode` IMMEDIATE in OPTIONS.
    """
    for alias, database in (survey.django.get("DATABASES") or {}).items():
        if str(database.get("ENGINE") or "").endswith("sqlite3") and survey.celery_app:
            message = f"database {alias} is SQLite, which web and workers write to in turns"
            if for_development(survey):
                yield info(message, subject=alias)
            else:
                yield warn(message, hint="use PostgreSQL (DATABASES) where people wait for it", subject=alias)


@check("django.cache_database", stage=Stage.STATIC, needs=["celery.app", "celery.eager"])
@of_django
def cache_database(survey: Survey) -> Iterator[Finding]:
    """Caches and broker do not share one Redis database.

    `cache.clear()` of Django's RedisCache and of django-redis is a FLUSHDB: it deletes every queued task, and nobody
    gets an error. Shows as: queues that are empty after a deployment or a management command. Fix: another number.
    Example: broker redis://h/0, LOCATION redis://h/0.
    """
    if survey.broker is None or survey.broker.transport != "redis" or survey.broker.unix_path:
        return
    for alias in caches_on(survey, survey.broker.address, survey.broker.database):
        yield warn(
            f"cache {alias} and the broker share database {survey.broker.database} of {survey.broker.address}: "
            "cache.clear() deletes every queued task",
            hint=f'CACHES["{alias}"]["LOCATION"] = "redis://{survey.broker.address}/{spare_database(survey)}"',
            subject=alias,
        )


@check("django.media", stage=Stage.STATIC, needs=["celery.app"])
@of_django
def media(survey: Survey) -> Iterator[Finding]:
    """What tasks make can be stored.

    MEDIA_ROOT must exist or be creatable, be writable for the user web and workers run as, and have room. Shows as:
    PermissionError, or "No space left on device" and truncated files. Fix: chown, or make room.
    """
    told = survey.django.get("media")
    if not told:
        return
    if not told["writable"]:
        yield fail(
            f"MEDIA_ROOT {told['path']} is not writable for uid {survey.extra.get('uid')}",
            hint=f"chown -R {survey.extra.get('uid')} {told['path']}",
        )
    free = int(told["free_bytes"])
    message = f"{free / GIB:.1f} GiB are left for MEDIA_ROOT {told['path']}"
    if free < GIB // 10:
        yield fail(message, hint=f"du -xh {told['path']} | sort -h | tail", free_bytes=free)
    elif free < GIB and free < int(told["total_bytes"]) // 20:
        yield warn(message, hint=f"du -xh {told['path']} | sort -h | tail", free_bytes=free)


@check("django.matplotlib", stage=Stage.STATIC, needs=["celery.app"])
@of_django
def matplotlib(survey: Survey) -> Iterator[Finding]:
    """Charts are drawn without a screen.

    MPLBACKEND naming a window system makes matplotlib raise ImportError ("headless"), or crash, in a worker.
    Fix: MPLBACKEND=Agg in the environment of web and workers. Example: TkAgg from a developer's shell profile.
    """
    backend = str((survey.django.get("cpu_hints") or {}).get("MPLBACKEND") or "")
    if backend.lower().startswith(WINDOWED):
        yield fail(
            f"MPLBACKEND={backend} needs a screen: drawing fails in a worker",
            hint="export MPLBACKEND=Agg where web and workers start, then restart them",
        )


# -- Django's own opinion: asked at length, beside the survey ---------------------------------------------------------


def audits_of(ctx: Context) -> Mapping[str, Audit]:
    """The audits, asked for at once rather than after the survey; what stops both is told by `celery.app` alone."""
    try:
        audits = ctx.audits
    except Unavailable:
        audits = {}
    try:
        surveys = ctx.surveys
    except Unavailable:
        raise Skip("the project does not load", because="celery.app") from None
    if any(survey.error("settings") for survey in surveys.values()):
        raise Skip("the settings do not load", because="celery.app")
    if not any(survey.django for survey in surveys.values()):
        raise Skip("this project has no Django settings")
    return audits or ctx.audits


@check("django.checks", stage=Stage.STATIC, timeout=60.0)
def checks(ctx: Context) -> Iterator[Finding]:
    """Django's system checks find no error.

    What `manage.py check` says at error level: a worker of a Django project runs the same checks and does not start.
    Warnings are listed as information. Fix: each message has its own hint. Example: daphne.E001.
    """
    for audit in audits_of(ctx).values():
        for error in audit.errors:
            if error["step"] == "system checks":
                where = place_of(ctx.surveys[audit.place], error)
                yield fail(
                    f"{error['type']}: {error['message']}",
                    hint=f"correct {where or 'it'}, then: python manage.py check",
                )
        for message in audit.system_checks:
            if message["id"] in TOLD_ELSEWHERE:
                continue
            text = f"{message['id']}: {' '.join(message['message'].split())}"
            if message["level"] >= DJANGO_ERROR:
                yield fail(text, hint=message["hint"] or "python manage.py check", subject=message["object"] or "")
            else:
                yield info(text, subject=message["object"] or "")


@check("django.deploy", stage=Stage.STATIC, timeout=60.0, needs=["django.checks"])
def deploy(ctx: Context) -> Iterator[Finding]:
    """Production settings pass Django's deployment checks.

    What `manage.py check --deploy` adds: cookies, HSTS, SSL redirect. It is asked of settings that call themselves
    production, staging or live; for the others it would only be noise. Fix: each message says how.
    """
    if not any(serves_people(survey) for survey in ctx.surveys.values()):
        raise Skip("these settings are not called production")
    for audit in audits_of(ctx).values():
        if audit.deploy_checks:
            told = listed((message["id"] for message in audit.deploy_checks), 12)
            yield warn(
                f"check --deploy says {told}",
                hint=f"python manage.py check --deploy --settings {ctx.survey.settings_module}",
            )
