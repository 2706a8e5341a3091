"""Servers that misbehave on purpose, and pictures; nothing here needs Django."""

import socket
import ssl
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from intelli_fixtures import certs, images

sys.path.insert(0, str(Path(__file__).parents[3] / "backend"))

Script = Callable[["Conversation"], None]


@dataclass
class Conversation:
    """One accepted connection: the request, read whole, and ways to answer it badly."""

    sock: socket.socket
    request: bytes = b""
    stop: threading.Event = field(default_factory=threading.Event)

    def read_request(self) -> None:
        while b"\r\n\r\n" not in self.request:
            self._more()
        head, _, rest = self.request.partition(b"\r\n\r\n")
        lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        missing = int(lengths[0]) - len(rest) if lengths else 0
        while missing > 0:
            missing -= self._more()

    def _more(self) -> int:
        piece = self.sock.recv(65536)
        if not piece:
            raise ConnectionError("the client went away")
        self.request += piece
        return len(piece)

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def answer(self, status: str, body: bytes = b"", **headers: str) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self.sock.close()


class ScriptedServer:
    """A real server on a free loopback port; each connection is played by the next script, the last one for ever."""

    def __init__(self, scripts: list[Script], context: ssl.SSLContext | None) -> None:
        self._scripts = scripts
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.1)
        self.port = self._listener.getsockname()[1]
        self.conversations: list[Conversation] = []
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        return f"{'https' if self._context else 'http'}://127.0.0.1:{self.port}"

    @property
    def requests(self) -> list[bytes]:
        return [conversation.request for conversation in self.conversations]

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                sock, _ = self._listener.accept()
            except TimeoutError:
                continue
            sock.settimeout(10)
            script = self._scripts[min(len(self.conversations), len(self._scripts) - 1)]
            conversation = Conversation(sock, stop=self._stop)
            self.conversations.append(conversation)
            self._threads.append(threading.Thread(target=self._play, args=(script, conversation)))
            self._threads[-1].start()

    def _play(self, script: Script, conversation: Conversation) -> None:
        try:
            if self._context:
                conversation.sock = self._context.wrap_socket(conversation.sock, server_side=True)
            conversation.read_request()
            script(conversation)
        except OSError:
            pass  # a client that had enough hangs up; that is what many of these tests are about
        finally:
            conversation.sock.close()

    def close(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()
        self._listener.close()


@pytest.fixture
def serve():
    """Start servers from scripts; all are gone at the end of the test."""
    started: list[ScriptedServer] = []

    def start(*scripts: Script, context: ssl.SSLContext | None = None) -> ScriptedServer:
        started.append(ScriptedServer(list(scripts), context))
        return started[-1]

    yield start
    for server in started:
        server.close()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    return certs.create(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def server_context(certificates):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate, certificates.key)
    return context


@pytest.fixture(scope="session")
def samples(tmp_path_factory):
    return images.create(tmp_path_factory.mktemp("samples"))


@pytest.fixture(scope="session")
def photograph(samples):
    """A real photograph as RGB pixels."""
    from PIL import Image

    with Image.open(samples.photographs[0]) as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture(scope="session")
def awkward(photograph):
    """Pixels of every awkward shape."""
    rng = np.random.default_rng(7)
    noise = rng.integers(0, 256, (37, 211, 3), dtype=np.uint8)
    return {
        "one-pixel": np.full((1, 1, 3), 7, np.uint8),
        "one-row": noise[:1],
        "one-column": noise[:, :1],
        "two-pixels": noise[:1, :2],
        "one-colour": np.full((48, 64, 3), (12, 200, 90), np.uint8),
        "black": np.zeros((5, 4, 3), np.uint8),
        "white": np.full((5, 4, 3), 255, np.uint8),
        "noise": noise,
        "photograph": photograph,
    }
