"""The documents of the API, the events and the WebSocket snapshot. Links are paths: they hold behind any proxy."""

from typing import Any

from rest_framework import serializers

from apps.jobs.models import Artifact, Image, ImageTask, Job


class ErrorSerializer(serializers.Serializer[ImageTask]):
    """Why a task failed: a stable code for programs, a sentence for people."""

    code = serializers.CharField()
    message = serializers.CharField()


class ArtifactSerializer(serializers.ModelSerializer[Artifact]):
    """A file made by a task, and where to download it."""

    url = serializers.SerializerMethodField()

    class Meta:
        model = Artifact
        fields = ("id", "name", "media_type", "size", "sha256", "url")

    def get_url(self, artifact: Artifact) -> str:
        """Path of the download."""
        return f"/api/artifacts/{artifact.id}/"


class ImageSerializer(serializers.ModelSerializer[Image]):
    """An image; its size is null until it was read."""

    class Meta:
        model = Image
        fields = ("id", "name", "status", "width", "height")


class TaskSerializer(serializers.ModelSerializer[ImageTask]):
    """A task with its error and artifacts. `algorithm` is null for the ingestion of the image."""

    image = serializers.UUIDField(source="image_id")
    algorithm = serializers.SerializerMethodField()
    error = serializers.SerializerMethodField()
    artifacts = ArtifactSerializer(many=True)

    class Meta:
        model = ImageTask
        fields = ("id", "kind", "image", "algorithm", "queue", "status", "attempt", "error", "artifacts")

    def get_algorithm(self, task: ImageTask) -> str | None:
        """Name of the algorithm, if the task runs one."""
        return task.algorithm or None

    def get_error(self, task: ImageTask) -> dict[str, str] | None:
        """Code and message of a failed task."""
        return {"code": task.error_code, "message": task.error_message} if task.error_code else None


class ProgressSerializer(serializers.Serializer[Job]):
    """How many tasks there are and how many have ended."""

    total = serializers.IntegerField(source="tasks_total")
    finished = serializers.IntegerField(source="tasks_finished")


class LinksSerializer(serializers.Serializer[Job]):
    """Where to go from here."""

    self = serializers.CharField()
    cancel = serializers.CharField()
    websocket = serializers.CharField()


class JobSerializer(serializers.ModelSerializer[Job]):
    """The whole job. `seq` is the number of the last event this document contains."""

    algorithms = serializers.ListField(child=serializers.CharField())
    images = ImageSerializer(many=True)
    tasks = TaskSerializer(many=True)
    progress = ProgressSerializer(source="*")
    links = serializers.SerializerMethodField()

    class Meta:
        model = Job
        fields = (
            "id",
            "status",
            "created_at",
            "finished_at",
            "algorithms",
            "images",
            "tasks",
            "progress",
            "seq",
            "links",
        )

    def get_links(self, job: Job) -> dict[str, str]:
        """Paths of this job, of its cancellation and of its events."""
        return {
            "self": f"/api/jobs/{job.id}/",
            "cancel": f"/api/jobs/{job.id}/cancel/",
            "websocket": f"/ws/jobs/{job.id}/",
        }


def plain(serializer: serializers.BaseSerializer[Any]) -> dict[str, Any]:
    """A serializer's output as JSON-safe data: UUIDs and times as the API writes them."""
    from json import loads

    from rest_framework.renderers import JSONRenderer

    document: dict[str, Any] = loads(JSONRenderer().render(serializer.data))
    return document
