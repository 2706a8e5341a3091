"""A cap on request bodies, in bytes and in seconds, that holds while they arrive, announced length or not.

Django counts only what its parsers read, after the server has stored the whole body. Daphne stores it without any
limit: in memory, then on disk. So the cap is kept twice: in the server, where Daphne is used, and at the door of the
application for servers that stream.
"""

import asyncio
import json
import sys
from http import HTTPStatus
from typing import Any

from django.conf import settings

_TOO_LARGE = (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the request is too large")
_TOO_SLOW = (HTTPStatus.REQUEST_TIMEOUT, "the request took too long to arrive")


def _problem(status: HTTPStatus, detail: str) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Headers and body of the refusal (RFC 9457)."""
    fields: dict[str, Any] = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        "errors": [],
    }
    body = json.dumps(fields).encode()
    return [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())], body


def limited(application: Any) -> Any:
    """Wrap an ASGI HTTP application: past the cap the client gets 413 or 408 and the application a disconnect."""

    async def wrapped(scope: dict[str, Any], receive: Any, send: Any) -> None:
        received, complete, refused = 0, False, False
        latest = asyncio.get_running_loop().time() + settings.INTELLI_MAX_BODY_SECONDS

        async def refuse(status: HTTPStatus, detail: str) -> None:
            nonlocal refused
            refused = True
            headers, body = _problem(status, detail)
            await send({"type": "http.response.start", "status": status.value, "headers": headers})
            await send({"type": "http.response.body", "body": body})

        async def counted() -> dict[str, Any]:
            nonlocal received, complete
            if refused:
                return {"type": "http.disconnect"}
            try:
                async with asyncio.timeout_at(None if complete else latest):
                    message: dict[str, Any] = await receive()
            except TimeoutError:
                await refuse(*_TOO_SLOW)
                return {"type": "http.disconnect"}
            received += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if received > settings.INTELLI_MAX_BODY_BYTES:
                await refuse(*_TOO_LARGE)
            return {"type": "http.disconnect"} if refused else message

        async def unless_refused(message: dict[str, Any]) -> None:
            if not refused:
                await send(message)

        await application(scope, counted, unless_refused)

    return wrapped


def limit_daphne() -> None:
    """Make Daphne drop a client whose body passes the cap. Does nothing under another server.

    Daphne has no option for it; `gotLength` and `handleContentChunk` are Twisted's documented hooks for the announced
    length of a body and for its pieces, `process` and `connectionLost` for its two ends.
    """
    protocol = sys.modules.get("daphne.http_protocol")
    if protocol is None or getattr(protocol.WebRequest, "intelli_limited", False):
        return
    request_class = protocol.WebRequest
    got_length, handle_chunk = request_class.gotLength, request_class.handleContentChunk
    process, lost = request_class.process, request_class.connectionLost

    def gotLength(self: Any, length: int | None) -> None:  # noqa: N802  Twisted's name
        from twisted.internet import reactor

        self.intelli_received, self.intelli_refused = 0, False
        self.intelli_clock = reactor.callLater(settings.INTELLI_MAX_BODY_SECONDS, _refuse, self, *_TOO_SLOW)
        got_length(self, length)
        if length is not None and length > settings.INTELLI_MAX_BODY_BYTES:
            _refuse(self, *_TOO_LARGE)

    def handleContentChunk(self: Any, data: bytes) -> None:  # noqa: N802  Twisted's name
        self.intelli_received += len(data)
        if self.intelli_received > settings.INTELLI_MAX_BODY_BYTES:
            _refuse(self, *_TOO_LARGE)
        elif not self.intelli_refused:
            handle_chunk(self, data)

    def arrived(self: Any) -> Any:
        _stop_clock(self)
        return process(self)

    def connectionLost(self: Any, reason: Any) -> None:  # noqa: N802  Twisted's name
        _stop_clock(self)
        lost(self, reason)

    request_class.gotLength, request_class.handleContentChunk = gotLength, handleContentChunk
    request_class.process, request_class.connectionLost = arrived, connectionLost
    request_class.intelli_limited = True


def _stop_clock(request: Any) -> None:
    clock = getattr(request, "intelli_clock", None)  # none yet where the connection ends before its headers did
    if clock is not None and clock.active():
        clock.cancel()


def _refuse(request: Any, status: HTTPStatus, detail: str) -> None:
    _stop_clock(request)
    if request.intelli_refused or request.channel is None:
        return
    request.intelli_refused = True
    headers, body = _problem(status, detail)
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\n".encode()
    head += b"".join(name + b": " + value + b"\r\n" for name, value in headers)
    request.channel.transport.write(head + b"\r\n" + body)
    request.channel.transport.loseConnection()
