"""The Celery application. Everything about queues comes from `config.queues`; the rest from Django's settings."""

import os
from typing import Any

from celery import Celery
from celery.signals import celeryd_after_setup, celeryd_init

from config.queues import BY_NAME

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.development")

app = Celery("config")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@celeryd_init.connect
def apply_queue_policy(conf: Any = None, options: dict[str, Any] | None = None, **_: Any) -> None:
    """Give a worker of one queue that queue's concurrency and prefetch, unless the command line said otherwise.

    Celery has no per-queue setting for either: both belong to the worker process. A worker of several queues keeps the
    cautious defaults of the settings.
    """
    given = options or {}
    queues = given.get("queues") or ()
    names = queues.split(",") if isinstance(queues, str) else list(queues)
    policy = BY_NAME.get(names[0]) if len(names) == 1 else None
    if policy is None or conf is None:
        return
    conf.worker_concurrency = given.get("concurrency") or policy.concurrency
    conf.worker_prefetch_multiplier = given.get("prefetch_multiplier") or policy.prefetch


@celeryd_after_setup.connect
def load_serializers(**_: Any) -> None:
    """Import what recording an event takes before the pool forks: its processes then share it and need not import."""
    import apps.jobs.serializers  # noqa: F401
