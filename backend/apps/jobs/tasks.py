"""The Celery tasks: three thin doors to `work`, one per queue. A message carries an id and nothing else.

Messages are hints and may come twice, late or never. `flow.claim` decides whether this delivery runs; `flow` also
records how it ended. A task never raises for a reason the job can be told about.
"""

import errno
import uuid
from collections.abc import Callable

import structlog
from billiard.exceptions import SoftTimeLimitExceeded
from celery import shared_task

from apps.jobs import flow, storage, work
from apps.jobs.lease import Heartbeat

log = structlog.get_logger(__name__)

_STORAGE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES}


@shared_task(name="apps.jobs.tasks.ingest_image")
def ingest_image(task_id: str) -> None:
    """Fetch or read an image, verify and normalise it, and let its other tasks start."""
    _run(task_id, work.ingest)


@shared_task(name="apps.jobs.tasks.render_chart")
def render_chart(task_id: str) -> None:
    """Run one algorithm on one image."""
    _run(task_id, work.chart)


@shared_task(name="apps.jobs.tasks.describe_image")
def describe_image(task_id: str) -> None:
    """Describe one image in words."""
    _run(task_id, work.describe)


def _run(task_id: str, job: Callable[[flow.Claim], bool]) -> None:
    with structlog.contextvars.bound_contextvars(task_id=task_id):
        held = flow.claim(uuid.UUID(task_id))
        if held is None:
            log.info("claim lost: another delivery has it, or it has ended")
            return
        with structlog.contextvars.bound_contextvars(job_id=str(held.job_id), attempt=held.attempt):
            with Heartbeat(held):
                succeeded = _guarded(held, job)
            if not succeeded and not flow.won(held):
                storage.discard_attempt(held.job_id, held.task_id, held.attempt)


def _guarded(held: flow.Claim, job: Callable[[flow.Claim], bool]) -> bool:
    """Run, and turn whatever happens into a recorded outcome. True when the attempt's success was recorded."""
    try:
        return _ours(job(held))
    except work.RetryLater as later:
        log.warning("task will be retried", code=later.failure.code, seconds=later.seconds)
        _ours(flow.retry_later(held, later.seconds, later.failure))
    except Exception as error:  # noqa: BLE001  every way to fail has its code, the unforeseen too
        _ours(flow.fail(held, _failure(error)))
    return False


def _ours(recorded: bool) -> bool:  # noqa: FBT001  the answer of a `flow` function
    if not recorded:
        log.info("outcome dropped: the task was cancelled or given to another attempt")
    return recorded


def _failure(error: Exception) -> flow.Failure:
    if isinstance(error, work.Refused):
        failure = error.failure
    elif isinstance(error, SoftTimeLimitExceeded):
        failure = flow.TIMEOUT
    elif isinstance(error, MemoryError):
        failure = flow.Failure("oom", "the image needs more memory than a task may use")
    elif isinstance(error, OSError) and error.errno in _STORAGE_ERRORS:
        failure = flow.Failure("storage_full", "the artifact storage did not take the file")
    else:
        log.error("unexpected error", exc_info=error)
        return flow.Failure("internal_error", "unexpected error; the worker's log has the details")
    log.warning("task failed", code=failure.code, reason=failure.message, error=repr(error))
    return failure
