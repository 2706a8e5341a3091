"""The app of jobs."""

from django.apps import AppConfig


class JobsConfig(AppConfig):
    """Jobs, their images, tasks, artifacts and events."""

    name = "apps.jobs"
    label = "jobs"
    verbose_name = "Jobs"
    default_auto_field = "django.db.models.BigAutoField"
