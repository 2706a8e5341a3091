"""The queue policy: the one place where queues, limits and the tasks that go there are written.

Celery's queues, routes and task limits, and the worker profiles all derive from it. It imports nothing but the standard
library, so that settings can read it before Django and Celery exist.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class QueuePolicy:
    """How one queue is consumed. Limits are seconds of run time of one task."""

    name: str
    concurrency: int
    prefetch: int
    acks_late: bool
    time_limit: int
    soft_time_limit: int
    purpose: str


# The soft limit stays well below the hard one: a task that overruns should say so itself before it is killed.
POLICIES: tuple[QueuePolicy, ...] = (
    QueuePolicy("ingestion_io", 4, 4, acks_late=False, time_limit=60, soft_time_limit=45, purpose="HTTP, file reads"),
    QueuePolicy(
        "charts_cpu", 2, 1, acks_late=True, time_limit=120, soft_time_limit=105, purpose="matplotlib, algorithms"
    ),
    QueuePolicy("ai", 2, 1, acks_late=True, time_limit=60, soft_time_limit=45, purpose="API calls and retries"),
)

BY_NAME: Mapping[str, QueuePolicy] = MappingProxyType({policy.name: policy for policy in POLICIES})

ROUTES: Mapping[str, str] = MappingProxyType(
    {
        "apps.jobs.tasks.ingest_image": "ingestion_io",
        "apps.jobs.tasks.render_chart": "charts_cpu",
        "apps.jobs.tasks.describe_image": "ai",
    }
)
"""Task name to queue name."""

VISIBILITY_TIMEOUT = 4 * max(policy.time_limit for policy in POLICIES)
"""Seconds until Redis redelivers an unacknowledged message: well above the longest task, or work starts twice."""


def as_settings() -> list[dict[str, Any]]:
    """The policy as plain data, for tools that read settings and import nothing of this project."""
    return [asdict(policy) for policy in POLICIES]


def task_annotations() -> dict[str, dict[str, Any]]:
    """Celery's options by task name, each taken from the policy of the task's queue."""
    return {task: _annotation(BY_NAME[queue]) for task, queue in ROUTES.items()}


def _annotation(policy: QueuePolicy) -> dict[str, Any]:
    return {
        "acks_late": policy.acks_late,
        "time_limit": policy.time_limit,
        "soft_time_limit": policy.soft_time_limit,
        # A task that kills its worker must not be fed to the next one for ever: the rescue sweep decides, and counts.
        "reject_on_worker_lost": False,
        # The job row is the record; nobody reads these results.
        "ignore_result": True,
    }
