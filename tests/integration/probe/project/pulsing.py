"""A Celery project with the heartbeat installed."""

import os
import threading

from celery import Celery

from intelli_ops.bootsteps import install

app = Celery("pulsing", broker=os.environ["PULSING_BROKER"], backend=os.environ["PULSING_BROKER"])
app.conf.broker_connection_max_retries = None
install(app)


@app.task
def hold(seconds: float) -> None:
    """Keep the worker busy."""
    threading.Event().wait(seconds)
