import time

from asgiref.sync import async_to_sync
from celery import shared_task
from channels.layers import get_channel_layer
from django.conf import settings

from .models import Order


def tell(number, state):
    group = f"order-{number}" if settings.FAULT == "group" else f"order_{number}"
    kind = "order.moved" if settings.FAULT == "handler" else "order.changed"
    message = {"type": kind, "state": state}
    async_to_sync(get_channel_layer().group_send)(group, message)


@shared_task(name="orders.fulfil")
def fulfil(number):
    if settings.FAULT in ("handler", "group"):
        time.sleep(1)  # the customer has time to listen
    order = Order.objects.get(pk=number)
    Order.objects.filter(pk=number).update(state="packing")
    tell(number, "packing")
    if settings.FAULT == "stuck":
        time.sleep(60)
    try:
        settings.MEDIA_ROOT.mkdir(parents=True, exist_ok=True)
        (settings.MEDIA_ROOT / f"{number}.txt").write_text(f"receipt of {order.tag}")
    except OSError as error:
        Order.objects.filter(pk=number).update(state="lost", problem=str(error))
        tell(number, "lost")
        return
    Order.objects.filter(pk=number).update(state="shipped")
    tell(number, "shipped")
