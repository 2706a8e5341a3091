"""The sweep on a timer: as the loop of `manage.py sweep --loop`, or as a thread of the web process."""

import threading

import structlog
from django.conf import settings
from django.db import close_old_connections, connection

from apps.jobs import rescue

log = structlog.get_logger(__name__)

_started = threading.Lock()


def run(stop: threading.Event, interval: float) -> None:
    """Sweep every `interval` seconds until told to stop. A sweep that fails is logged and the next one runs."""
    while not stop.is_set():
        close_old_connections()
        try:
            rescue.sweep()
        except Exception:
            log.exception("sweep failed")
        stop.wait(interval)
    connection.close()


def start_once() -> None:
    """Start the sweeping thread of this process, the first time only."""
    if settings.INTELLI_SWEEP_IN_WEB and _started.acquire(blocking=False):
        arguments = (threading.Event(), settings.INTELLI_SWEEP_SECONDS)
        threading.Thread(target=run, args=arguments, name="sweeper", daemon=True).start()
