"""The heartbeat of a running task: renews its lease from a thread, and notices when the task was taken away."""

import threading
from types import TracebackType
from typing import Self

import structlog
from django.conf import settings
from django.db import connection

from apps.jobs import flow

log = structlog.get_logger(__name__)


class Heartbeat:
    """Keeps a claim alive inside a `with` block; `lost` is set once another attempt or a cancellation took the task."""

    def __init__(self, held: flow.Claim) -> None:
        self.lost = threading.Event()
        self._held = held
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()

    def _beat(self) -> None:
        # Three chances per lease: one slow database write must not cost a healthy worker its task.
        try:
            while not self._stop.wait(settings.INTELLI_LEASE_SECONDS / 3):
                if not self._renew():
                    self.lost.set()
                    return
        finally:
            connection.close()  # this thread's own

    def _renew(self) -> bool:
        try:
            return flow.renew(self._held)
        except Exception as error:  # noqa: BLE001  a heartbeat that fails is tried again; the lease tells when it is too late
            log.warning("lease not renewed", error=repr(error))
            return True
