"""Are results kept where they are needed, and not for ever?"""

from __future__ import annotations

from collections.abc import Iterator

from intelli_checks import Finding, Stage, check, fail, info, warn
from intelli_checks.families.declared import for_development, listed, of_celery, place_of, setting, usage
from intelli_checks.probes.survey import Survey

PROCESS_LOCAL = ("cache+memory://", "memory://", "cache+locmem")


def results_off(survey: Survey) -> bool:
    """Whether no task's result is stored."""
    return survey.extra.get("results_backend") == "DisabledBackend"


@check("celery.result_backend", stage=Stage.STATIC, needs=["celery.app"])
@of_celery
def result_backend(survey: Survey) -> Iterator[Finding]:
    """Code that waits for results has a result backend.

    Cause: `result_backend` is not set (or `disabled://`, or kept in one process's memory), while the code uses a chord
    or `.get()`. Shows as: NotImplementedError "No result backend is configured", or results that stay PENDING in every
    other process. Fix: set one. Without such code, results off is a sound choice.
    Example: `chord(header)(body)` without CELERY_RESULT_BACKEND.
    """
    uses = [*usage(survey, "chord"), *usage(survey, "get")]
    example = f'{setting(survey, "result_backend")} = "redis://127.0.0.1:6379/0"'
    where = listed(place_of(survey, use) for use in uses)
    stored = _in_one_process(survey)
    if results_off(survey) and uses and not survey.eager:
        yield fail(f"results are off, but the code waits for them at {where}", hint=example, uses=len(uses))
    elif stored and not for_development(survey):
        message = f"results are kept in the memory of one process ({stored}): no other ever sees them"
        yield fail(message, hint=example) if uses else warn(message, hint=example)
    ignored = [task.name for task in survey.tasks if task.ignore_result]
    if not results_off(survey) and usage(survey, "get") and ignored and len(ignored) == len(survey.tasks):
        yield warn(
            f"every task ignores its result, but the code waits for one at {where}: it stays PENDING",
            hint=f"{setting(survey, 'task_ignore_result')} = False, or ignore_result=False on that task",
        )


def _in_one_process(survey: Survey) -> str:
    """The result backend, if it is the memory of whoever writes to it; so is Django's cache until it is set."""
    stored = str(survey.conf.get("result_backend") or "")
    if stored.startswith(PROCESS_LOCAL):
        return stored
    alias = str(survey.conf.get("cache_backend") or "default")
    cache = (survey.django.get("CACHES") or {}).get(alias) or {}
    local = str(cache.get("BACKEND")).endswith((".LocMemCache", ".DummyCache"))
    return f"{stored}, and cache {alias!r} is {cache['BACKEND']}" if stored == "django-cache" and local else ""


@check("celery.result_expiry", stage=Stage.STATIC, needs=["celery.app"])
@of_celery
def result_expiry(survey: Survey) -> Iterator[Finding]:
    """Results expire.

    With `result_expires` 0 or None every result stays in Redis until its memory is full, and then the broker in the
    same server refuses messages. Fix: an hour to a day. Example: CELERY_RESULT_EXPIRES = None.
    """
    expires = survey.conf.get("result_expires")
    if survey.results is not None and survey.results.is_redis and not expires:
        yield warn(
            "results never expire: they stay in Redis until its memory is full",
            hint=f"{setting(survey, 'result_expires')} = 3600",
        )


@check("celery.started", stage=Stage.STATIC, needs=["celery.app"])
@of_celery
def started(survey: Survey) -> Iterator[Finding]:
    """PENDING means what its reader takes it for.

    Without `task_track_started` a running task is PENDING, as is one that was never sent, one whose result is ignored
    and one whose result has expired. Nothing is wrong with that, as long as nobody shows PENDING to a user.
    """
    if not results_off(survey) and survey.tasks and not survey.conf.get("task_track_started"):
        yield info(f"a running task shows PENDING: {setting(survey, 'task_track_started')} is off")
