"""Would this configuration lose work, or do it twice?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from intelli_checks import Finding, Skip, Stage, check, fail, info, warn
from intelli_checks.families.declared import listed, of_celery, place_of, setting, usage, version_of
from intelli_checks.probes.survey import Survey, TaskDecl

DEFAULT_VISIBILITY = 3600.0
"""Seconds; kombu.transport.redis, Channel.visibility_timeout."""


def visibility_timeout(survey: Survey) -> float:
    """Seconds after which this project's broker delivers an unacknowledged message again."""
    options = survey.conf.get("broker_transport_options") or {}
    try:
        return float(options.get("visibility_timeout") or DEFAULT_VISIBILITY)
    except (TypeError, ValueError):
        return DEFAULT_VISIBILITY


@check("celery.visibility", stage=Stage.STATIC, needs=["celery.app"])
@of_celery
def visibility(survey: Survey) -> Iterator[Finding]:
    """No task outlives the visibility timeout.

    Cause: Redis delivers again what is not acknowledged within `visibility_timeout` (3600 s unless set): with acks_late
    that is every task that runs longer, with an ETA or countdown every task that waits longer.
    Shows as: one task id running on several workers at once, again and again.
    Fix: a timeout above the longest run plus the longest wait.
    Example: `visibility_timeout` 300 with `time_limit` 600 and acks_late.
    """
    if survey.broker is None or not survey.broker.is_redis:
        raise Skip("only Redis brokers have a visibility timeout")
    timeout = visibility_timeout(survey)
    late = [task for task in survey.tasks if task.acks_late]
    longest = max(late, key=lambda task: limit_of(task) or 0.0, default=None)
    if longest and (limit_of(longest) or 0.0) >= timeout:
        seconds = limit_of(longest) or 0.0
        yield fail(
            f"{longest.name} may run {seconds:g} s, is acknowledged late, and Redis repeats it after {timeout:g} s",
            hint=_longer(survey, seconds),
            subject=longest.name,
            visibility_timeout=timeout,
        )
    endless = [task.name for task in late if limit_of(task) is None]
    if endless and timeout < DEFAULT_VISIBILITY:
        yield warn(
            f"nothing ends {listed(endless)} before Redis delivers it again after {timeout:g} s",
            hint=f"{setting(survey, 'task_time_limit')} = {int(timeout * 0.8)}",
            visibility_timeout=timeout,
        )
    for use in usage(survey, "countdown"):
        if use["seconds"] >= timeout:
            where = place_of(survey, use)
            yield fail(
                f"a countdown of {use['seconds']:g} s at {where}, but Redis delivers it again after {timeout:g} s",
                hint=f"{_longer(survey, use['seconds'])}; or keep the due time in the database and let beat send it",
                subject=where,
            )


def limit_of(task: TaskDecl) -> float | None:
    """Seconds after which the task is ended for certain; None when nothing ends it."""
    return task.time_limit or None


def _longer(survey: Survey, seconds: float) -> str:
    options = dict(survey.conf.get("broker_transport_options") or {})
    wanted: dict[str, Any] = {**options, "visibility_timeout": int(seconds * 1.5)}
    wanted = {name: value for name, value in wanted.items() if "password" not in name and "kwargs" not in name}
    return f"{setting(survey, 'broker_transport_options')} = {wanted}"


@check("celery.acks_late", stage=Stage.STATIC, needs=["celery.app"])
@of_celery
def acks_late(survey: Survey) -> Iterator[Finding]:
    """What happens to a late-acknowledged task when its process dies is a choice.

    With acks_late alone, a task whose process is killed (memory, segfault) is acknowledged and marked failed. With
    `task_reject_on_worker_lost` too, it is given back and run again, for ever if it is the task that kills: decide per
    task, and only where a second run does no harm. Example: `@app.task(acks_late=True, reject_on_worker_lost=True)`.
    """
    lost = [task.name for task in survey.tasks if task.acks_late and not task.reject_on_worker_lost]
    if lost:
        yield info(f"a killed process fails these instead of running them again: {listed(lost)}", tasks=len(lost))
    poison = [task for task in survey.tasks if task.acks_late and task.reject_on_worker_lost]
    if poison:
        yield info(f"a task that kills its process is run again without end: {listed(task.name for task in poison)}")


