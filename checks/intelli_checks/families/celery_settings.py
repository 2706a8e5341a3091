"""Are the settings Celery runs on the ones that were written?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import wraps
from typing import Any

from intelli_checks import Finding, Skip, Stage, check, fail, info, warn
from intelli_checks.context import Context
from intelli_checks.dsn import LOOPBACK
from intelli_checks.families.celery_started import started_otherwise, started_with
from intelli_checks.families.declared import Answer, for_tests, listed, of_celery, setting, transport_lacking
from intelli_checks.families.places import overriding
from intelli_checks.probes.senders import CONFIG, OVERRIDING
from intelli_checks.probes.survey import Survey
from intelli_checks.text import safe


def _suspicious(survey: Survey, *kinds: str) -> list[Mapping[str, Any]]:
    entries = (*survey.extra.get("settings_names", ()), *survey.extra.get("option_names", ()))
    return [entry for entry in entries if entry["kind"] in kinds]


@check("celery.default_app", stage=Stage.STATIC, needs=["celery.app"])
@of_celery
def default_app(survey: Survey) -> Iterator[Finding]:
    """Web processes use the project's Celery app.

    Cause: the package beside the settings does not import the app, so a process that only ran `django.setup()` does not
    know it, and `@shared_task` falls back to Celery's default app, whose broker is amqp://guest@localhost.
    Shows as: workers run well, `.delay()` in a view raises "Connection refused" for localhost:5672.
    Fix: import the app in the `__init__.py` of its package.
    Example: `config/__init__.py` is empty although `config/celery.py` exists.
    """
    if survey.extra.get("exposed") is False and survey.extra.get("shared_tasks"):
        named, _, attribute = str(survey.celery_app or "").partition(":")
        module = str(survey.extra.get("module") or named)
        package, _, name = module.rpartition(".")
        settings_package = str(survey.settings_module or "").rpartition(".")[0]
        beside = bool(package) and f"{settings_package}.".startswith(f"{package}.")
        package = package if beside else settings_package.partition(".")[0] or package
        file = f"{package.replace('.', '/')}/__init__.py" if package else "the settings' package"
        source = f".{name}" if beside else module
        yield fail(
            f"django.setup() does not load {module}: @shared_task in {listed(survey.extra['shared_tasks'])} "
            "uses Celery's default app and its broker amqp://guest@localhost:5672",
            hint=f"write into {file}: from {source} import {attribute or 'app'} as celery_app",
            module=module,
        )


@check("celery.namespace", stage=Stage.STATIC, needs=["celery.app"])
@of_celery
def namespace(survey: Survey) -> Iterator[Finding]:
    """The app takes its configuration from the settings.

    Cause: `config_from_object` is missing, names another module or another namespace, or something overwrites the
    values later. Shows as: rightly spelt CELERY_* settings without any effect. Fix: one line in the app's module.
    Example: `app.config_from_object("django.conf:settings")` without `namespace="CELERY"`.
    """
    ignored = [entry["name"] for entry in _suspicious(survey, "ignored")]
    if not ignored:
        return
    module = survey.extra.get("module") or survey.celery_app
    source, prefix = survey.extra.get("config_source"), survey.extra.get("namespace")
    if source and prefix:
        yield warn(
            f"{module} replaces what the settings say: {listed(ignored)}",
            hint=f"keep one of the two: look for app.conf in {module}",
            names=ignored,
        )
        return
    why = "has no namespace" if source else "is not called"
    yield fail(
        f"config_from_object {why} in {module}, so {len(ignored)} settings have no effect: {listed(ignored)}",
        hint=f'write into {module}: app.config_from_object("django.conf:settings", namespace="CELERY")',
        names=ignored,
    )


@check("celery.names", stage=Stage.STATIC, needs=["celery.namespace"])
@of_celery
def names(survey: Survey) -> Iterator[Finding]:
    """Every Celery setting has a name that Celery reads.

    Cause: a misspelt name, or one without the CELERY_ prefix; Celery ignores what it does not know without a word.
    Shows as: a setting has no effect. Fix: the finding names what was probably meant.
    Example: CELERY_TASK_ALWAYS_EAGERR, or TASK_TIME_LIMIT where CELERY_TASK_TIME_LIMIT is read.
    """
    for entry in _suspicious(survey, "unknown", "unprefixed"):
        name, meant = entry["name"], entry["meant"]
        if meant is None:
            yield info(f"{name} is not a Celery setting; it has an effect only if your own code reads it", subject=name)
        elif entry["meant_is_set"]:
            yield warn(f"{name} has no effect; {meant} has, and is set too", hint=f"remove {name}", subject=name)
        else:
            why = "is not a Celery setting" if entry["kind"] == "unknown" else "lacks its prefix"
            yield fail(f"{name} {why} and has no effect", hint=f"did you mean {meant}? rename it", subject=name)


@check("celery.deprecated", stage=Stage.STATIC, needs=["celery.app"])
@of_celery
def deprecated(survey: Survey) -> Iterator[Finding]:
    """No setting carries a name of the time before Celery 4.

    Old names still work alone; mixed with new ones Celery refuses to start ("Cannot mix new and old setting keys"), and
    Celery 6 drops them. Fix: `celery upgrade settings FILE` renames them. Example: CELERYD_PREFETCH_MULTIPLIER.
    """
    old = survey.extra.get("deprecated") or ()
    if old:
        file = survey.extra.get("settings_file") or "celeryconfig.py"
        django = " --django" if survey.settings_module else ""
        yield warn(f"names from before Celery 4: {listed(old)}", hint=f"celery upgrade settings {file}{django}")


@check("celery.environment", stage=Stage.STATIC, needs=["celery.places"])
@of_celery
def environment(survey: Survey) -> Iterator[Finding]:
    """No environment variable replaces the broker the settings name.

    Celery itself reads CELERY_BROKER_URL (and _READ_URL, _WRITE_URL) from the environment before any settings.
    Shows as: the settings are right, yet the process talks to another broker, and a process started without the
    variable to the first. Fix: read that very variable in the settings, or unset it.
    Example: `export CELERY_BROKER_URL=redis://staging/0` in a shell profile.
    """
    if variable := overriding(survey):
        configured = survey.extra["broker_configured"]
        yield fail(
            f"{variable} sends messages to {survey.broker}, the settings say {configured}",
            hint=f'unset {variable}, or {setting(survey, "broker_url")} = os.environ["{variable}"]',
            used=str(survey.broker),
            configured=configured,
        )


def _with_a_workers_own(answer: Answer) -> Answer:
    """Say of a broker that nobody configures here which worker has one, and from where."""

    @wraps(answer)
    def told(ctx: Context) -> Iterator[Finding]:
        for finding in answer(ctx):
            yield _as_a_worker_has_it(ctx, finding) if finding.facts.get("kind") == "none" else finding

    return told


def _as_a_worker_has_it(ctx: Context, finding: Finding) -> Finding:
    """Where nobody here configures a broker, and a worker that runs was told one: what tells it to whoever sends."""
    worker = next((one for one in started_otherwise(ctx).values() if one.origin[0]), None)
    if worker is None:
        return finding
    name, value = worker.origin
    variable = {"--config": CONFIG}.get(name, OVERRIDING[-1] if name.startswith("-") else name)
    same = f"{variable}={safe(value)}" if variable == CONFIG else f"{variable}=..."
    return replace(
        finding,
        message=f"{finding.message}; a worker (pid {worker.pid}) has one, it was started with "
        f"{started_with(name, value)}",
        hint=f"export {same}   # as that worker has it, for whoever sends and for this command; or write it into the "
        "settings",
    )


@check("celery.broker_url", stage=Stage.STATIC, needs=["celery.app", "celery.namespace", "celery.default_app"])
@_with_a_workers_own
@of_celery
def broker_url(survey: Survey) -> Iterator[Finding]:
    """A broker is configured, and other processes can reach it.

    Cause: an empty URL, or one without a scheme, makes Celery fall back to amqp://guest@localhost:5672; `memory://`
    stays inside one process; in a container, `localhost` is the container itself; redis-py is missing, or too old for
    kombu, or another package its transport imports is not there.
    Shows as: "Connection refused" for a port nobody configured, or tasks that no worker ever sees.
    Fix: give a whole URL. Example: CELERY_BROKER_URL="localhost:6379/0" instead of "redis://localhost:6379/0".
    """
    for entry in _suspicious(survey, "unknown", "unprefixed"):
        if str(entry["meant"]).upper().endswith("BROKER_URL"):
            raise Skip(f"because of {entry['name']}", because="celery.names")
    name = setting(survey, "broker_url")
    broker = survey.broker
    if not survey.conf.get("broker_url") and not _given_in_parts(survey):
        yield fail(
            f"no broker is configured: Celery falls back to {broker or 'amqp://guest@localhost:5672'}",
            hint=f'{name} = "redis://127.0.0.1:6379/0" (whole, with its scheme)',
            kind="none",
        )
    elif str(survey.conf.get("broker_url"))[:1] in {"'", '"'}:
        yield fail(
            f"{name} is wrapped in quotes, so Celery finds no transport of that name",
            hint=f"remove the quotes where {name} is set: docker --env-file and systemd keep them",
        )
    elif "://" not in str(survey.conf.get("broker_url") or "://"):
        yield fail(
            f"{name} has no scheme, so Celery takes it for AMQP ({broker})",
            hint=f'{name} = "redis://{survey.conf["broker_url"]}"',
        )
    elif broker and not broker.unencoded and (option := _unknown_option(survey)):
        yield fail(
            f"{name} has an option kombu does not take there, {option}: workers and senders raise TypeError",
            hint=f"{setting(survey, 'broker_transport_options')} = {{'{option}': ...}} instead",
        )
    elif broker and broker.scheme == "memory" and not for_tests(survey):
        yield fail("the broker is memory://: no other process ever sees a task", hint=f'{name} = "redis://HOST:6379/0"')
    elif lacking := transport_lacking(survey):
        yield lacking
    elif broker and survey.extra.get("container") and broker.host in LOOPBACK and not broker.unix_path:
        yield info(f"inside a container {broker.host} is the container itself, and the broker is {broker}")


def _unknown_option(survey: Survey) -> str:
    """The option of the broker's URL that Celery cannot pass on; empty where it takes them all."""
    found = re.search(r"unexpected keyword argument '(\w+)'", str(survey.extra.get("broker_refused") or ""))
    return found[1] if found else ""


