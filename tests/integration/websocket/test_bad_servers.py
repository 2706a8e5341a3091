"""C10: servers that answer HTTP and do everything else to a WebSocket; each has a verdict of its own, in time."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import threading
import time
from pathlib import Path

import pytest
from tests.integration.channels.harness import check, failing, told

from intelli_checks.context import Context
from intelli_checks.model import Outcome
from intelli_checks.probes.websocket import HOLD, MAX_FRAME
from intelli_checks.target import Target
from intelli_fixtures import peers

HANDSHAKE = "websocket.handshake"
TIMEOUT = 6.0
_FRAME = 1 << 16


def accept(request) -> None:
    key = request.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    request.send_response(101)
    request.send_header("Upgrade", "websocket")
    request.send_header("Connection", "Upgrade")
    request.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
    request.end_headers()


def forbid(request) -> None:
    request.send_error(403)


def keep_silent(request) -> None:
    request.server.over.wait(TIMEOUT * 2)


def break_off(request) -> None:
    accept(request)


def break_off_late(request) -> None:
    """As a busy server does, which notices late that its consumer has died."""
    cut_late(request)
    request.wfile.write(b"\x88\x02\x03\xf3")  # a close frame with 1011


def cut_late(request) -> None:
    """As a proxy does with sockets that are silent."""
    request.server.over.wait(0.4)
    accept(request)
    request.server.over.wait(HOLD + 0.5)


def send_a_huge_frame(request) -> None:
    accept(request)
    request.wfile.write(b"\x81\x7f" + (MAX_FRAME * 4).to_bytes(8, "big"))
    pour(request, b"x" * _FRAME, MAX_FRAME * 4)


def send_frames_without_end(request) -> None:
    accept(request)
    pour(request, (b"\x81\x7e" + (0x4000).to_bytes(2, "big") + b"x" * 0x4000), 1 << 40)


def pour(request, chunk: bytes, most: int) -> None:
    """Write until somebody has had enough."""
    with contextlib.suppress(OSError):
        for _ in range(most // len(chunk)):
            request.wfile.write(chunk)
            if request.server.over.is_set():
                return


@contextlib.contextmanager
def serving(behaviour):
    """A server whose front page is fine and whose WebSockets are not."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.close_connection = True
            if "upgrade" in self.headers.get("Connection", "").lower():
                behaviour(self)
            else:
                self.send_response(204)
                self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.over = threading.Event()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.over.set()
        server.shutdown()


def verdict(web: str):
    began = time.monotonic()
    results = check(Context(Target(Path(), web=web, websocket="/ws/", timeout=TIMEOUT)), "websocket")
    assert time.monotonic() - began < TIMEOUT + 1
    return results


@pytest.mark.parametrize(
    ("behaviour", "outcome", "said"),
    [
        (forbid, Outcome.WARNED, "refused (403)"),
        (keep_silent, Outcome.FAILED, "the handshake never answered"),
        (break_off, Outcome.FAILED, "1006 (no close frame"),
        (break_off_late, Outcome.FAILED, "1011 (the server had an exception)"),
        (cut_late, Outcome.WARNED, "a ping was not answered"),
        (send_a_huge_frame, Outcome.PASSED, "a frame of more than"),
        (send_frames_without_end, Outcome.WARNED, "a ping was not answered"),
    ],
)
def test_c10_every_way_to_fail_has_its_verdict(behaviour, outcome, said):
    with serving(behaviour) as web:
        results = verdict(web)
    assert said in told(results[HANDSHAKE])
    assert results[HANDSHAKE].outcome is outcome


def test_c10_a_server_that_refuses_connections():
    with peers.closed_port() as peer:
        results = verdict(peer.url("http", ""))
    assert list(failing(results)) == ["websocket.server"]
