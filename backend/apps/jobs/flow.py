"""The state machine: every change of a job, image or task happens in one of these functions.

Each takes the job's row lock first, so the events of a job are numbered in the order things happened, and two changes
of one job never interleave. A task is claimed by compare-and-set and ended only by the attempt that holds it: however
often its message is delivered, its effect is committed at most once.
"""

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from apps.jobs import events, publish, storage
from apps.jobs.models import OPEN, Artifact, Image, ImageTask, Job, Kind, Status


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to run a task and to end it, held by one attempt."""

    task_id: uuid.UUID
    job_id: uuid.UUID
    image_id: uuid.UUID
    attempt: int
    algorithm: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a task ended badly: a code for programs, a sentence for people."""

    code: str
    message: str


TIMEOUT = Failure("timeout", "the task ran longer than its queue allows")


class AlreadyFinishedError(Exception):
    """The job has ended; nothing can be cancelled any more."""


def lease_end(now: dt.datetime) -> dt.datetime:
    """When a task claimed or renewed now counts as abandoned."""
    return now + dt.timedelta(seconds=settings.INTELLI_LEASE_SECONDS)


@transaction.atomic
def claim(task_id: uuid.UUID) -> Claim | None:
    """Take a queued task, or None when somebody else has it, it has ended, or its image is not ready."""
    job_id = ImageTask.objects.filter(pk=task_id).values_list("job_id", flat=True).first()
    if job_id is None:
        return None
    job = _locked(job_id)
    now = timezone.now()
    taken = ImageTask.objects.filter(pk=task_id, status=Status.QUEUED, available_at__isnull=False).update(
        status=Status.RUNNING, attempt=F("attempt") + 1, started_at=now, lease_until=lease_end(now)
    )
    if not taken:
        return None
    task = ImageTask.objects.get(pk=task_id)
    if job.status == Status.QUEUED:
        job.status = Status.RUNNING
        events.record(job, "job.started", {"progress": _progress(job)})
    if task.kind == Kind.INGEST:
        Image.objects.filter(pk=task.image_id).update(status=Status.RUNNING)
    _record_task(job, task_id, "task.started")
    _save(job)
    return Claim(task.id, job.id, task.image_id, task.attempt, task.algorithm)


def renew(held: Claim) -> bool:
    """Extend the lease; False when the task is no longer ours (cancelled, or given to another attempt)."""
    return bool(_held(held).update(lease_until=lease_end(timezone.now())))


@transaction.atomic
def succeed(held: Claim, drafts: Sequence[storage.Draft]) -> bool:
    """Record a task's artifacts and its success; False, and nothing recorded, when the attempt lost the task."""
    job = _locked(held.job_id)
    if not _end(held, Status.SUCCEEDED):
        return False
    now = timezone.now()
    Artifact.objects.bulk_create(
        Artifact(
            task_id=held.task_id,
            name=draft.name,
            media_type=draft.media_type,
            size=draft.size,
            sha256=draft.sha256,
            path=draft.path,
            created_at=now,
        )
        for draft in drafts
    )
    _finish_task(job, held.task_id, "task.succeeded")
    _settle(job)
    return True


def won(held: Claim) -> bool:
    """Whether this attempt's success is recorded, though `succeed` may have raised: a commit whose answer was lost."""
    return ImageTask.objects.filter(pk=held.task_id, attempt=held.attempt, status=Status.SUCCEEDED).exists()


@transaction.atomic
def image_ready(held: Claim, width: int, height: int) -> bool:
    """Record that an image was read, and let its other tasks start; False when the attempt lost the task."""
    job = _locked(held.job_id)
    if not _end(held, Status.SUCCEEDED):
        return False
    image = Image.objects.get(pk=held.image_id)
    image.status, image.width, image.height = Status.SUCCEEDED, width, height
    image.save(update_fields=["status", "width", "height"])
    _finish_task(job, held.task_id, "task.succeeded")
    events.record(job, "image.ready", {"image": _document(image)})
    waiting = ImageTask.objects.filter(image_id=image.id, status=Status.QUEUED, available_at__isnull=True)
    freed = list(waiting.values_list("id", flat=True))
    waiting.update(available_at=timezone.now())
    publish.publish_on_commit(freed)
    _settle(job)
    return True


@transaction.atomic
def fail(held: Claim, failure: Failure) -> bool:
    """Record a task's failure; False when the attempt lost the task."""
    job = _locked(held.job_id)
    if not _end(held, Status.FAILED, failure):
        return False
    _task_failed(job, ImageTask.objects.get(pk=held.task_id))
    return True


@transaction.atomic
def retry_later(held: Claim, seconds: float, failure: Failure) -> bool:
    """Put a task back, not to be started before `seconds` from now; False when the attempt lost the task."""
    job = _locked(held.job_id)
    due = timezone.now() + dt.timedelta(seconds=seconds)
    if not _held(held).update(status=Status.QUEUED, available_at=due, published_at=None, lease_until=None):
        return False
    _record_task(job, held.task_id, "task.retrying", code=failure.code, seconds=round(seconds, 1))
    _save(job)
    return True


