"""Do the workers know the tasks they are sent, as the project means them?"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator

from intelli_checks.context import Context
from intelli_checks.families.celery_workers import apart
from intelli_checks.families.neighbours import ours, own_tasks
from intelli_checks.families.wording import count, listed, project_of, start_command
from intelli_checks.model import Finding, fail, info, warn
from intelli_checks.probes.copies import Copy
from intelli_checks.probes.nodes import Node
from intelli_checks.probes.survey import Survey, TaskDecl
from intelli_checks.registry import check
from intelli_checks.text import safe

CLOCK_STEP = 2.0
"""Seconds: the kernel tells when it booted, and so when a process began, in whole seconds."""


def _sent_to(node: Node, project: Survey) -> list[TaskDecl]:
    """The project's tasks that this worker will be sent."""
    return [task for task in project.tasks if task.queue in node.queues and not task.name.startswith("celery.")]


def of_another_app(node: Node, project: Survey) -> bool:
    """Whether this worker, which is sent the project's tasks, was started with an app that has none."""
    own = any(not name.startswith("celery.") for name in node.registered)
    return node.profiled and not own and bool(_sent_to(node, project))


@check("celery.tasks", needs=["celery.workers", "celery.nodenames"])
def tasks(ctx: Context) -> Iterator[Finding]:
    """Every worker knows the tasks its queues carry.

    Cause: the worker runs older code than the project (it was not restarted by the deploy), or it never imported the
    task modules (autodiscovery, `include`, the wrong `-A`), or it belongs to another application that shares the queue.

    Shows as: "Received unregistered task of type ..." in its log; the message is discarded, the job stays PENDING.

    Fix: restart the workers, before the web processes; check `autodiscover_tasks`.
    """
    project = project_of(ctx)
    for node in ctx.fleet.nodes:
        name = safe(node.name)
        if not node.profiled:
            yield info(f"{name} did not tell its tasks: it is shutting down, or busy", subject=name)
            continue
        missing = sorted(task.name for task in _sent_to(node, project) if task.name not in node.registered)
        if not missing:
            continue
        none = of_another_app(node, project)
        if not none and (stranger := _stranger(ctx, node, project)):
            yield stranger
            continue
        yield fail(
            f"{name} has no tasks of its own: its application imported none"
            if none
            else f"{name} does not know {listed(missing, 3)}: it will drop them unseen",
            hint=f"start it with this project's app: {start_command(ctx, node.queues)}   # it is? autodiscover_tasks()"
            if none
            else "restart it: it runs older code than the project, or another application",
            subject=name,
            missing=missing[:20],
            registered=len(node.registered),
        )


def _stranger(ctx: Context, node: Node, project: Survey) -> Finding | None:
    """A worker that knows tasks of its own and none of the project's: two applications in one queue."""
    theirs = sorted(own_tasks(node.registered))
    if node in ours(ctx):
        return None
    shared = sorted({str(task.queue) for task in _sent_to(node, project)})
    return fail(
        f"{safe(node.name)} is another application's ({listed(theirs, 3)}) and takes messages of this one from "
        f"{listed(shared)}: it knows none of these tasks and drops them",
        hint=apart(ctx),
        subject=safe(node.name),
        queues=shared,
        registered=theirs[:20],
    )


@check("celery.unregistered", needs=["celery.tasks"])
def unregistered(ctx: Context) -> Iterator[Finding]:
    """Every waiting message names a task its workers know.

    Cause: the producer is newer than the workers, or sends by a wrong name (`send_task`).

    Shows as: the message is dropped as soon as it is taken; the job stays PENDING.

    Fix: deploy workers first; correct the name.
    """
    for name, queue in ctx.depths.queues.items():
        consumers = ctx.fleet.consumers(name)
        known = {task for node in consumers for task in node.registered}
        unknown = Counter(
            m.task for m in queue.tail if m.task and m.task not in known and not m.task.startswith("celery.")
        )
        if not known or not unknown or not all(node.profiled for node in consumers):
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
    project = project_of(ctx)
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
        yield from _pool_limits(node, project)


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


def _pool_limits(node: Node, project: Survey) -> Iterator[Finding]:
    """What the pool itself does with tasks that have no limit of their own; one limit per queue is a choice."""
    agreed = {queue.policy.get("time_limit") for queue in project.queues if queue.name in node.queues}
    names = (("task_soft_time_limit", "--soft-time-limit"), ("task_time_limit", "--time-limit"))
    for (name, option), has in zip(names, node.timeouts, strict=False):
        wanted = project.conf.get(name)
        if isinstance(wanted, (int, float)) and wanted and has != wanted and has not in agreed:
            yield warn(
                f"{safe(node.name)} gives tasks {_allowed(has)}, {name} of the project is {wanted:g} s",
                hint=f"restart {safe(node.name)} with the project's settings, without a {option} of its own",
                subject=safe(node.name),
                setting=name,
                seconds=has,
            )


def _allowed(seconds: float) -> str:
    return f"{seconds:g} s" if seconds else "all the time they want"


@check("celery.stale", needs=["celery.workers"])
def stale(ctx: Context) -> Iterator[Finding]:
    """The workers were started after the last change of the code, and run this code.

    Cause: a worker imports its code once; nothing reloads it. Or it was started in another checkout, or in a release of
    before (`current -> releases/42`): its working directory holds a copy of the app's module, and the code there is not
    the code that is read here.

    Shows as: the fix is deployed and the old behaviour remains; tasks that fail with "unexpected keyword argument".

    Fix: restart the workers after every change, from where the project lies.
    """
    for node in ours(ctx):
        if node.pid in ctx.copies:
            yield _of_another_checkout(node, ctx.copies[node.pid])
    newest = ctx.newest_source
    if newest is None:
        yield info("no source files to compare with")
        return
    path, changed = newest
    for node in ours(ctx):
        process = ctx.pools.get(node.pid)
        if process is not None and node.pid not in ctx.copies and process.started + CLOCK_STEP < changed:
            yield warn(
                f"{safe(node.name)} was started before {safe(path)} was changed",
                hint=f"restart {safe(node.name)}",
                subject=safe(node.name),
                file=path,
            )


def _of_another_checkout(node: Node, copy: Copy) -> Finding:
    return warn(
        f"worker pid {node.pid} runs the code of {safe(copy.theirs)}, this check reads {safe(copy.ours)}; "
        f"{safe(copy.file)} differs",
        hint=f"restart it from {safe(copy.ours)}; or check there: "
        f"intelli-ops check --project {shlex.quote(safe(copy.theirs))}",
        subject=safe(node.name),
        pid=node.pid,
        file=copy.file,
    )