def _given_in_parts(survey: Survey) -> bool:
    return any(
        survey.conf.get(part) for part in ("broker_host", "broker_transport", "broker_read_url", "broker_write_url")
    )


@check("celery.startup", stage=Stage.STATIC, needs=["celery.app"])
@of_celery
def startup(survey: Survey) -> Iterator[Finding]:
    """Workers wait for a broker that starts later than they do.

    With `broker_connection_retry_on_startup` off a worker ends with "Retrying to establish a connection ... has been
    disabled" when Redis is not there yet, as at every start of a whole machine. Fix: leave it on.
    Example: CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = False.
    """
    if survey.conf.get("broker_connection_retry_on_startup") is False:
        name = setting(survey, "broker_connection_retry_on_startup")
        yield warn("a worker that starts before the broker exits", hint=f"{name} = True")


@check("celery.pickle", stage=Stage.STATIC, needs=["celery.app"])
@of_celery
def pickle(survey: Survey) -> Iterator[Finding]:
    """Workers do not accept pickle.

    Whoever can write to the broker runs any code in a worker that accepts pickle. Fix: JSON, and
    identifiers in place of objects. Example: CELERY_ACCEPT_CONTENT = ["json", "pickle"].
    """
    accepted = {_content(one) for one in survey.conf.get("accept_content") or ()}
    if "pickle" in accepted:
        yield warn(
            "workers unpickle messages: whoever can write to the broker can run code in them",
            hint=f'{setting(survey, "accept_content")} = ["json"]',
        )