@transaction.atomic
def worker_lost(task: ImageTask, *, overran: bool) -> bool:
    """Take a running task from an attempt whose lease ran out: queue it again, or end it after too many lost workers.

    A task that ran past its time limit was stopped by it, and would be again: it ends at once as `timeout`. False when
    the attempt was back before us: it renewed its lease, or has ended the task.
    """
    job = _locked(task.job_id)
    stale = ImageTask.objects.filter(
        pk=task.pk, status=Status.RUNNING, attempt=task.attempt, lease_until=task.lease_until
    )
    now = timezone.now()
    lost = task.lost + 1
    if overran or lost >= settings.INTELLI_MAX_ATTEMPTS:
        failure = TIMEOUT if overran else Failure("worker_lost", f"{lost} workers disappeared while running this task")
        if taken := stale.update(lost=lost, finished_at=now, lease_until=None, **_failed(failure)):
            _task_failed(job, ImageTask.objects.get(pk=task.pk))
    # `available_at` stays: a sweep whose clock runs ahead must not put the task off for everybody else.
    elif taken := stale.update(lost=lost, status=Status.QUEUED, published_at=None, lease_until=None):
        _record_task(job, task.pk, "task.requeued", lost=lost)
        publish.publish_on_commit([task.pk])
        _save(job)
    return taken == 1


@transaction.atomic
def cancel(job_id: uuid.UUID) -> None:
    """End everything of a job that has not ended. Running attempts notice at their next heartbeat, and cannot finish.

    Raises:
        AlreadyFinishedError: the job succeeded or failed before. Cancelling twice is not an error.
    """
    job = _locked(job_id)
    if job.status == Status.CANCELLED:
        return
    if job.status not in OPEN:
        raise AlreadyFinishedError
    now = timezone.now()
    open_tasks = ImageTask.objects.filter(job=job, status__in=OPEN)
    ids = list(open_tasks.values_list("id", flat=True))
    open_tasks.update(status=Status.CANCELLED, finished_at=now, lease_until=None)
    Image.objects.filter(job=job, status__in=OPEN).update(status=Status.CANCELLED)
    for task_id in ids:
        _finish_task(job, task_id, "task.cancelled")
    _close(job, Status.CANCELLED)


def _locked(job_id: uuid.UUID) -> Job:
    return Job.objects.select_for_update().get(pk=job_id)


def _held(held: Claim) -> QuerySet[ImageTask]:
    return ImageTask.objects.filter(pk=held.task_id, status=Status.RUNNING, attempt=held.attempt)


def _failed(failure: Failure) -> dict[str, str]:
    return {"status": Status.FAILED, "error_code": failure.code, "error_message": failure.message[:500]}


def _end(held: Claim, status: Status, failure: Failure | None = None) -> bool:
    outcome = _failed(failure) if failure else {"status": status}
    return bool(_held(held).update(finished_at=timezone.now(), lease_until=None, **outcome))


def _task_failed(job: Job, task: ImageTask) -> None:
    _finish_task(job, task.id, "task.failed")
    if task.kind == Kind.INGEST:
        _fail_image(job, task)
    _settle(job)


def _fail_image(job: Job, ingest: ImageTask) -> None:
    Image.objects.filter(pk=ingest.image_id).update(status=Status.FAILED)
    events.record(job, "image.failed", {"image": _document(Image.objects.get(pk=ingest.image_id))})
    waiting = ImageTask.objects.filter(image_id=ingest.image_id, status=Status.QUEUED)
    ids = list(waiting.values_list("id", flat=True))
    failure = Failure("image_unavailable", f"its image could not be read: {ingest.error_message}")
    waiting.update(finished_at=timezone.now(), **_failed(failure))
    for task_id in ids:
        _finish_task(job, task_id, "task.failed")


def _finish_task(job: Job, task_id: uuid.UUID, event: str) -> None:
    job.tasks_finished += 1
    _record_task(job, task_id, event)


def _record_task(job: Job, task_id: uuid.UUID, event: str, **extra: object) -> None:
    task = ImageTask.objects.prefetch_related("artifacts").get(pk=task_id)
    events.record(job, event, {"task": _document(task), "progress": _progress(job), **extra})


def _document(row: Image | ImageTask) -> dict[str, Any]:
    """The row as the API shows it."""
    # Late: REST framework loads psycopg and requests where they are installed, 0.2 s that beat, `inspect` and a check
    # need not wait for. Workers have it before they fork: config.celery.
    from apps.jobs import serializers

    shown = serializers.ImageSerializer(row) if isinstance(row, Image) else serializers.TaskSerializer(row)
    return serializers.plain(shown)


def _progress(job: Job) -> dict[str, int]:
    return {"total": job.tasks_total, "finished": job.tasks_finished}


def _settle(job: Job) -> None:
    if job.tasks_finished < job.tasks_total:
        _save(job)
        return
    failed = ImageTask.objects.filter(job=job, status=Status.FAILED).exists()
    _close(job, Status.FAILED if failed else Status.SUCCEEDED)


def _close(job: Job, status: Status) -> None:
    job.status, job.finished_at = status, timezone.now()
    events.record(job, f"job.{status}", {"status": str(status), "progress": _progress(job)})
    _save(job)
    transaction.on_commit(lambda: storage.discard_leftovers(job.id), robust=True)


def _save(job: Job) -> None:
    job.save(update_fields=["status", "seq", "tasks_finished", "finished_at"])
    events.announce_on_commit(job)