@check("celery.time_limits", stage=Stage.STATIC, needs=["celery.app"])
@of_celery
def time_limits(survey: Survey) -> Iterator[Finding]:
    """Time limits are set where the pool keeps them.

    Only prefork keeps both limits. solo and threads ignore them, gevent and eventlet keep the hard one; Windows has no
    working prefork. A soft limit at or above the hard one never fires, and since Celery 5.5 nobody can send a task
    whose soft limit is above it (`Task.apply_async`).
    Shows as: a task with a limit of 60 s that runs for an hour. Fix: prefork, or time-outs inside the task.
    Example: CELERY_WORKER_POOL = "solo" with CELERY_TASK_TIME_LIMIT = 60.
    """
    limited = [task for task in survey.tasks if task.time_limit or task.soft_time_limit]
    pool = str(survey.conf.get("worker_pool") or "prefork").rpartition(".")[2].partition(":")[0]
    if limited and pool in {"solo", "threads"}:
        yield warn(
            f"the {pool} pool ignores the time limits of {listed(task.name for task in limited)}",
            hint=f'{setting(survey, "worker_pool")} = "prefork" (on Windows: set time-outs inside the tasks)',
        )
    for task in limited:
        hard, soft = task.time_limit or 0, task.soft_time_limit or 0
        if not 0 < hard <= soft:
            continue
        refused = soft > hard and (version_of(survey, "celery") or (0,)) >= (5, 5)
        yield (fail if refused else warn)(
            f"the soft limit of {soft:g} s cannot fire before the hard {hard:g} s"
            + (": whoever sends the task gets a ValueError" if refused else ""),
            hint="make soft_time_limit a few seconds shorter than time_limit",
            subject=task.name,
        )


@check("celery.multiplier", stage=Stage.STATIC, needs=["celery.app"])
@of_celery
def multiplier(survey: Survey) -> Iterator[Finding]:
    """Workers do not reserve long tasks they cannot start.

    `worker_prefetch_multiplier` (4 unless set) times the concurrency is what a worker takes from the queue; 0 takes
    everything. Behind a long task the reserved ones wait although another worker is free. Fix: 1 for long tasks.
    Example: multiplier 4 and concurrency 2 with tasks of ten minutes.
    """
    value = survey.conf.get("worker_prefetch_multiplier")
    long = [task.name for task in survey.tasks if max(task.time_limit or 0, task.soft_time_limit or 0) >= 60]
    if value == 0:
        yield warn(
            "one worker reserves the whole queue: worker_prefetch_multiplier is 0",
            hint=f"{setting(survey, 'worker_prefetch_multiplier')} = 1",
        )
    elif long and isinstance(value, (int, float)) and value > 1:
        chosen = "worker_prefetch_multiplier" in survey.conf_changed
        message = f"a busy worker reserves {value:g} tasks per process of {listed(long)}"
        hint = f"{setting(survey, 'worker_prefetch_multiplier')} = 1, or --prefetch-multiplier=1 for their workers"
        yield warn(message, hint=hint) if chosen else info(message, next=hint)


@check("celery.backoff", stage=Stage.STATIC, needs=["celery.app"])
@of_celery
def backoff(survey: Survey) -> Iterator[Finding]:
    """Automatic retries give what failed time to recover.

    Cause: `autoretry_for` without `retry_backoff`, or with `max_retries=None`. Shows as: an outage elsewhere fills the
    queues with retries of the same tasks. Fix: `retry_backoff=True` and a limit.
    Example: `@shared_task(autoretry_for=(Exception,), max_retries=None)`.
    """
    endless = [task.name for task in survey.tasks if task.autoretry and task.max_retries is None]
    if endless:
        yield warn(f"retried for ever: {listed(endless)}", hint="give them max_retries, for example 5")
    eager = [
        task.name for task in survey.tasks if task.autoretry and not task.retry_backoff and task.name not in endless
    ]
    if eager:
        yield info(f"retried at a constant pace: {listed(eager)}; retry_backoff=True spreads them")


