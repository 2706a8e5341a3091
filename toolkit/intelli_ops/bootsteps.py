"""Optional, inside the worker: write a heartbeat that needs no broker to be read.

    from intelli_ops.bootsteps import install
    install(app)

A consumer bootstep (Celery user guide, "Extensions and Bootsteps"): Celery stops and starts it with every connection to
the broker, so it knows when the worker merely waits for Redis.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

from intelli_ops import heartbeat

TICK = 1.0
"""Seconds between two turns of the event loop that are recorded."""


class _Recorder:
    """Shared by the bootstep, which lives as long as a connection, and the thread, which lives with the worker."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.node = ""
        self.loop_at = time.monotonic()
        self.consumer: Any = None
        self.ready_once = False
        self.thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin writing; once per process, because the bootstep starts again with every reconnection."""
        if self.thread is None:
            self.thread = threading.Thread(target=self._write_for_ever, daemon=True, name="intelli-ops heartbeat")
            self.thread.start()

    def tick(self) -> None:
        self.loop_at = time.monotonic()

    def pulse(self) -> heartbeat.Pulse:
        from celery.worker import state

        consumer = self.consumer
        queues = [queue.name for queue in consumer.task_consumer.queues] if _consumes(consumer) else []
        self.ready_once = self.ready_once or bool(queues)
        solo = consumer is not None and type(consumer.pool).__module__.endswith(".solo")
        return heartbeat.Pulse(
            pid=os.getpid(),
            node=self.node,
            at=time.monotonic(),
            loop_at=self.loop_at,
            connected=consumer is not None,
            consuming=queues,
            busy=solo and bool(state.active_requests),
            ready_once=self.ready_once,
        )

    def _write_for_ever(self) -> None:
        pause = threading.Event()
        while not pause.wait(heartbeat.INTERVAL):
            try:
                heartbeat.write(self.path, self.pulse())
            except (OSError, AttributeError, RuntimeError):
                continue  # a full disk or a consumer in mid-restart: the pulse grows old, which is the message


def _consumes(consumer: Any) -> bool:
    return consumer is not None and getattr(consumer, "task_consumer", None) is not None


def install(app: Any, path: Path | None = None) -> None:
    """Add the heartbeat to every worker of `app`, written to `path` (default: `INTELLI_OPS_HEARTBEAT`)."""
    from celery import bootsteps

    recorder = _Recorder(path or Path(heartbeat.location()))

    class Heartbeat(bootsteps.StartStopStep):
        requires = ("celery.worker.consumer.tasks:Tasks",)

        def start(self, c: Any) -> None:
            recorder.node = c.hostname
            recorder.consumer = c
            recorder.tick()
            recorder.start()
            self.timer = c.timer.call_repeatedly(TICK, recorder.tick)

        def stop(self, c: Any) -> None:  # noqa: ARG002 - Celery passes the consumer
            recorder.consumer = None
            if getattr(self, "timer", None) is not None:
                self.timer.cancel()

        shutdown = stop

    app.steps["consumer"].add(Heartbeat)
