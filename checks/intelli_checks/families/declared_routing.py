"""Does every task have a queue, and every name a task?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from intelli_checks import Finding, Stage, check, fail, info, warn
from intelli_checks.families.declared import close_to, idle_routes, listed, of_celery, setting
from intelli_checks.probes.survey import Survey, TaskDecl


@check("celery.routes", stage=Stage.STATIC, needs=["celery.app"])
@of_celery
def routes(survey: Survey) -> Iterator[Finding]:
    """Every task is routed to a queue that is declared.

    Cause: a queue in `task_routes`, or on the task itself, that `task_queues` does not list. A worker started without
    `-Q` consumes exactly `task_queues`; with `task_create_missing_queues` off, sending raises QueueNotFound.
    A routing key that no queue is bound with loses the message without an error.
    Shows as: tasks of one kind stay PENDING while others run. Fix: declare the queue, or correct the name.
    Example: a route to `chart_cpu` where the queue is called `charts_cpu`.
    """
    for task in survey.tasks:
        if task.route_error and "QueueNotFound" in task.route_error:
            hint = f"correct the route, or add it to {setting(survey, 'task_queues')}{_meant(survey, task.route_error)}"
            yield fail(task.route_error, hint=hint, subject=task.name)
        elif task.route_error and task.route_error.startswith("Unbound"):
            yield _unbound(survey, task)
    if "task_queues" not in survey.conf_changed:
        return
    declared = {queue.name for queue in survey.queues}
    stray: dict[str, list[str]] = {}
    for task in survey.tasks:
        if task.queue and task.queue not in declared:
            stray.setdefault(task.queue, []).append(task.name)
    for queue, tasks in stray.items():
        meant = close_to(queue, declared)
        message = f"{listed(tasks)} goes to a queue that task_queues does not declare{meant}"
        hint = f"correct the route, or declare {queue} in {setting(survey, 'task_queues')} and start a worker for it"
        yield (fail if meant else warn)(message, hint=hint, subject=f"queue {queue}", tasks=tasks)


def _unbound(survey: Survey, task: TaskDecl) -> Finding:
    exchange, key = re.findall(r"'([^']*)'", str(task.route_error))[:2]
    keys = [queue.routing_key for queue in survey.queues if queue.exchange == exchange]
    known = {queue.exchange for queue in survey.queues if queue.exchange}
    meant = "" if keys else close_to(exchange, known)
    message = f"is sent to exchange {exchange} with routing key {key}, and no queue is bound there: kombu drops it"
    if not keys and not meant:
        return info(f"{message}, unless another application declares one", subject=task.name)
    hint = f"correct the routing key in {setting(survey, 'task_routes')}: queues are bound with {listed(keys)}"
    return fail(f"{message}{meant}", hint=hint if keys else f"correct the exchange{meant}", subject=task.name)


def _meant(survey: Survey, error: str) -> str:
    """The declared queue that the missing one named in Celery's error resembles."""
    missing = next(iter(re.findall(r"'([^']+)'", error)), "")
    return close_to(missing, [queue.name for queue in survey.queues])


@check("celery.routed_names", stage=Stage.STATIC, needs=["celery.app"])
@of_celery
def routed_names(survey: Survey) -> Iterator[Finding]:
    """Every route names a task that exists.

    Cause: a task was renamed or moved, and `task_routes` still has the old name: it now goes to the default queue.
    Shows as: a queue that stays empty, and another that fills. Fix: the new name in the route.
    Example: a route for `jobs.tasks.render` while the task is `apps.jobs.tasks.render`.
    """
    for name, meant in idle_routes(survey).items():
        if meant:
            hint = f"correct it in {setting(survey, 'task_routes')}"
            what = "which takes no task" if "*" in name else "a task nobody registers"
            yield warn(f"a route for {name}, {what}{meant}", hint=hint, subject=name)
        else:
            yield info(f"a route for {name}, which is not a task of this project", subject=name)


