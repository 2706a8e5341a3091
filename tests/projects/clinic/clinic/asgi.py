import os

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application
from django.urls import path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clinic.site")
http = get_asgi_application()

from visits.consumers import Board

sockets = AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter([path("ws/board/", Board.as_asgi())])))
application = ProtocolTypeRouter({"http": http, "websocket": sockets})
