from asgiref.sync import async_to_sync
from celery import shared_task
from channels.layers import get_channel_layer


@shared_task
def announce(text):
    async_to_sync(get_channel_layer().group_send)("feed", {"type": "feed.item", "text": text})
