"""What a WebSocket client gets to see, read from the database."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import SESSION_KEY

from apps.jobs.access import User, jobs_of
from apps.jobs.models import Event, Job
from apps.jobs.serializers import JobSerializer, plain

_PAGE = 100  # frames held in memory per socket


@dataclass(frozen=True, slots=True)
class Page:
    """The next frames, the number they lead up to, and the close code when the client may not see any more."""

    frames: Sequence[dict[str, Any]]
    seq: int
    refusal: int | None = None


def may_see(user: User, job_id: uuid.UUID) -> bool:
    """Whether the job exists for this user."""
    return jobs_of(user).filter(pk=job_id).exists()


def read(scope: Mapping[str, Any], job_id: uuid.UUID, seq: int | None) -> Page:
    """Frames after `seq`; a snapshot when the client has nothing, or claims a future it cannot have seen."""
    if _signed_out(scope):
        return Page((), 0, refusal=4401)
    job = jobs_of(scope["user"]).filter(pk=job_id).first()
    if job is None:
        return Page((), 0, refusal=4404)
    if seq is None or seq > job.seq:
        return _snapshot(job)
    if seq == job.seq:
        return Page((), seq)
    events = Event.objects.filter(job=job, seq__gt=seq)[:_PAGE]
    frames = [_frame(event) for event in events]
    return Page(frames, frames[-1]["seq"] if frames else seq)


def _snapshot(job: Job) -> Page:
    # The parts are read after `seq`, so they may be newer than it, never older: the events that follow repeat what the
    # snapshot shows already, and none is missing.
    document = plain(JobSerializer(job))
    return Page(({"type": "snapshot", "seq": job.seq, "job": document},), job.seq)


def _frame(event: Event) -> dict[str, Any]:
    at = event.at.isoformat().replace("+00:00", "Z")
    return {"type": "event", "seq": event.seq, "name": event.name, "at": at, "data": event.data}


def _signed_out(scope: Mapping[str, Any]) -> bool:
    """Whether the session this socket was opened with is gone: signing out ends live feeds too."""
    session = scope.get("session")
    if session is None or SESSION_KEY not in session:
        return False
    return not session.exists(session.session_key)
