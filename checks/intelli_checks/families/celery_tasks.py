"""Do the workers know the tasks they are sent, as the project means them?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from intelli_checks.context import Context
from intelli_checks.families.wording import count, listed
from intelli_checks.model import Finding, Skip, fail, info, warn
from intelli_checks.probes.nodes import Node
from intelli_checks.probes.queues import declared
from intelli_checks.probes.survey import Survey, TaskDecl
from intelli_checks.probes.workers import CONTENT_TYPES, accepted_content
from intelli_checks.registry import check
from intelli_checks.text import safe

CLOCK_STEP = 2.0
"""Seconds: the kernel tells when it booted, and so when a process began, in whole seconds."""


def _project(ctx: Context) -> Survey:
    if ctx.project is None:
        raise Skip("no project to compare the workers with")
    return ctx.project


def _sent_to(node: Node, project: Survey) -> list[TaskDecl]:
    """The project's tasks that this worker will be sent."""
    return [task for task in project.tasks if task.queue in node.queues and not task.name.startswith("celery.")]


@check("celery.tasks", needs=["celery.workers", "celery.nodenames"])
def tasks(ctx: Context) -> Iterator[Finding]:
    """Every worker knows the tasks its queues carry.

    Cause: the worker runs older code than the project (it was not restarted by the deploy), or it never imported the
    task modules (autodiscovery, `include`, the wrong `-A`).

    Shows as: "Received unregistered task of type ..." in its log; the message is discarded, the job stays PENDING.

    Fix: restart the workers, before the web processes; check `autodiscover_tasks`.
    """
    project = _project(ctx)
    for node in ctx.fleet.nodes:
        missing = sorted(task.name for task in _sent_to(node, project) if task.name not in node.registered)
        if not missing:
            continue
        none = not any(not name.startswith("celery.") for name in node.registered)
        yield fail(
            f"{safe(node.name)} has no tasks of its own: its application imported none"
            if none
            else f"{safe(node.name)} does not know {listed(missing, 3)}: it will drop them unseen",
            hint="check autodiscover_tasks() and the worker's -A"
            if none
            else "restart it: it runs older code than the project, or another application",
            subject=safe(node.name),
            missing=missing[:20],
            registered=len(node.registered),
        )


@check("celery.unregistered", needs=["celery.tasks"])
def unregistered(ctx: Context) -> Iterator[Finding]:
    """Every waiting message names a task its workers know.

    Cause: the producer is newer than the workers, or sends by a wrong name (`send_task`).

    Shows as: the message is dropped as soon as it is taken; the job stays PENDING.

    Fix: deploy workers first; correct the name.
    """
    for name, queue in ctx.depths.queues.items():
        known = {task for node in ctx.fleet.consumers(name) for task in node.registered}
        unknown = Counter(
            m.task for m in queue.tail if m.task and m.task not in known and not m.task.startswith("celery.")
        )
        if not known or not unknown:
            continue
        yield fail(
            f"{count(sum(unknown.values()), 'waiting message')} for {listed(unknown, 3)}, which no worker of this "
            "queue knows: they will be dropped",
            hint="restart the workers with the code that has the task, before they take these messages",
            subject=f"queue {safe(name)}",
            tasks=dict(unknown),
        )


@check("celery.policy", needs=["celery.tasks"])
def policy(ctx: Context) -> Iterator[Finding]:
    """The workers run the tasks under the limits the project sets.

    Cause: a worker with older code or other settings; `-c` or `--prefetch-multiplier` on its command line.

    Shows as: tasks that are lost where they should be redelivered, run longer than allowed, or wait behind others.

    Fix: restart it with the project's settings.
    """
    project = _project(ctx)
    for node in ctx.fleet.nodes:
        for task in _sent_to(node, project):
            if (told := node.registered.get(task.name)) is not None and (differs := _differences(task, told)):
                yield warn(
                    f"{safe(task.name)} on {safe(node.name)}: {', '.join(differs)}",
                    hint=f"restart {safe(node.name)} with the project's current code and settings",
                    subject=safe(node.name),
                    task=task.name,
                )
        yield from _sizes(node, project)


