"""WebSocket handshakes as a browser makes them, each bounded by a total deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from intelli_checks.model import Unavailable
from intelli_checks.probes import http
from intelli_checks.text import safe

FOREIGN = "https://intelli-ops.invalid"
"""An origin no system serves (RFC 2606)."""
HOLD = 2.0
"""Seconds an accepted socket is watched: Daphne looks once a second whether the application has died, or later."""
_SLOWER, _MOST = 5.0, 3.0
"""How much longer it is watched where the handshake itself took long: times its seconds, and at most."""
IDLE = 9.0
"""Seconds of silence: redis-py 8 gives up reading after 5.2, and a busy Daphne takes two more to notice."""
MAX_FRAME = 1024 * 1024
SUBPROTOCOL = "sec-websocket-protocol"
_TOO_BIG, _CUT = 1009, 1006
"""Close codes (RFC 6455, section 7.4.1)."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of one handshake, and of the socket after it."""

    url: str
    origin: str | None = None
    status: int | None = None
    """HTTP status of the answer; 101 when the socket was opened; None when there was none."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Of the answer, names in lower case."""
    body: str = ""
    """The beginning of a refusal's body, on one line."""
    step: str = ""
    """Where it broke without an answer: refused, resolve, tls, silent, closed, protocol, subprotocol.

    `flood` when it opened and sent more than is read.
    """
    detail: str = ""
    close_code: int | None = None
    """The code the server closed with while we watched; 1006 for a connection that just ended."""
    close_reason: str = ""
    pong_ms: float | None = None
    seconds: float = 0.0
    """Until the handshake was answered."""
    lived: float = 0.0
    """Seconds the socket stayed open while we watched."""

    @property
    def accepted(self) -> bool:
        return self.status == 101

    @property
    def subprotocol(self) -> str:
        """What the server chose of what was offered."""
        return safe(self.headers.get(SUBPROTOCOL, ""))[:80]

    @property
    def server(self) -> str:
        """What the server calls itself."""
        return safe(self.headers.get("server", ""))[:80]


def attempt(
    url: str, origin: str | None, timeout: float, *, headers: Mapping[str, str] | None = None, hold: float = 0.0
) -> Attempt:
    """Open `url`, ping, watch it for `hold` seconds, close; back within `timeout` seconds, whatever the peer does."""
    told: Future[Attempt] = Future()
    started = time.monotonic()

    def run() -> None:
        try:
            told.set_result(_attempt(url, origin, timeout, headers or {}, hold))
        except BaseException as error:  # noqa: BLE001 - whoever waits must get it
            told.set_result(_broken(url, origin, error, started))

    threading.Thread(target=run, name=f"handshake {safe(url)}", daemon=True).start()
    try:
        return told.result(timeout + 0.2)
    except TimeoutError:
        detail = f"no answer within {timeout:.1f} s"
        return Attempt(safe(url), origin, step="silent", detail=detail, seconds=time.monotonic() - started)


def connect(url: str, origin: str | None, timeout: float, headers: Mapping[str, str] | None = None) -> Any:
    """An open `websockets` connection; raises what that library raises.

    A header Sec-WebSocket-Protocol is what to offer, separated by commas.
    """
    from websockets.sync import client

    more = {name.lower(): value for name, value in (headers or {}).items()}
    offered = [name.strip() for name in more.pop(SUBPROTOCOL, "").split(",") if name.strip()]
    return client.connect(
        url,
        origin=origin,  # type: ignore[arg-type] # a NewType of str
        additional_headers=more,
        subprotocols=offered or None,  # type: ignore[arg-type] # NewTypes of str
        open_timeout=timeout,
        close_timeout=0.5,
        ping_interval=None,
        max_size=MAX_FRAME,
        max_queue=None,  # with a limit, closing waits for frames that nobody reads
        proxy=None,
    )


