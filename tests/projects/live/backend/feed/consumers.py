from channels.generic.websocket import AsyncJsonWebsocketConsumer


class FeedConsumer(AsyncJsonWebsocketConsumer):
    async def connect(self):
        self.user = self.scope["user"]
        await self.channel_layer.group_add("feed", self.channel_name)
        await self.accept()

    async def feed_item(self, event):
        await self.send_json(event)
