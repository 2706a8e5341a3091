"""Jobs for operators: read everything, change nothing by hand, cancel or nudge."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.jobs import flow, publish
from apps.jobs.models import Artifact, Image, ImageTask, Job, Status

if TYPE_CHECKING:
    _ImageInline = admin.TabularInline[Image, Job]
    _TaskInline = admin.TabularInline[ImageTask, Job]
    _JobAdmin = admin.ModelAdmin[Job]
    _ArtifactAdmin = admin.ModelAdmin[Artifact]
else:  # generic in the stubs only
    _ImageInline = _TaskInline = admin.TabularInline
    _JobAdmin = _ArtifactAdmin = admin.ModelAdmin


class ReadOnlyAdmin:
    """The state machine is the only writer: forms cannot add, change or delete."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Jobs come through the API."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A row edited by hand would have no event."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """What was accepted stays on record."""
        return False


class ImageInline(ReadOnlyAdmin, _ImageInline):
    """The images of a job."""

    model = Image
    fields = ("name", "source_url", "status", "width", "height")


class TaskInline(ReadOnlyAdmin, _TaskInline):
    """The tasks of a job."""

    model = ImageTask
    fields = ("kind", "algorithm", "queue", "status", "attempt", "lost", "lease_until", "error_code", "error_message")


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin, _JobAdmin):
    """The list an operator starts from."""

    list_display = ("id", "owner", "status", "tasks_finished", "tasks_total", "created_at", "finished_at")
    list_filter = ("status", "created_at")
    search_fields = ("id", "owner__username")
    inlines = (ImageInline, TaskInline)
    actions = ("cancel", "requeue")

    @admin.action(description="Cancel what has not ended", permissions=["view"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        """Cancel the open ones; finished jobs stay as they are."""
        cancelled = 0
        for job in queryset:
            try:
                flow.cancel(job.id)
                cancelled += 1
            except flow.AlreadyFinishedError:
                continue
        self.message_user(request, f"{cancelled} cancelled", messages.SUCCESS)

    @admin.action(description="Send the messages of waiting tasks again", permissions=["view"])
    def requeue(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        """Publish queued tasks that may start; a second message of a task does nothing."""
        waiting = ImageTask.objects.filter(job__in=queryset, status=Status.QUEUED, available_at__isnull=False)
        ids = list(waiting.values_list("id", flat=True))
        publish.publish(ids)
        self.message_user(request, f"{len(ids)} messages sent", messages.SUCCESS)


@admin.register(Artifact)
class ArtifactAdmin(ReadOnlyAdmin, _ArtifactAdmin):
    """Artifacts with their checksums."""

    list_display = ("id", "name", "media_type", "size", "sha256", "created_at")
