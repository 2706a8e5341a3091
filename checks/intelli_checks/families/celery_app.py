"""Does the project load, and do its tasks leave the process that calls them?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from intelli_checks import Finding, Skip, Stage, check, fail, info, warn
from intelli_checks.context import Context
from intelli_checks.families.declared import for_tests, of_celery, place_of, told_in_time
from intelli_checks.probes.survey import Survey

_STEPS = {
    "settings": "the settings do not load",
    "app": "the Celery app does not load",
    "celery": "the Celery configuration cannot be read",
    "drivers": "the driver of broker or results does not load",
    "tasks": "a task module does not import",
}


@check("celery.app", stage=Stage.STATIC, timeout=120.0)
def app(ctx: Context) -> Iterator[Finding]:
    """The project imports and its Celery app loads.

    Cause: a wrong DJANGO_SETTINGS_MODULE or `-A` name, a wrong working directory, an interpreter without the project's
    dependencies, or an error in a module that is imported at start. How it shows: workers exit at once and restart in a
    loop; web processes do not start. How to fix: the finding names the module, the file and the line.

    Example: `No module named 'shop.settings.prod' (shop/celery.py:5)`: correct DJANGO_SETTINGS_MODULE.
    """
    surveys = ctx.surveys
    for survey in surveys.values():
        if error := told_in_time(survey.error(*_STEPS)):
            yield _broken(survey, error, survey.place if len(surveys) > 1 else "")
    if not any(survey.celery_app or survey.errors for survey in surveys.values()):
        raise Skip(f"no Celery app found in {ctx.survey.project}; name it with --app MODULE")


def _broken(survey: Survey, error: Mapping[str, Any], subject: str) -> Finding:
    where = place_of(survey, error)
    message = error["message"] if error["type"] in _SPEAKS_FOR_ITSELF else f"{error['type']}: {error['message']}"
    at = f" ({where})" if where and where not in message else ""
    return fail(
        f"{_STEPS[error['step']]}: {' '.join(str(message).split())}{at}",
        hint=_remedy(survey, error),
        subject=subject,
        step=error["step"],
        type=error["type"],
        file=error.get("file"),
        line=error.get("line"),
    )


_SPEAKS_FOR_ITSELF = ("ModuleNotFoundError", "ImproperlyConfigured", "Timeout", "Exit")


def _packages(module: str | None) -> set[str]:
    """`a.b.c` and what it lies in: where the top of it is missing, the name is wrong and nothing is to be installed."""
    parts = (module or "").split(".")
    return {".".join(parts[:size]) for size in range(1, len(parts) + 1)} - {""}


def _remedy(survey: Survey, error: Mapping[str, Any]) -> str:
    missing = str(error.get("missing") or "")
    if "Cannot mix new and old setting" in error["message"]:
        return f"celery upgrade settings {survey.extra.get('settings_file') or 'celeryconfig.py'} --django"
    if missing in _packages(survey.settings_module):
        return "correct DJANGO_SETTINGS_MODULE, or name the settings with --settings MODULE"
    if missing and missing.partition(".")[0] == re.split("[.:]", str(survey.extra.get("app_name") or ""))[0]:
        return "run from the project's folder, or name it with --project DIR, and the app with --app MODULE"
    if error["type"] == "ModuleNotFoundError":
        return _find_module(survey, error["step"], missing)
    tried = "python manage.py check" if survey.settings_module else f"celery -A {survey.celery_app or 'APP'} report"
    usual = f"correct {place_of(survey, error) or 'the module'}, then: {tried}"
    return str(error.get("hint") or _set_variable(error) or _install_app(survey, error) or usual)


def _find_module(survey: Survey, step: str, missing: str) -> str:
    """What to do about a module that is not there: a scheme is looked for as one, too."""
    if missing[:1] in {"'", '"'}:
        return f"write {missing[1:]}://... without the quotes around it: docker --env-file keeps them"
    if step == "drivers":
        return f"correct the scheme before :// in broker_url or result_backend, or: pip install {missing}"
    python = survey.extra.get("executable") or "the project's interpreter"
    return f"install it where {python} can see it, or name another interpreter with --python"


def _install_app(survey: Survey, error: Mapping[str, Any]) -> str:
    """What to do about a model of an app that is not installed, or by a longer name; empty for other errors."""
    model = re.search(r"Model class (\S+?)\.models\.\S+ doesn't declare an explicit app_label", str(error["message"]))
    if not model:
        return ""
    names = [str(app).partition(".apps.")[0] for app in survey.django.get("INSTALLED_APPS") or ()]
    if longer := next((name for name in names if name.endswith(f".{model[1]}")), ""):
        return f"import it as {longer}.models, as INSTALLED_APPS has it: grep -rn '{model[1]}.models' ."
    return f'INSTALLED_APPS += ["{model[1]}"]   # in the settings, then: python manage.py migrate'


def _set_variable(error: Mapping[str, Any]) -> str:
    """What to do about an environment variable an import wants and does not find; empty where it is none of those."""
    message = str(error["message"])
    if error["type"] == "KeyError":
        found = re.fullmatch(r"'([A-Z][A-Z0-9_]*)'", message)
    else:
        found = re.search(r"(?i)(?:set the |variable )['\"]?([A-Z][A-Z0-9_]{2,})\b", message)
    if not found or not found[1].isupper():
        return ""
    return (
        f"set {found[1]} where this is started, as the service has it (EnvironmentFile, env_file, .env); "
        'or ask where it is set: --via "docker compose exec -T web"'
    )


@check("celery.discovery", stage=Stage.STATIC, timeout=120.0, needs=["celery.app"])
@of_celery
def discovery(survey: Survey) -> Iterator[Finding]:
    """Workers import every task module of the project's Django apps.

    A worker knows the tasks of the modules its app imports. Without `autodiscover_tasks()` or `include` a `tasks.py` is
    imported by the web process alone, through the view that uses it. How it shows: the worker says "Received
    unregistered task of type ..." and drops the message, the task stays PENDING.

    How to fix: `app.autodiscover_tasks()` where the app is made. Example: a Celery app copied without its last line.
    An app that imports some of them may do so on purpose, where another one has the rest: that is a warning.
    """
    if (left := survey.extra.get("task_modules_left_out")) and not for_tests(survey):
        where = str(survey.celery_app).partition(":")[0].replace(".", "/") + ".py"
        chosen = any(task.module.endswith(".tasks") for task in survey.tasks)
        yield (warn if chosen else fail)(
            f"{', '.join(left[:3])}: defines tasks, and no worker imports it, so none of them is known there",
            hint=f"app.autodiscover_tasks() in {where}, then restart the workers",
            modules=list(left),
        )


@check("celery.eager", stage=Stage.STATIC, timeout=120.0, needs=["celery.app"])
@of_celery
def eager(survey: Survey) -> Iterator[Finding]:
    """Tasks are sent to workers, not run inside the caller.

    With `task_always_eager` on, `.delay()` runs the task in the web process: requests take as long as the task, workers
    stay idle, queues stay empty, the task's id stays PENDING for ever, and everything else looks healthy, because no
    broker is used. Without `task_eager_propagates` a failing task raises nothing and leaves nothing behind either. It
    belongs in test settings only.

    How to fix: remove the line the finding names, or unset the variable it reads. Example: `CELERY_TASK_ALWAYS_EAGER`
    left True in `settings/base.py`, or EAGER=1 in a `.env` file copied to the server.
    """
    if not survey.eager:
        return
    source = survey.extra.get("eager") or {}
    reason = f"EAGER mode is on: {eager_source(survey)}"
    if for_tests(survey):
        yield info(f"{reason} (test settings)", **_facts(source))
        return
    yield fail(
        f"{reason}; every task runs inside the process that calls it", hint=_off(survey, source), **_facts(source)
    )
    if not survey.conf.get("task_eager_propagates"):
        yield warn(
            "a task that fails in EAGER mode raises nothing: task_eager_propagates is off",
            hint="where EAGER is meant (tests), set CELERY_TASK_EAGER_PROPAGATES = True beside it",
        )


def eager_source(survey: Survey) -> str:
    """Who switched EAGER mode on: a variable of the environment, or a line of the project."""
    source = survey.extra.get("eager") or {}
    where = place_of(survey, source)
    for variable in source.get("variables", ()):
        if variable["set"]:
            origin = variable["origin"]
            place = "of this process" if origin == "environment" else f"from {place_of(survey, {'file': origin})}"
            return f"environment variable {variable['name']} {place}, read at {where}"
    return f"set at {where}" if where else "set at run time, in no settings file"


def _off(survey: Survey, source: Mapping[str, Any]) -> str:
    for variable in source.get("variables", ()):
        if variable["set"]:
            return f"unset {variable['name']} where web and workers start, then restart them"
    where = place_of(survey, source)
    return f"remove it from {where}, then restart web and workers (in development: intelli-ops eager off)"


def _facts(source: Mapping[str, Any]) -> dict[str, Any]:
    return {"file": source.get("file"), "line": source.get("line"), "variables": list(source.get("variables", ()))}
