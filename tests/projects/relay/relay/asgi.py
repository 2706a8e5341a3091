import os
from http.cookies import SimpleCookie
from urllib.parse import parse_qs

from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import OriginValidator
from django.core.asgi import get_asgi_application
from django.urls import path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "relay.settings")
http = get_asgi_application()

from django.conf import settings

from orders.consumers import OrderConsumer


class TokenAuthMiddleware:
    """`?token=` of the URL, a cookie or a header becomes scope["customer"]."""

    def __init__(self, inner):
        self.inner = inner

    async def __call__(self, scope, receive, send):
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        cookie = SimpleCookie(headers.get("cookie", "")).get("token")
        token = parse_qs(scope["query_string"].decode()).get("token", [bearer or (cookie.value if cookie else "")])[0]
        if settings.FAULT != "no_auth":
            scope = {**scope, "customer": "ada" if token == "sesame" else None}
        return await self.inner(scope, receive, send)


inner = URLRouter([path("<int:number>/live", OrderConsumer.as_asgi())])
routes = URLRouter([path("live/", URLRouter([path("orders/", inner)]))])
websocket = TokenAuthMiddleware(routes)
if settings.FAULT != "any_origin":
    websocket = OriginValidator(websocket, ["127.0.0.1", "localhost"])
application = ProtocolTypeRouter({"http": http, "websocket": websocket})
