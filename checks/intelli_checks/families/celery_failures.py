"""What do the results of tasks that failed lately have in common?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import inf
from typing import NamedTuple

from intelli_checks.context import Context
from intelli_checks.families.declared import close_to
from intelli_checks.families.wording import ago, count, listed
from intelli_checks.model import Finding, info, warn
from intelli_checks.probes.results import Failure
from intelli_checks.registry import check
from intelli_checks.text import safe

LATELY = 3600.0
"""Seconds for which a failure is news."""
EXPIRES = 86400.0
"""Celery's default of `result_expires`."""
MANY = 5
"""Failures of the application's own making before their share of the results is looked at."""


class Kind(NamedTuple):
    """Failures that are the system's and not the task's own."""

    exceptions: str
    """A pattern for the exception's class."""
    message: str
    """A pattern for its message."""
    what: str
    hint: str


KINDS = (
    Kind(
        "WorkerLostError",
        "",
        "lost with the pool process, and not run again",
        "dmesg | grep -i 'killed process'   # memory? then fewer children, or worker_max_memory_per_child",
    ),
    Kind(
        "(Soft)?TimeLimitExceeded",
        "",
        "ended by a time limit, and not run again",
        "raise the limit, or find what they wait for; task_acks_on_failure_or_timeout = False gives them back",
    ),
    Kind(
        "NotRegistered",
        "",
        "dropped by a worker that does not know the name",
        "restart the workers with the code that sends these tasks",
    ),
    Kind(
        "TaskRevokedError",
        "expired",
        "expired before a worker took them, and were never run",
        "raise expires, or see what kept the workers: intelli-ops queues",
    ),
    Kind(
        "OperationalError",
        "database is locked",
        "failed because SQLite was locked by another writer",
        "DATABASES: PostgreSQL, or OPTIONS = {'transaction_mode': 'IMMEDIATE', 'timeout': 20} and WAL",
    ),
    Kind(
        "(Operational|Programming)Error",
        "no such (table|column)|does not exist|doesn't exist",
        "failed because a table or column is missing in the database",
        "python manage.py migrate   # with the worker's settings: is it the same database?",
    ),
    Kind(
        "OperationalError|InterfaceError",
        "",
        "failed because a database or broker could not be used from the worker",
        "compare the worker's DATABASES and broker with the web process: intelli-ops check --via worker=...",
    ),
    Kind(
        "(Connection|Timeout|ConnectionRefused|ConnectionReset|BrokenPipe)Error|gaierror",
        "",
        "failed because a server could not be reached from the worker",
        "intelli-ops check --via worker=...   # and send events best effort, after the commit",
    ),
    Kind(
        "OSError",
        r"No space left on device|quota exceeded|\b(28|122),",
        "failed because a disk or a quota is full",
        "df -h; df -i   # on the worker's machine, where MEDIA_ROOT and the temporary folder are",
    ),
    Kind("MemoryError", "", "ran out of memory", "fewer children, or a worker of their own with more memory"),
    Kind(
        "EncodeError|.*NotSerializable",
        "coroutine",
        "returned a coroutine, whose body never ran: Celery awaits no async def",
        "make the task a plain def that returns async_to_sync(coroutine_function)(...), from asgiref.sync",
    ),
    Kind(
        "EncodeError|.*NotSerializable",
        "",
        "finished, and the result could not be stored",
        "return what JSON can hold: numbers, texts, lists and dicts; no numpy value, no model",
    ),
)


@check("celery.failures", needs=["celery.workers", "redis.results"])
def failures(ctx: Context) -> Iterator[Finding]:
    """Tasks do not fail for reasons of the system.

    Looks at a sample of stored results. Cause: a pool process that was killed, a time limit, a name the worker does not
    know, a database that is locked or not migrated, a server the worker cannot reach, a full disk, a result that JSON
    cannot hold.

    Shows as: FAILURE long after everything looks healthy again; a task with `acks_late` is not run a second time.

    Fix: by the kind of failure; the finding says which. Example: 3 tasks lost with the pool process.
    """
    recent = [failure for failure in ctx.result_sample.failures if age(ctx, failure) <= LATELY]
    rest = list(recent)
    for kind in KINDS:
        same = [failure for failure in rest if _is(kind, failure)]
        rest = [failure for failure in rest if failure not in same]
        if same:
            last = min(age(ctx, one) for one in same)
            names, hint = _unknown_names(ctx, same) if kind.exceptions == "NotRegistered" else ("", kind.hint)
            yield warn(
                f"{count(len(same), 'task')} {kind.what}{names} (the last {ago(last)} ago)",
                hint=hint or kind.hint,
                subject=" and ".join(sorted({safe(failure.exception) for failure in same})),
                ids=[safe(failure.id) for failure in same][:20],
            )
    if rest:
        yield _own(ctx, rest)


def _unknown_names(ctx: Context, same: list[Failure]) -> tuple[str, str]:
    """The names the worker did not know, and what to do when the project does not know them either."""
    names = sorted({name for one in same if (name := one.task)})
    known = {task.name for task in ctx.project.tasks} if ctx.project else set()
    if not names:
        return "", ""
    told = f": {listed(names, 3)}"
    if ctx.project is None or known.intersection(names):
        return told, ""
    meant = close_to(names[0], known)
    module = names[0].rpartition(".")[0]
    include = f'; if it is right, let workers import its module: include=["{safe(module)}"]' if module else ""
    return told + meant, f"correct the name where it is sent, grep -rn {names[0]} .{include}"


def _is(kind: Kind, failure: Failure) -> bool:
    return bool(re.fullmatch(kind.exceptions, failure.exception) and re.search(kind.message, failure.message))


def _own(ctx: Context, rest: list[Failure]) -> Finding:
    """Failures of the tasks' own making: worth a line only when most of what is stored is one."""
    names = listed(sorted({failure.exception or "an exception" for failure in rest}), 3)
    told = f"{count(len(rest), 'task')} failed with {names} within {ago(LATELY)}"
    if len(rest) < MANY or 2 * len(rest) < ctx.result_sample.looked_at:
        return info(told)
    return warn(
        f"{told}: of {ctx.result_sample.looked_at} results looked at",
        hint=f"grep -A30 {safe(rest[0].id)} WORKER.log   # or: journalctl -g, docker logs: the worker's log has it all",
        ids=[safe(failure.id) for failure in rest][:20],
    )


def age(ctx: Context, failure: Failure) -> float:
    """Seconds since the task ended, from what is left of its result's life; infinite for one that never expires."""
    expires = (ctx.project.conf.get("result_expires") if ctx.project else None) or EXPIRES
    return max(0.0, float(expires) - failure.ttl) if failure.ttl >= 0 else inf
