import time

from asgiref.sync import async_to_sync
from channels.generic.websocket import JsonWebsocketConsumer
from django.conf import settings

from .models import Order


class OrderConsumer(JsonWebsocketConsumer):
    def connect(self):
        if settings.FAULT == "no_snapshot":
            time.sleep(2)  # the order is shipped before anybody listens
        if settings.FAULT == "crash":
            raise RuntimeError("a bug in connect")
        if self.scope["customer"] is None:
            self.close(4401)
            return
        if settings.FAULT == "dies":
            self.accept()
            raise RuntimeError("a bug after accept")
        if settings.FAULT == "goodbye":
            self.accept()
            self.close(4409, "one window is enough")
            return
        offered = self.scope["subprotocols"]
        if settings.FAULT == "choosy" and "orders.v2" not in offered:
            self.close()
            return
        chosen = {"choosy": "orders.v2", "imposing": "orders.v1"}.get(settings.FAULT)
        self.group = f"order_{self.scope['url_route']['kwargs']['number']}"
        async_to_sync(self.channel_layer.group_add)(self.group, self.channel_name)
        self.accept(chosen)
        order = Order.objects.filter(pk=self.scope["url_route"]["kwargs"]["number"]).first()
        if settings.FAULT != "no_snapshot":
            self.send_json({"state": order.state if order else "unknown", "snapshot": True})

    def disconnect(self, code):
        if hasattr(self, "group"):
            async_to_sync(self.channel_layer.group_discard)(self.group, self.channel_name)

    def order_changed(self, event):
        self.send_json({"state": event["state"]})