@check("celery.beat_tasks", stage=Stage.STATIC, needs=["celery.app"])
@of_celery
def beat_tasks(survey: Survey) -> Iterator[Finding]:
    """Every beat entry names a task that exists and takes its arguments.

    Cause: a renamed or moved task, or a typo in `beat_schedule`; beat sends names without looking. Or the entries of
    the settings are gone, because `app.conf.beat_schedule = ...` replaces them. Or the task does not take the entry's
    `args` and `kwargs`, which `Task.apply_async` finds out before it sends.
    Shows as: "Received unregistered task of type ..." in a worker's log at every tick, or "SchedulingError: Couldn't
    apply scheduled task" in beat's; the periodic work is not done.
    Fix: the registered name in the entry, and the function's arguments.
    Example: "jobs.sweep" where the task is "jobs.tasks.sweep".
    """
    known = {task.name for task in survey.tasks}
    refused = survey.extra.get("beat_refused") or {}
    if replaced := survey.extra.get("beat_replaced"):
        yield fail(
            f"{listed(replaced)} of {setting(survey, 'beat_schedule')} is not in the app's schedule: something assigns "
            "beat_schedule after the settings are read",
            hint="grep -rn 'conf.beat_schedule *=' --include=*.py .   # use .update(), or one place for all",
            subject="beat",
        )
    for entry, told in survey.beat.items():
        task = str(told.get("task"))
        if task not in known and not task.startswith("celery."):
            yield fail(
                f"beat entry {entry} sends {task}, a task nobody registers{close_to(task, known)}",
                hint=f"correct it in {setting(survey, 'beat_schedule')}, or import the module that defines the task",
                subject=entry,
            )
        elif entry in refused:
            yield fail(
                f"beat entry {entry} cannot send {task}: {refused[entry]['words']}",
                hint=f"give the entry in {setting(survey, 'beat_schedule')} the args and kwargs that {task} takes "
                '(a tuple of one is ("x",), with the comma)',
                subject=entry,
            )


@check("celery.beat_schedule", stage=Stage.STATIC, needs=["celery.app"])
@of_celery
def beat_schedule(survey: Survey) -> Iterator[Finding]:
    """Every beat entry is due as often as it says.

    Cause: `crontab()` means every minute where it is given none, so that `crontab(hour=3)` is due sixty times from
    three o'clock on (`celery.schedules.crontab`); and a period of 0 is always over. Shows as: the nightly task runs
    sixty times, beat and its queue never rest.
    Fix: crontab(minute=0, hour=3). Example: crontab(day_of_week=1) for "once on Mondays": 1440 times.
    """
    for entry, told in survey.beat.items():
        if told.get("seconds") is not None and told["seconds"] <= 0:
            yield fail(
                f"beat entry {entry} has a period of {told['seconds']:g} s: it is sent without a pause",
                hint=f"give {entry} a schedule of seconds above 0, or a crontab",
                subject=entry,
            )
        elif (times := _each_minute(told)) is not None:
            missing = "minute=0" if times == MINUTES else "minute=0, hour=0"
            yield warn(
                f"beat entry {entry} is due {times} times on each of its days: {told['schedule']} names no minute",
                hint=f"if once was meant: {missing} in the crontab of {entry}",
                subject=entry,
            )


MINUTES, HOURS = 60, 24


def _each_minute(told: Mapping[str, Any]) -> int | None:
    """How often a day an entry is due that is due every minute of one hour, or of some days; else None.

    Every minute of several hours, or of every day, is what people mean who write it.
    """
    fields = told.get("crontab") or {}
    if fields.get("minute") != MINUTES:
        return None
    if fields["hour"] == 1:
        return MINUTES
    return MINUTES * HOURS if fields["hour"] == HOURS and not fields["daily"] else None


@check("celery.queue_order", stage=Stage.STATIC, needs=["celery.app"])
@of_celery
def queue_order(survey: Survey) -> Iterator[Finding]:
    """No queue starves another.

    With `queue_order_strategy` sorted or priority, a worker of several queues takes from the first as long as it has
    anything. Shows as: one queue only grows. Fix: round_robin, or a worker for each queue.
    """
    options = survey.conf.get("broker_transport_options") or {}
    strategy = options.get("queue_order_strategy")
    if strategy in {"sorted", "priority"} and len({task.queue for task in survey.tasks}) > 1:
        yield warn(
            f"queue_order_strategy {strategy} lets a busy queue starve the ones after it",
            hint="queue_order_strategy round_robin, or one worker for each queue",
        )