@check("celery.serializers", stage=Stage.STATIC, needs=["celery.app"])
@of_celery
def serializers(survey: Survey) -> Iterator[Finding]:
    """Workers accept the content this project sends.

    A message whose serializer is not in `accept_content` is refused ("Refusing to deserialize untrusted content") and
    gone; its task stays PENDING. Fix: send what is accepted.
    Example: CELERY_TASK_SERIALIZER = "pickle" with CELERY_ACCEPT_CONTENT = ["json"].
    """
    accepted = {_content(one) for one in survey.conf.get("accept_content") or ("json",)}
    sent: dict[str, list[str]] = {}
    for task in survey.tasks:
        if task.serializer and _content(task.serializer) not in accepted:
            sent.setdefault(task.serializer, []).append(task.name)
    default = str(survey.conf.get("task_serializer") or "json")
    if _content(default) not in accepted:
        sent.setdefault(default, ["every task"])
    for serializer, tasks in sent.items():
        yield fail(
            f"{listed(tasks)} is sent as {serializer}, which workers refuse: they accept {listed(sorted(accepted))}",
            hint=f'{setting(survey, "task_serializer")} = "{min(accepted)}"',
            subject=serializer,
        )


_CONTENT_TYPES = {
    "application/json": "json",
    "application/x-python-serialize": "pickle",
    "application/x-yaml": "yaml",
    "application/x-msgpack": "msgpack",
    "application/data": "auth",
}


def _content(name: object) -> str:
    return _CONTENT_TYPES.get(str(name), str(name))
