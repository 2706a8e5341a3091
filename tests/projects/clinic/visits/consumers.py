from channels.generic.websocket import AsyncJsonWebsocketConsumer


class Board(AsyncJsonWebsocketConsumer):
    async def connect(self):
        await self.channel_layer.group_add("board", self.channel_name)
        await self.accept()

    async def disconnect(self, code):
        await self.channel_layer.group_discard("board", self.channel_name)

    async def board_line(self, event):
        await self.send_json({"line": event["line"]})
