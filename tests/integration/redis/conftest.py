"""Real Redis servers, configured as each test needs them, and peers that are not what they should be."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from intelli_checks.context import Context
from intelli_checks.dsn import Dsn
from intelli_checks.model import Report
from intelli_checks.probes.resp import Connection, DialError, ReplyError
from intelli_checks.registry import registry
from intelli_checks.runner import diagnose
from intelli_checks.target import Target

PASSWORD = "pl4nted-s3cret"


class Server:
    """A redis-server process of our own on a random port."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder, self.arguments, self.port = folder, arguments, free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Server:
        program = shutil.which("redis-server")
        if program is None:
            pytest.skip("needs redis-server")
        folder = ["--dir", str(self.folder), "--bind", "127.0.0.1"]
        port = [] if "--port" in self.arguments else ["--port", str(self.port)]
        self.process = subprocess.Popen(
            [program, *self.arguments[:1], *port, *folder, *self.arguments[1:]]
            if self.arguments and not self.arguments[0].startswith("--")
            else [program, *port, *folder, *self.arguments],
            stdout=subprocess.DEVNULL,
        )
        until(self.listening)
        return self

    def stop(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()

    def listening(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def url(self, database: int = 0, login: str = "") -> str:
        return f"redis://{login}127.0.0.1:{self.port}/{database}"

    def do(self, *command: str | int, login: str = "", database: int = 0):
        with Connection.open(Dsn(self.url(database, login)), 10) as connection:
            return connection.call(*command)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def until(condition: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{condition} did not come true in {seconds} s")
        threading.Event().wait(0.02)


def ready(server: Server, login: str = "") -> bool:
    try:
        return server.do("PING", login=login) == b"PONG"
    except (DialError, ReplyError):
        return False


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start servers with the given command-line options; `--save` is off unless given."""
    started: list[Server] = []

    def start(*arguments: str) -> Server:
        folder = tmp_path / f"redis{len(started)}"
        folder.mkdir()
        defaults = () if "--save" in arguments else ("--save", "")
        server = Server(folder, *arguments, *defaults)
        started.append(server)
        return server.start()

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def peer() -> Iterator[Callable[[Callable[[socket.socket], None]], str]]:
    """A listener whose every connection is handled by the given function; returns `host:port`."""
    listeners: list[socket.socket] = []

    def listen(handle: Callable[[socket.socket], None]) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    sock, _ = listener.accept()
                    threading.Thread(target=_handle, args=(handle, sock), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        return f"127.0.0.1:{listener.getsockname()[1]}"

    yield listen
    for listener in listeners:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _handle(handle: Callable[[socket.socket], None], sock: socket.socket) -> None:
    with contextlib.suppress(OSError), sock:
        handle(sock)


def check(
    url: str, *patterns: str, results: str | None = None, layer: str | None = None, timeout: float = 10.0
) -> Report:
    """Run the checks of these names against these URLs, without any project."""
    registry.load()
    target = Target(
        Path(),
        broker=Dsn(url),
        results=Dsn(results) if results else None,
        layer=Dsn(layer) if layer else None,
        timeout=timeout,
    )
    return diagnose(registry.select(patterns or ["redis"]), Context(target))


def kinds(report: Report) -> list[tuple[str, object]]:
    """Check id and fault of every failing finding."""
    return [
        (result.check.id, finding.facts.get("kind"))
        for result in report.results
        for finding in result.findings
        if finding.severity >= 40
    ]


def outcomes(report: Report) -> dict[str, str]:
    return {result.check.id: result.outcome.value for result in report.results}


def everything(report: Report) -> str:
    """All text and facts a renderer could print."""
    return " ".join(
        f"{result.reason} {finding.message} {finding.hint} {finding.subject} {dict(finding.facts)}"
        for result in report.results
        for finding in (*result.findings, *_none(result.findings))
    ) + str(dict(report.target))


def _none(findings):
    from intelli_checks import info

    return () if findings else (info(""),)
