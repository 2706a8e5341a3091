import os
import signal
import time

from asgiref.sync import async_to_sync
from celery import shared_task
from channels.layers import get_channel_layer


@shared_task
def letter(name):
    return f"Dear {name}"


@shared_task
def scan(pages):
    return pages * 2


@shared_task
def nap(seconds):
    time.sleep(seconds)


@shared_task(acks_late=True, reject_on_worker_lost=True)
def late_nap(seconds):
    time.sleep(seconds)


@shared_task(acks_late=True, reject_on_worker_lost=True)
def die():
    os.kill(os.getpid(), signal.SIGKILL)


@shared_task(acks_late=True)
def perish():
    os.kill(os.getpid(), signal.SIGKILL)


@shared_task
def not_a_number():
    return {"value": float("nan")}


@shared_task
def rows():
    from visits.models import Visit

    return Visit.objects.count()


@shared_task
def admit(number):
    from visits.models import Visit

    visit = Visit.objects.get(pk=number)
    visit.state = "done"
    visit.save()


@shared_task
def discharge(number):
    admit(number)
    announce("done")


@shared_task
def archive(path):
    with open(path, "w") as file:
        file.write("a scan")


@shared_task
def announce(line):
    async_to_sync(get_channel_layer().group_send)("board", {"type": "board.line", "line": line})
