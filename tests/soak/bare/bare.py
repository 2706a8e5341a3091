"""Celery with the usual advice (late acknowledgement, a visibility timeout of seconds) and nothing of ours.

Each start and each end is one appended line, so that what ran twice or never can be counted afterwards.
"""

import os
import time
from pathlib import Path

from celery import Celery, chain

app = Celery("bare", broker=os.environ["BROKER"])
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    # Redelivered after 20 s instead of an hour, and looked for every second: the kindest settings there are.
    broker_transport_options={
        "visibility_timeout": 20,
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
        "socket_timeout": 10,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 5,
    },
)
WORK_SECONDS = 0.3


def _note(*words: str) -> None:
    with Path(os.environ["RECORD"]).open("a", encoding="utf-8") as file:
        file.write(" ".join(words) + "\n")


def _work(task: str, job_id: str) -> None:
    _note("start", task, job_id)
    time.sleep(WORK_SECONDS)
    _note("end", task, job_id)


@app.task
def ingest(job_id: str) -> None:
    _work("ingest", job_id)


@app.task
def describe(job_id: str) -> None:
    _work("describe", job_id)


def submit(job_id: str) -> None:
    chain(ingest.si(job_id), describe.si(job_id)).apply_async()
