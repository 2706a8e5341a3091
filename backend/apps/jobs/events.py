"""Numbered events: written with the state they report, announced after commit.

The announcement only says "look again". It may be lost, late or out of order; listeners read the database by number.
"""

import asyncio
import time
import uuid
from typing import Any

import structlog
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.jobs.models import Event, Job

log = structlog.get_logger(__name__)

_PAUSE_SECONDS = 5.0
_silent_until = 0.0  # monotonic; after a failure nobody waits for a dead layer again until then


def group_name(job_id: uuid.UUID | str) -> str:
    """Channel group of a job. Made from the id by the server alone, after the ownership check."""
    return f"job-{job_id}"


def record(job: Job, name: str, data: dict[str, Any]) -> None:
    """Append the job's next event. The caller holds the job's row lock and saves `job.seq` in the same transaction."""
    job.seq += 1
    Event.objects.create(job=job, seq=job.seq, name=name, at=timezone.now(), data=data)


def announce_on_commit(job: Job) -> None:
    """Tell listeners, once the transaction is in, that the job has new events."""
    job_id = job.id
    transaction.on_commit(lambda: announce(job_id), robust=True)


def announce(job_id: uuid.UUID) -> None:
    """Best effort and bounded: a dead or frozen channel layer costs at most one short wait, and never fails a task."""
    global _silent_until  # noqa: PLW0603  one breaker per process, whoever sends
    layer = get_channel_layer()
    if layer is None or time.monotonic() < _silent_until:
        return
    message = {"type": "job.changed", "job": str(job_id)}

    async def send() -> None:
        await asyncio.wait_for(layer.group_send(group_name(job_id), message), settings.INTELLI_BROADCAST_SECONDS)

    try:
        async_to_sync(send)()
    except Exception as error:  # noqa: BLE001  whatever a layer raises, the state is already committed
        _silent_until = time.monotonic() + _PAUSE_SECONDS
        log.warning("channel layer did not take the announcement", job_id=str(job_id), error=repr(error))
