"""Handing tasks to the broker without ever waiting for it longer than agreed.

The row in the database is the promise; the message only makes it fast. So a broker that is down, frozen, black-holed or
dripping costs the caller one bounded wait, later callers none, and the rescue sweep publishes what was not.
Socket timeouts alone do not bound a publish (retries, name lookup, one byte at a time), hence the thread.
"""

import os
import queue
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from celery import current_app
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.jobs.models import ImageTask, Kind, Status

log = structlog.get_logger(__name__)

TASK_NAMES = {
    Kind.INGEST: "apps.jobs.tasks.ingest_image",
    Kind.CHART: "apps.jobs.tasks.render_chart",
    Kind.DESCRIBE: "apps.jobs.tasks.describe_image",
}
_BACKLOG = 1000  # batches; more are left to the sweep


@dataclass(slots=True)
class _Batch:
    """Messages of one commit. `abandoned` is set when its caller stopped waiting: the sweep owns the rest."""

    messages: Sequence[tuple[uuid.UUID, str]]
    sent: list[uuid.UUID] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)
    abandoned: bool = False


class _Publisher:
    """One daemon thread with one broker connection of its own."""

    def __init__(self) -> None:
        self.stalled = False
        self._producer: Any = None
        self._batches: queue.Queue[_Batch] = queue.Queue(maxsize=_BACKLOG)
        threading.Thread(target=self._work, name="publisher", daemon=True).start()

    def publish(self, messages: Sequence[tuple[uuid.UUID, str]], seconds: float) -> list[uuid.UUID]:
        """The ids that were sent within the time; what was not is nobody's concern but the sweep's."""
        batch = _Batch(messages)
        if self.stalled:
            return []
        try:
            self._batches.put_nowait(batch)
        except queue.Full:
            return []
        if not batch.done.wait(seconds):
            self.stalled = batch.abandoned = True
            log.warning(
                "broker did not take messages in time, left to the sweep", waiting=len(messages), seconds=seconds
            )
        return list(batch.sent)

    def _work(self) -> None:
        while True:
            batch = self._batches.get()
            try:
                self._send(batch)
            except Exception as error:  # noqa: BLE001  kombu and redis-py raise what they like; the sweep repairs
                log.warning(
                    "broker refused messages, left to the sweep", waiting=len(batch.messages), error=repr(error)
                )
                self._drop_connection()
            self.stalled = False
            batch.done.set()

    def _send(self, batch: _Batch) -> None:
        for task_id, name in batch.messages:
            if batch.abandoned:
                return
            send(name, task_id, producer=self._connected())
            batch.sent.append(task_id)

    def _connected(self) -> Any:
        if self._producer is None:
            seconds = settings.INTELLI_PUBLISH_SECONDS
            options = {"socket_timeout": seconds, "socket_connect_timeout": seconds}
            connection = current_app.connection_for_write(transport_options=options)
            self._producer = current_app.amqp.Producer(connection, auto_declare=False)
        return self._producer

    def _drop_connection(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            try:
                producer.connection.collapse() if hasattr(producer.connection, "collapse") else producer.close()
            except Exception as error:  # noqa: BLE001  it is being thrown away because it is broken
                log.debug("closing a broken broker connection", error=repr(error))


_instance: tuple[int, _Publisher] | None = None
_instance_lock = threading.Lock()


def publish(task_ids: Sequence[uuid.UUID]) -> None:
    """Send the messages of queued tasks and note which went out. Never raises for the broker, never waits long."""
    kinds = dict(ImageTask.objects.filter(pk__in=task_ids).values_list("id", "kind"))
    messages = [(task_id, TASK_NAMES[Kind(kinds[task_id])]) for task_id in task_ids if task_id in kinds]
    if not messages:
        return
    if current_app.conf.task_always_eager:
        for task_id, name in messages:
            send(name, task_id)
        return
    sent = _publisher().publish(messages, settings.INTELLI_PUBLISH_SECONDS)
    ImageTask.objects.filter(pk__in=sent, status=Status.QUEUED).update(published_at=timezone.now())


def publish_on_commit(task_ids: Sequence[uuid.UUID]) -> None:
    """Publish once the transaction is in. What was committed stays accepted, whatever fails behind it."""
    # No `partial`: Django reports a robust callback by its `__qualname__`, and fails where there is none.
    transaction.on_commit(lambda: publish(task_ids), robust=True)


def send(name: str, task_id: uuid.UUID, **options: Any) -> None:
    """Publish one message. `sent_at` lets a monitor tell the age of a waiting message, which Celery does not record."""
    from apps.jobs import tasks  # noqa: F401  registers them; not at module top, since they import the flow, which imports us

    headers: Any = {"sent_at": time.time()}
    current_app.tasks[name].apply_async(args=(str(task_id),), headers=headers, retry=False, **options)


def _publisher() -> _Publisher:
    """The publisher of this process: a forked child has its parent's object but not its thread."""
    global _instance  # noqa: PLW0603  one per process by design
    with _instance_lock:
        if _instance is None or _instance[0] != os.getpid():
            _instance = (os.getpid(), _Publisher())
        return _instance[1]
