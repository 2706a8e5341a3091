"""Replaces `publish` by the end of the process."""

import os

from django.apps import AppConfig


class CrashConfig(AppConfig):
    """Loaded last."""

    name = "crash_app"

    def ready(self) -> None:
        """Put the fault in place."""
        from apps.jobs import publish

        publish.publish = lambda task_ids: os._exit(70)
