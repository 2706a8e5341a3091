"""A cap on request bodies that holds while they arrive, also for those that do not announce their length.

Django counts only what its parsers read, after the server has stored the whole body. Daphne stores it without any
limit: in memory, then on disk. So the cap is kept twice: in the server, where Daphne is used, and at the door of the
application for servers that stream.
"""

import json
import sys
from typing import Any

from django.conf import settings

_PROBLEM = json.dumps(
    {
        "type": "about:blank",
        "title": "Content Too Large",
        "status": 413,
        "detail": "the request is too large",
        "errors": [],
    }
).encode()
_HEADERS = ((b"content-type", b"application/problem+json"), (b"content-length", str(len(_PROBLEM)).encode()))


def limited(application: Any) -> Any:
    """Wrap an ASGI HTTP application: past the cap the client gets 413 and the application a disconnect."""

    async def wrapped(scope: dict[str, Any], receive: Any, send: Any) -> None:
        received, refused = 0, False

        async def counted() -> dict[str, Any]:
            nonlocal received, refused
            message: dict[str, Any] = await receive()
            received += len(message.get("body", b""))
            if received > settings.INTELLI_MAX_BODY_BYTES and not refused:
                refused = True
                await send({"type": "http.response.start", "status": 413, "headers": _HEADERS})
                await send({"type": "http.response.body", "body": _PROBLEM})
            return {"type": "http.disconnect"} if refused else message

        async def unless_refused(message: dict[str, Any]) -> None:
            if not refused:
                await send(message)

        await application(scope, counted, unless_refused)

    return wrapped


def limit_daphne() -> None:
    """Make Daphne drop a client whose body passes the cap. Does nothing under another server.

    Daphne has no option for it; `gotLength` and `handleContentChunk` are Twisted's documented hooks for the announced
    length of a body and for its pieces.
    """
    protocol = sys.modules.get("daphne.http_protocol")
    if protocol is None or getattr(protocol.WebRequest, "intelli_limited", False):
        return
    request_class = protocol.WebRequest
    got_length, handle_chunk = request_class.gotLength, request_class.handleContentChunk

    def gotLength(self: Any, length: int | None) -> None:  # noqa: N802  Twisted's name
        self.intelli_received, self.intelli_refused = 0, False
        got_length(self, length)
        if length is not None and length > settings.INTELLI_MAX_BODY_BYTES:
            _refuse(self)

    def handleContentChunk(self: Any, data: bytes) -> None:  # noqa: N802  Twisted's name
        self.intelli_received += len(data)
        if self.intelli_received > settings.INTELLI_MAX_BODY_BYTES:
            _refuse(self)
        elif not self.intelli_refused:
            handle_chunk(self, data)

    request_class.gotLength, request_class.handleContentChunk = gotLength, handleContentChunk
    request_class.intelli_limited = True


def _refuse(request: Any) -> None:
    if request.intelli_refused:
        return
    request.intelli_refused = True
    head = b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\n"
    head += b"".join(name + b": " + value + b"\r\n" for name, value in _HEADERS)
    request.channel.transport.write(head + b"\r\n" + _PROBLEM)
    request.channel.transport.loseConnection()
