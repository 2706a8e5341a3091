"""The state machine against a real database: each race has one winner, each job one end, each event its number."""

import datetime as dt

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError
from django.utils import timezone

from apps.jobs import flow, rescue, storage, submissions, tasks
from apps.jobs.models import Artifact, Event, Image, ImageTask, Job, Kind, Status

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def sent(monkeypatch, settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path
    settings.INTELLI_LEASE_SECONDS = 5.0
    settings.INTELLI_SWEEP_SECONDS = 1.0
    published = []
    monkeypatch.setattr("apps.jobs.publish.publish", published.extend)
    monkeypatch.setattr("apps.jobs.events.announce", lambda job_id: None)
    return published


@pytest.fixture
def job() -> Job:
    submission = submissions.Submission([], ["http://example.org/a.png"], ["histogram", "tone_curve"])
    return submissions.accept(AnonymousUser(), submission, None)[0]


def ingest_of(job: Job) -> ImageTask:
    return job.tasks.get(kind=Kind.INGEST)


def charts_of(job: Job) -> list[ImageTask]:
    return list(job.tasks.filter(kind=Kind.CHART))


def ready(job: Job) -> None:
    held = flow.claim(ingest_of(job).id)
    assert flow.image_ready(held, 8, 6)


def check(job: Job) -> None:
    job.refresh_from_db()
    assert list(job.events.values_list("seq", flat=True)) == list(range(1, job.seq + 1))
    ends = Event.objects.filter(job=job, name__in=["task.succeeded", "task.failed", "task.cancelled"])
    ids = [event.data["task"]["id"] for event in ends]
    assert len(ids) == len(set(ids)) == job.tasks_finished


def move_lease(task: ImageTask, seconds: float) -> None:
    ImageTask.objects.filter(pk=task.pk).update(lease_until=timezone.now() + dt.timedelta(seconds=seconds))


def test_a_message_delivered_five_times_runs_once(job):
    task = ingest_of(job)
    assert [flow.claim(task.id) is not None for _ in range(5)] == [True, False, False, False, False]


def test_a_chart_cannot_start_before_its_image(job, sent):
    first, second = charts_of(job)
    assert flow.claim(first.id) is None
    ready(job)
    assert {first.id, second.id} <= set(sent)
    assert flow.claim(first.id)
    check(job)


def test_the_job_succeeds_with_its_last_task(job, tmp_path):
    ready(job)
    for task in charts_of(job):
        held = flow.claim(task.id)
        draft = storage.save_artifact(storage.artifact_dir(job.id, task.id), held.attempt, "x.png", "image/png", b"x")
        assert flow.succeed(held, [draft])
    check(job)
    assert job.status == Status.SUCCEEDED
    assert job.finished_at
    assert Artifact.objects.count() == 2
    names = list(job.events.values_list("name", flat=True))
    assert names[:5] == ["job.queued", "job.started", "task.started", "task.succeeded", "image.ready"]
    assert names[-1] == "job.succeeded"


def test_an_unreadable_image_fails_its_other_tasks_and_the_job(job):
    held = flow.claim(ingest_of(job).id)
    assert flow.fail(held, flow.Failure("truncated", "the file ends early"))
    check(job)
    assert job.status == Status.FAILED
    assert {task.error_code for task in job.tasks.all()} == {"truncated", "image_unavailable"}
    assert Image.objects.get(job=job).status == Status.FAILED


def test_only_the_attempt_that_holds_a_task_may_end_it(job):
    old = flow.claim(ingest_of(job).id)
    move_lease(ingest_of(job), -1)
    rescue.sweep()
    new = flow.claim(ingest_of(job).id)
    assert (old.attempt, new.attempt) == (1, 2)
    assert not flow.renew(old)
    assert not flow.image_ready(old, 1, 1)
    assert not flow.fail(old, flow.TIMEOUT)
    assert flow.image_ready(new, 8, 6)
    check(job)


def test_a_success_whose_commit_was_not_answered_keeps_its_files(job, tmp_path):
    """The database committed and the connection was cut before it could say so."""
    ready(job)
    chart = charts_of(job)[0]

    def cut_after_the_commit(held):
        folder = storage.artifact_dir(job.id, chart.id)
        assert flow.succeed(held, [storage.save_artifact(folder, held.attempt, "a.png", "image/png", b"png")])
        raise OperationalError("server closed the connection unexpectedly")

    tasks._run(str(chart.id), cut_after_the_commit)
    (artifact,) = Artifact.objects.all()
    assert (tmp_path / artifact.path).read_bytes() == b"png"
    assert ImageTask.objects.get(pk=chart.pk).status == Status.SUCCEEDED


@pytest.mark.parametrize("ended", ["succeeded", "renewed"])
def test_an_attempt_that_is_back_before_the_sweep_takes_its_task_keeps_its_files(job, ended, monkeypatch, tmp_path):
    """A database that was locked for longer than a lease lets sweep and attempt in at the same moment."""
    ready(job)
    chart = charts_of(job)[0]
    held = flow.claim(chart.id)
    draft = storage.save_artifact(storage.artifact_dir(job.id, chart.id), held.attempt, "a.png", "image/png", b"png")
    move_lease(chart, -1)
    take = flow.worker_lost

    def back_first(task, **how):
        assert flow.succeed(held, [draft]) if ended == "succeeded" else flow.renew(held)
        return take(task, **how)

    monkeypatch.setattr(flow, "worker_lost", back_first)
    assert rescue.sweep().abandoned == 0
    assert (tmp_path / draft.path).read_bytes() == b"png"


def test_the_third_lost_worker_is_the_last(job):
    for attempt in (1, 2, 3):
        held = flow.claim(ingest_of(job).id)
        assert held.attempt == attempt
        move_lease(ingest_of(job), -1)
        assert rescue.sweep().abandoned == 1
    assert ingest_of(job).error_code == "worker_lost"
    check(job)
    assert job.status == Status.FAILED
    assert flow.claim(ingest_of(job).id) is None


def test_a_task_stopped_by_its_time_limit_is_not_tried_again(job):
    flow.claim(ingest_of(job).id)
    now = timezone.now()
    lease_until = now - dt.timedelta(seconds=1)
    started_at = lease_until - dt.timedelta(seconds=5 + 50)
    ImageTask.objects.filter(pk=ingest_of(job).pk).update(started_at=started_at, lease_until=lease_until)
    rescue.sweep()
    assert ingest_of(job).error_code == "timeout"
    check(job)


def test_a_lease_from_a_clock_set_back_since_is_over(job):
    flow.claim(ingest_of(job).id)
    move_lease(ingest_of(job), 3600)
    assert rescue.sweep().abandoned == 1


def test_a_renewed_lease_is_left_alone(job):
    held = flow.claim(ingest_of(job).id)
    move_lease(ingest_of(job), -1)
    assert flow.renew(held)
    assert rescue.sweep().abandoned == 0


def test_a_live_lease_is_left_alone(job):
    flow.claim(ingest_of(job).id)
    assert rescue.sweep().abandoned == 0


def test_a_task_that_was_never_published_is_found(job, sent, monkeypatch):
    sent.clear()
    assert rescue.sweep().published == 0  # its publisher may be at it this moment
    ImageTask.objects.update(available_at=timezone.now() - dt.timedelta(seconds=2))
    rescue.sweep()
    assert ingest_of(job).id in sent


@pytest.mark.parametrize(("waiting", "expected"), [(0, 1), (1, 0), (None, 0)])
def test_a_queued_task_is_published_again_only_if_messages_are_missing(job, sent, monkeypatch, waiting, expected):
    monkeypatch.setattr(rescue, "_depth", lambda queue: waiting)
    sent.clear()
    ImageTask.objects.filter(kind=Kind.INGEST).update(published_at=timezone.now() - dt.timedelta(seconds=6))
    assert rescue.sweep().published == expected


def test_cancelling_while_running_drops_the_result(job):
    held = flow.claim(ingest_of(job).id)
    flow.cancel(job.id)
    assert not flow.renew(held)
    assert not flow.image_ready(held, 1, 1)
    check(job)
    assert job.status == Status.CANCELLED
    seq = job.seq
    flow.cancel(job.id)
    check(job)
    assert job.seq == seq


def test_a_finished_job_stays_what_it_is(job):
    flow.fail(flow.claim(ingest_of(job).id), flow.TIMEOUT)
    with pytest.raises(flow.AlreadyFinishedError):
        flow.cancel(job.id)
    check(job)
    assert job.status == Status.FAILED


def test_a_task_to_be_retried_waits_without_a_message(job, sent):
    held = flow.claim(ingest_of(job).id)
    sent.clear()
    assert flow.retry_later(held, 60, flow.Failure("timeout", "slow"))
    assert rescue.sweep().published == 0
    ImageTask.objects.filter(pk=held.task_id).update(available_at=timezone.now() - dt.timedelta(seconds=2))
    rescue.sweep()
    assert sent == [held.task_id]
    assert flow.claim(held.task_id).attempt == 2
    check(job)


def test_a_rolled_back_submission_publishes_nothing(sent):
    from django.db import transaction

    submission = submissions.Submission([], ["http://example.org/a.png"], ["histogram"])
    with transaction.atomic():
        submissions.accept(AnonymousUser(), submission, None)
        transaction.set_rollback(True)
    assert sent == []
    assert not Job.objects.exists()


@pytest.mark.parametrize("cut", [OperationalError("server closed the connection unexpectedly"), KeyboardInterrupt()])
def test_a_submission_whose_commit_was_not_answered_is_accepted_with_its_files(cut, monkeypatch, tmp_path):
    write = submissions._write

    def cut_after_the_commit(job, submission):
        write(job, submission)
        raise cut

    monkeypatch.setattr(submissions, "_write", cut_after_the_commit)
    submission = submissions.Submission((SimpleUploadedFile("a.png", b"bytes"),), (), ("grey",))
    if isinstance(cut, OperationalError):
        job, new = submissions.accept(AnonymousUser(), submission, "key")
        assert (job, new) == (Job.objects.get(), True)
    else:
        with pytest.raises(KeyboardInterrupt):
            submissions.accept(AnonymousUser(), submission, "key")
    (upload,) = tmp_path.glob("uploads/*/*")
    assert upload.read_bytes() == b"bytes"