def _differences(task: TaskDecl, told: dict[str, str] | object) -> list[str]:
    worker = told if isinstance(told, dict) else {}
    differs = []
    if "acks_late" in worker and (worker["acks_late"] == "True") != task.acks_late:
        differs.append(f"acks_late is {worker['acks_late']}, the project says {task.acks_late}")
    for name, wanted in (("time_limit", task.time_limit), ("soft_time_limit", task.soft_time_limit)):
        has = _number(worker.get(name))
        if wanted is not None and has != wanted:
            differs.append(f"{name} is {has or 'not set'}, the project says {wanted or 'none'}")
    return differs


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _sizes(node: Node, project: Survey) -> Iterator[Finding]:
    """Concurrency and prefetch of a worker with one queue, against the policy table; one for all queues is a choice."""
    table = {queue.name: queue.policy for queue in project.queues if queue.policy}
    if len(node.queues) != 1 or node.queues[0] not in table or node.pool == "solo":
        return
    wanted = table[node.queues[0]]
    concurrency, prefetch = wanted.get("concurrency"), wanted.get("prefetch")
    if concurrency and node.concurrency and node.concurrency != concurrency:
        yield warn(
            f"{safe(node.name)} has {count(node.concurrency, 'slot')}, "
            f"the policy of {safe(node.queues[0])} says {concurrency}",
            hint=f"start it with -c {concurrency}",
            subject=safe(node.name),
        )
    held = prefetch * node.concurrency if isinstance(prefetch, int) else 0
    if held and node.prefetch and node.prefetch - len(node.scheduled) > held:
        yield warn(
            f"{safe(node.name)} reserves up to {node.prefetch} messages, "
            f"the policy of {safe(node.queues[0])} says {held}",
            hint=f"start it with --prefetch-multiplier={prefetch}",
            subject=safe(node.name),
        )


@check("celery.stale", needs=["celery.workers"])
def stale(ctx: Context) -> Iterator[Finding]:
    """The workers were started after the last change of the code.

    Cause: a worker imports its code once; nothing reloads it.

    Shows as: the fix is deployed and the old behaviour remains.

    Fix: restart the workers after every change.
    """
    newest = ctx.newest_source
    if newest is None:
        yield info("no source files to compare with")
        return
    path, changed = newest
    for node in ctx.fleet.nodes:
        process = ctx.pools.get(node.pid)
        if process is not None and process.started + CLOCK_STEP < changed:
            yield warn(
                f"{safe(node.name)} was started before {safe(path)} was changed",
                hint=f"restart {safe(node.name)}",
                subject=safe(node.name),
                file=path,
            )


@check("celery.settings", needs=["celery.workers", "celery.serializers"])
def settings(ctx: Context) -> Iterator[Finding]:
    """The workers run with the project's settings.

    Cause: web and worker load different settings modules or environments, or the worker was not restarted after a
    change.

    Shows as: messages the worker refuses, tasks that call others inline (EAGER in the worker), memory that grows with
    every query (DEBUG), other redelivery times than planned.

    Fix: the same environment for both; restart the worker.
    """
    project = _project(ctx)
    for node in ctx.fleet.nodes:
        yield from _refusing(ctx, node, project)
        for problem, hint in _odd_settings(node, project):
            yield warn(f"{safe(node.name)} {problem}", hint=hint, subject=safe(node.name))
        process = ctx.pools.get(node.pid)
        if process is not None and process.user == 0 and "pickle" in str(node.conf.get("accept_content", "")):
            yield warn(
                f"{safe(node.name)} accepts pickle and runs as root: whoever can write to the broker is root",
                hint="accept_content = ['json'], and a user of its own",
                subject=safe(node.name),
            )


def _refusing(ctx: Context, node: Node, project: Survey) -> Iterator[Finding]:
    """A worker that drops what the project's producers write by default."""
    written = str(project.conf.get("task_serializer") or "json")
    queues = [queue for queue in node.queues if queue in declared(project)]
    accepted = accepted_content(ctx.fleet, queues[0], project) if queues else frozenset()
    if queues and CONTENT_TYPES.get(written, written) not in accepted:
        yield fail(
            f"the project writes {safe(written)}, which {safe(node.name)} refuses and drops",
            hint=f"add {safe(written)} to the worker's accept_content, or write one of: {', '.join(sorted(accepted))}",
            subject=safe(node.name),
        )


def _odd_settings(node: Node, project: Survey) -> Iterator[tuple[str, str]]:
    if node.conf.get("task_always_eager"):
        yield "runs tasks inline that its tasks send (task_always_eager)", "remove it from the worker's settings"
    if node.conf.get("debug") and not project.django.get("DEBUG", True):
        yield (
            "runs with DEBUG, the project does not: Django keeps every query in memory",
            "DEBUG = False for the worker",
        )
    module = node.conf.get("settings_module")
    if module and project.settings_module and module != project.settings_module:
        yield f"loads {safe(module)}, the project {project.settings_module}", "the same DJANGO_SETTINGS_MODULE for both"
    theirs, ours = (_visibility(conf) for conf in (node.conf, project.conf))
    if theirs != ours and node.conf:
        yield f"redelivers after {theirs} s, the project says {ours} s", "the same broker_transport_options for both"


def _visibility(conf: Mapping[str, Any]) -> int:
    options = conf.get("broker_transport_options")
    return int((options.get("visibility_timeout") if isinstance(options, Mapping) else None) or 3600)
