"""What is recorded about a job. These rows are the truth; messages and broadcasts are only hints to look at them."""

import uuid

from django.conf import settings
from django.db import models


class Status(models.TextChoices):
    """Where a job, an image or a task stands. The last three are terminal: entered once and never left."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


OPEN = (Status.QUEUED, Status.RUNNING)
"""The statuses that are not terminal."""


class Kind(models.TextChoices):
    """What a task does."""

    INGEST = "ingest"
    CHART = "chart"
    DESCRIBE = "describe"


class Job(models.Model):
    """One accepted submission. `seq` numbers its last event; its row lock orders everything that happens to it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="jobs")
    # Digest of owner and Idempotency-Key, so that one unique column holds for anonymous jobs too; null without a key.
    idempotency = models.CharField(max_length=64, unique=True, null=True, editable=False)  # noqa: DJ001  null is "no key"
    request_digest = models.CharField(max_length=64, editable=False)
    status = models.CharField(max_length=10, choices=Status, default=Status.QUEUED)
    algorithms = models.JSONField()
    tasks_total = models.PositiveIntegerField(default=0)
    tasks_finished = models.PositiveIntegerField(default=0)
    seq = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-created_at", "-id")
        indexes = (models.Index(fields=["owner", "-created_at"], name="job_owner_created"),)

    def __str__(self) -> str:
        return f"job {self.id}"


class Image(models.Model):
    """One image of a job. `name` is for people to read; files are named by `id` alone."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="images")
    position = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=200)
    source_url = models.CharField(max_length=2000, blank=True)
    status = models.CharField(max_length=10, choices=Status, default=Status.QUEUED)
    width = models.PositiveIntegerField(null=True)
    height = models.PositiveIntegerField(null=True)

    class Meta:
        ordering = ("position",)

    def __str__(self) -> str:
        return f"image {self.id}"


class ImageTask(models.Model):
    """One piece of work on one image.

    `attempt` counts claims and guards the finish: only the attempt that holds the row may end it. `lost` counts the
    workers that disappeared with it. `available_at` is the earliest start; null while it waits for its image.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="tasks")
    image = models.ForeignKey(Image, on_delete=models.CASCADE, related_name="tasks")
    position = models.PositiveSmallIntegerField()
    kind = models.CharField(max_length=10, choices=Kind)
    algorithm = models.CharField(max_length=40, blank=True)
    queue = models.CharField(max_length=40)
    status = models.CharField(max_length=10, choices=Status, default=Status.QUEUED)
    attempt = models.PositiveIntegerField(default=0)
    lost = models.PositiveIntegerField(default=0)
    available_at = models.DateTimeField(null=True)
    published_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    error_code = models.CharField(max_length=40, blank=True)
    error_message = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ("position",)
        constraints = (models.UniqueConstraint(fields=["image", "kind", "algorithm"], name="task_once_per_image"),)
        # The sweep looks at open tasks only, which are few beside the finished ones.
        indexes = (
            models.Index(fields=["status", "available_at"], name="task_open", condition=models.Q(status__in=OPEN)),
        )

    def __str__(self) -> str:
        return f"task {self.id}"


class Artifact(models.Model):
    """One file a task made. `path` is relative to the artifact root and was made by the server."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    task = models.ForeignKey(ImageTask, on_delete=models.CASCADE, related_name="artifacts")
    name = models.CharField(max_length=100)
    media_type = models.CharField(max_length=100)
    size = models.PositiveBigIntegerField()
    sha256 = models.CharField(max_length=64)
    path = models.CharField(max_length=200)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return f"artifact {self.id}"


class Event(models.Model):
    """Something that happened to a job: numbered from 1 without gaps, written in the same transaction."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="events")
    seq = models.PositiveIntegerField()
    name = models.CharField(max_length=40)
    at = models.DateTimeField()
    data = models.JSONField()

    class Meta:
        ordering = ("seq",)
        constraints = (models.UniqueConstraint(fields=["job", "seq"], name="event_seq_once_per_job"),)

    def __str__(self) -> str:
        return f"event {self.seq} of job {self.job_id}"
