"""Words the checks of one system share."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from intelli_checks.context import Context
from intelli_checks.model import Skip
from intelli_checks.probes.queues import Delivered, expected
from intelli_checks.probes.survey import Survey
from intelli_checks.text import safe


def project_of(ctx: Context) -> Survey:
    """What the workers are compared with; raises Skip where only the broker is known."""
    if ctx.project is None:
        raise Skip("no project to compare the workers with")
    return ctx.project


def start_command(ctx: Context, queues: Iterable[str] | None = None) -> str:
    """How to start a worker for this project, on `queues` or on all it routes to."""
    names = ",".join(safe(queue) for queue in sorted(expected(ctx.project) if queues is None else queues))
    return celery_command(ctx, "worker -l info") + (f" -Q {shlex.quote(names)}" if names else "")


def celery_command(ctx: Context, rest: str) -> str:
    """One of Celery's own commands for this project's app."""
    app = (ctx.project.celery_app if ctx.project else None) or ctx.target.app or "APP"
    return f"celery -A {safe(app)} {rest}"


def count(number: int, noun: str) -> str:
    """`1 worker`, `2 workers`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def listed(names: Iterable[str], limit: int = 8) -> str:
    """Names from outside, fit for a sentence."""
    told = [safe(name) for name in names]
    more = f" and {len(told) - limit} more" if len(told) > limit else ""
    return ", ".join(told[:limit]) + more


def which(found: Iterable[Delivered]) -> str:
    """Task and id of the first few delivered messages."""
    return listed([f"{one.message.task or 'unreadable'} ({one.message.id})" for one in found], 3)


def ago(seconds: float) -> str:
    """A duration as people say it."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def in_lower_case(problem: str) -> str:
    """What to write where redis-py refuses Celery's spelling of a requirement; empty for any other problem.

    Celery takes CERT_REQUIRED and required alike (celery.backends.redis, kombu.transport.redis), redis-py the latter
    alone (redis.connection, RedisSSLContext): one URL for both has to use that.
    """
    if "Invalid SSL Certificate Requirements Flag" not in problem:
        return ""
    return "ssl_cert_reqs=required (or optional, none) in that URL: lower case is what redis-py and Celery both take"
