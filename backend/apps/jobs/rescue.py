"""The sweep: finds what a dead worker, a lost message or a crash between commit and publish left behind.

Any number of sweeps may run at once; each step is a compare-and-set, so one of them wins.
"""

import datetime as dt
import uuid
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import structlog
from celery import current_app
from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from apps.jobs import flow, publish, storage
from apps.jobs.models import ImageTask, Status
from config.queues import BY_NAME

log = structlog.get_logger(__name__)

_BATCH = 500


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep did: tasks taken from lost workers, and messages sent again."""

    abandoned: int
    published: int


def sweep() -> Swept:
    """Rescue once. Bounded work per call; what is left waits for the next one."""
    abandoned = _take_from_lost_workers()
    due = [*_never_published(), *_lost_messages()]
    publish.publish(due)
    if abandoned or due:
        log.info("sweep", abandoned=abandoned, published=len(due))
    return Swept(abandoned, len(due))


def _take_from_lost_workers() -> int:
    now = timezone.now()
    lease = dt.timedelta(seconds=settings.INTELLI_LEASE_SECONDS)
    # A lease further away than any that could be written now comes from a clock that has since been set back.
    over = Q(lease_until__lt=now) | Q(lease_until__gt=now + 2 * lease)
    tasks = list(ImageTask.objects.filter(over, status=Status.RUNNING).order_by("lease_until")[:_BATCH])
    return sum(_take(task, lease) for task in tasks)


def _take(task: ImageTask, lease: dt.timedelta) -> bool:
    if not flow.worker_lost(task, overran=_overran(task, lease)):  # its attempt was back first, and keeps its files
        return False
    log.warning("worker lost", job_id=str(task.job_id), task_id=str(task.id), attempt=task.attempt, lost=task.lost + 1)
    storage.discard_attempt(task.job_id, task.id, task.attempt)
    return True


def _overran(task: ImageTask, lease: dt.timedelta) -> bool:
    """Whether the attempt was last known alive beyond its soft time limit: then the limit killed it, not a fault."""
    if task.started_at is None or task.lease_until is None:
        return False
    policy = BY_NAME[task.queue]
    return task.lease_until - lease - task.started_at > dt.timedelta(seconds=policy.soft_time_limit)


def _never_published() -> list[uuid.UUID]:
    """Due tasks without a message: the publish failed, the process died before it, or a retry is due."""
    # Younger ones are most likely being published at this moment by whoever accepted them.
    until = timezone.now() - dt.timedelta(seconds=settings.INTELLI_SWEEP_SECONDS)
    due = ImageTask.objects.filter(status=Status.QUEUED, available_at__lte=until, published_at__isnull=True)
    return list(due.order_by("available_at").values_list("id", flat=True)[:_BATCH])


def _lost_messages() -> list[uuid.UUID]:
    """Tasks queued for longer than a lease while their queue holds fewer messages than there are queued tasks.

    A message can vanish (broker restarted without persistence, worker frozen after taking it) and nothing tells.
    Counting against the queue keeps a long but healthy backlog from being published again and again. Messages a worker
    has already fetched count as missing too: those few are sent twice, and the second delivery loses the claim.
    """
    published = ImageTask.objects.filter(status=Status.QUEUED, published_at__isnull=False)
    until = timezone.now() - dt.timedelta(seconds=settings.INTELLI_LEASE_SECONDS)
    stale = defaultdict(list)
    for task_id, queue in (
        published.filter(published_at__lt=until).order_by("published_at").values_list("id", "queue")[:_BATCH]
    ):
        stale[queue].append(task_id)
    lost: list[uuid.UUID] = []
    for queue, ids in stale.items():
        waiting = _depth(queue)
        if waiting is not None:
            lost += ids[: max(0, published.filter(queue=queue).count() - waiting)]
    return lost


def _depth(queue: str) -> int | None:
    """Messages waiting in a queue, or None when the broker does not say (then it takes no messages either)."""
    seconds = settings.INTELLI_PUBLISH_SECONDS
    options = {"socket_timeout": seconds, "socket_connect_timeout": seconds}
    try:
        with current_app.connection_for_read(transport_options=options) as connection:
            channel: Any = connection.default_channel  # the AMQP vocabulary every transport speaks
            return int(channel.queue_declare(queue, passive=True).message_count)
    except Exception as error:  # noqa: BLE001  any broker trouble means the same here
        if type(error).__name__ == "ChannelError":  # kombu: no such queue key, which on Redis is an empty queue
            return 0
        log.warning("broker does not tell its queue depth", queue=queue, error=repr(error))
        return None