def _attempt(url: str, origin: str | None, timeout: float, headers: Mapping[str, str], hold: float) -> Attempt:
    from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus

    started = time.monotonic()
    deadline = started + timeout
    try:
        socket = connect(url, origin, timeout, headers)
    except InvalidStatus as refusal:
        answer = refusal.response
        return Attempt(
            safe(url),
            origin,
            answer.status_code,
            {name.lower(): value for name, value in answer.headers.raw_items()},
            safe(" ".join((answer.body or b"")[:2000].decode("utf-8", "replace").split()))[:200],
            seconds=time.monotonic() - started,
        )
    except InvalidMessage as error:
        return _as_http(url, origin, headers, deadline - time.monotonic(), error)
    opened = time.monotonic()
    answered = {name.lower(): value for name, value in socket.response.headers.raw_items()}
    pong, code, reason, step = None, None, "", ""
    with socket:
        try:
            pong = _ping(socket, min(1.0, max(0.1, deadline - time.monotonic())))
            slow = min(_MOST, _SLOWER * (opened - started)) if hold else 0.0
            _watch(socket, min(opened + hold + slow, deadline - 0.1))
        except ConnectionClosed as closed:
            code = closed.rcvd.code if closed.rcvd else (closed.sent.code if closed.sent else 1006)
            reason = safe(closed.rcvd.reason if closed.rcvd else "")[:200]
            step = "flood" if not closed.rcvd and code == _TOO_BIG else ""
            if code == _CUT and time.monotonic() > opened + hold:  # by a proxy as likely: `websocket.idle` tells
                code = None
        lived = time.monotonic() - opened
    return Attempt(
        safe(url), origin, 101, answered, "", step, "", code, reason, pong, round(opened - started, 3), round(lived, 2)
    )


def _as_http(url: str, origin: str | None, headers: Mapping[str, str], timeout: float, error: Exception) -> Attempt:
    """The same request by an HTTP client, which understands the HTTP/1.0 that WSGI servers speak."""
    asked = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", **headers}
    asked["Sec-WebSocket-Key"] = "aW50ZWxsaS1vcHMtcHJvYg=="  # any sixteen bytes
    asked.update({"Origin": origin} if origin else {})
    try:
        answer = http.call("GET", url.replace("ws", "http", 1), max(0.2, timeout), headers=asked)
    except Unavailable:
        raise error from None
    return Attempt(safe(url), origin, answer.status, answer.headers, answer.gist, seconds=answer.seconds)


def _ping(socket: Any, seconds: float) -> float | None:
    """Milliseconds until the pong; None when none came in time."""
    sent = time.monotonic()
    answered = socket.ping()
    return round((time.monotonic() - sent) * 1000, 1) if answered.wait(seconds) else None


def _watch(socket: Any, until: float) -> None:
    """Read and forget until then; raises ConnectionClosed when the server closes."""
    while (left := until - time.monotonic()) > 0:
        try:
            socket.recv(timeout=left)
        except TimeoutError:
            return


def _broken(url: str, origin: str | None, error: BaseException, started: float) -> Attempt:
    """What broke before any answer."""
    import socket
    import ssl

    from websockets.exceptions import InvalidHandshake, InvalidMessage, NegotiationError

    cause = error.__cause__ or error
    step = "protocol"
    if isinstance(error, TimeoutError):
        step = "silent"
    elif isinstance(error, ssl.SSLError):
        step = "tls"
    elif isinstance(error, socket.gaierror):
        step = "resolve"
    elif isinstance(error, ConnectionRefusedError):
        step = "refused"
    elif isinstance(error, OSError) or (isinstance(error, InvalidMessage) and isinstance(cause, EOFError)):
        step = "closed"
    elif isinstance(error, InvalidHandshake):
        step = "protocol"
    detail = safe(getattr(cause, "strerror", None) or cause or type(error).__name__)[:200]
    if isinstance(error, NegotiationError):
        step = "subprotocol"
    elif step == "tls":
        detail = http.tls_words(error)
    return Attempt(safe(url), origin, step=step, detail=detail, seconds=time.monotonic() - started)
