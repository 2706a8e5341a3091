"""Token authentication for WebSocket handshakes, so that command line clients need no session."""

from typing import Any

from channels.db import database_sync_to_async
from channels.middleware import BaseMiddleware
from django.contrib.auth.models import AnonymousUser
from rest_framework.authtoken.models import Token


class TokenAuthMiddleware(BaseMiddleware):
    """Reads `Authorization: Token <key>`, as the HTTP API does.

    A wrong token makes the client nobody, and not the user of its session.
    """

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Any:
        """Set `scope["user"]` from the header, if there is one."""
        header = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
        scheme, _, key = header.partition(" ")
        if scheme.lower() == "token":
            scope = {**scope, "user": await _user_of(key.strip()), "session": None}
        return await super().__call__(scope, receive, send)


@database_sync_to_async
def _user_of(key: str) -> Any:
    token = Token.objects.select_related("user").filter(key=key).first()
    return token.user if token is not None and token.user.is_active else AnonymousUser()
