"""A Celery project in one file, without Django."""

from celery import Celery

app = Celery("plain", broker="redis://127.0.0.1:6379/9", backend="redis://127.0.0.1:6379/9")


@app.task
def add(x, y):
    return x + y


@app.task(acks_late=True, time_limit=30, queue="slow")
def crunch(n):
    return sum(range(n))