@check("celery.coroutines", stage=Stage.STATIC, needs=["celery.app"])
@of_celery
def coroutines(survey: Survey) -> Iterator[Finding]:
    """Every task is a plain function.

    Celery's pools call a task and wait for nothing (`celery.app.trace`): an `async def` gives them a coroutine, and its
    body never runs. Not asked where a pool is installed or named that is not Celery's, such as celery-aio-pool.
    Shows as: "coroutine ... was never awaited" in the worker's log, and with JSON results an EncodeError.
    Fix: a plain function around it. Example: `@shared_task async def fetch(page): ...`.
    """
    if survey.extra.get("foreign_pool"):
        return
    for task in survey.tasks:
        if task.coroutine:
            function = task.name.rpartition(".")[2]
            yield fail(
                f"{task.name} is an async def, and Celery awaits none: its body never runs",
                hint=f"@shared_task on a plain def {function}(...): that returns "
                f"async_to_sync({function}_async)(...), from asgiref.sync, with the async def called {function}_async",
                subject=task.name,
            )


@check("celery.transactions", stage=Stage.STATIC, needs=["celery.app"])
@of_celery
def transactions(survey: Survey) -> Iterator[Finding]:
    """Tasks are sent after the transaction that made their rows.

    Cause: `.delay()` inside `transaction.atomic()` or a request under ATOMIC_REQUESTS, or in a receiver of `post_save`
    or `m2m_changed`: the admin saves in a transaction, and so does `add()` of a many-to-many relation
    (`django.db.models.fields.related_descriptors`). The worker is often faster than the commit.
    Shows as: DoesNotExist for a row that exists, now and then. Fix: `transaction.on_commit`, or
    `task.delay_on_commit()` (Celery 5.4 and later).
    Example: `with transaction.atomic(): job.save(); run.delay(job.pk)`.
    """
    waiting = survey.extra.get("sent_on_commit") or ()
    inside = [use for use in usage(survey, "sent_in_transaction") if use.get("task") not in waiting]
    for use in inside:
        yield warn("a task is sent before its transaction commits", hint=_LATER, subject=place_of(survey, use))
    atomic = _atomic_requests(survey)
    told = {place_of(survey, use) for use in inside}
    for use in usage(survey, "sent_in_receiver"):
        if use["task"] not in waiting and (where := place_of(survey, use)) not in told:
            yield _sent_by_receiver(survey, use, where, atomic)
    if atomic:
        yield info(f"ATOMIC_REQUESTS ({listed(atomic)}): what a view sends with .delay() is sent before the commit")


_LATER = "transaction.on_commit(lambda: task.delay(...)), or task.delay_on_commit(...)"


def _atomic_requests(survey: Survey) -> list[str]:
    databases = survey.django.get("DATABASES") or {}
    return [alias for alias, database in databases.items() if database.get("ATOMIC_REQUESTS")]


def _sent_by_receiver(survey: Survey, use: Mapping[str, Any], where: str, atomic: list[str]) -> Finding:
    """A save() outside of any transaction is committed when its receivers run; one in the admin never is."""
    admin = any(f"{app}.".startswith("django.contrib.admin.") for app in survey.django.get("INSTALLED_APPS") or ())
    message = f"a receiver of {use['signal']} sends {use['task'] or 'a task'} before the commit"
    if use["signal"] == "m2m_changed":
        return warn(f"{message}: a relation is always changed in a transaction", hint=_LATER, subject=where)
    if atomic or admin:
        who = f"ATOMIC_REQUESTS ({listed(atomic)})" if atomic else "the admin"
        return warn(f"{message}, where {who} saves in a transaction", hint=_LATER, subject=where)
    return info(f"{message}, where save() is called in a transaction", subject=where, next=_LATER)


@check("celery.half_open", stage=Stage.STATIC, needs=["celery.app"])
@of_celery
def half_open(survey: Survey) -> Iterator[Finding]:
    """Workers notice a broker that vanished without a word.

    Cause: a firewall, a NAT or a failover drops a connection and tells nobody. Without `socket_timeout` or keepalive in
    `broker_transport_options` a worker waits on it for ever.
    Shows as: a worker that is alive, idle and deaf until it is restarted.
    Fix: {"socket_timeout": 10, "socket_keepalive": True}.
    """
    options = survey.conf.get("broker_transport_options") or {}
    if survey.broker is None or not survey.broker.is_redis:
        raise Skip("only asked of Redis brokers")
    if not options.get("socket_timeout") and not options.get("socket_keepalive"):
        yield info(
            "a broker connection that dies silently is never noticed",
            next=f'{setting(survey, "broker_transport_options")}: "socket_timeout": 10, "socket_keepalive": True',
        )
