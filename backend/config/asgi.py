"""ASGI entry point: HTTP by Django, WebSocket by Channels, refused for foreign origins before anything else."""

import os
from typing import Any

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.development")
_django = get_asgi_application()  # loads the apps, which the imports below need

from apps.jobs import sweeper  # noqa: E402
from apps.jobs.routing import websocket_urlpatterns  # noqa: E402
from apps.jobs.socket_auth import TokenAuthMiddleware  # noqa: E402
from config.body_limit import limit_daphne, limited  # noqa: E402

limit_daphne()


async def _http(scope: dict[str, Any], receive: Any, send: Any) -> None:
    # At the first request and not at import: tools that only look at this module must not start threads.
    sweeper.start_once()
    await _django(scope, receive, send)


application = ProtocolTypeRouter(
    {
        "http": limited(_http),
        "websocket": AllowedHostsOriginValidator(
            AuthMiddlewareStack(TokenAuthMiddleware(URLRouter(websocket_urlpatterns)))
        ),
    }
)
