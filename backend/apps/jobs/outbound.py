"""One HTTP/1.1 exchange under one deadline, to an address chosen by the caller.

The timeouts of the usual clients count from the last byte, so a server that sends a byte now and then holds a worker
for ever. Here every wait (connect, TLS, each read and write) gets what is left of one total. Redirects and proxies
are never followed, and compressed bodies are never asked for: the bytes counted are the bytes received.
"""

import http.client
import io
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

CHUNK_BYTES = 64 * 1024


class DeadlineError(TimeoutError):
    """The total time is used up."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point in time on a monotonic clock."""

    at: float
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def after(cls, seconds: float, clock: Callable[[], float] = time.monotonic) -> "Deadline":
        """The point `seconds` from now."""
        return cls(clock() + seconds, clock)

    def left(self) -> float:
        """Seconds left.

        Raises:
            DeadlineError: there are none.
        """
        seconds = self.at - self.clock()
        if seconds <= 0:
            raise DeadlineError("the total time is used up")
        return seconds


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request goes: the name for Host header and certificate, and the addresses it may connect to, in order."""

    scheme: str
    host: str
    port: int
    addresses: tuple[str, ...]

    @property
    def authority(self) -> str:
        """The Host header."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == {"http": 80, "https": 443}[self.scheme] else f"{name}:{self.port}"


class _Reading(io.RawIOBase):
    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock = sock
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        self._sock.settimeout(self._deadline.left())
        return self._sock.recv_into(buffer)  # type: ignore[arg-type]  # a buffer, as io promises


class _Socket:
    """What `http.client` uses of a socket, every wait bounded by the deadline."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock = sock
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(self._deadline.left())  # for sendall Python counts the timeout over the whole call
        self._sock.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reading(self._sock, self._deadline))

    def close(self) -> None:
        """Nothing: `http.client` closes here once it knows the response to be the last, with the body still to come."""


def _connect(
    origin: Origin, deadline: Deadline, connect_seconds: float, context: ssl.SSLContext | None
) -> socket.socket:
    trouble: OSError = OSError("no address to connect to")
    for address in origin.addresses:
        try:
            sock = socket.create_connection((address, origin.port), timeout=min(connect_seconds, deadline.left()))
        except DeadlineError:
            raise
        except OSError as error:
            trouble = error
            continue
        return _secure(sock, origin, deadline, context)
    raise trouble


def _secure(sock: socket.socket, origin: Origin, deadline: Deadline, context: ssl.SSLContext | None) -> socket.socket:
    if context is None:
        return sock
    try:
        sock.settimeout(deadline.left())
        return context.wrap_socket(sock, server_hostname=origin.host)
    except BaseException:
        sock.close()
        raise


@contextmanager
def exchange(
    origin: Origin,
    deadline: Deadline,
    request: tuple[str, str, Mapping[str, str], bytes | None],
    *,
    connect_seconds: float,
    context: ssl.SSLContext | None = None,
) -> Iterator[http.client.HTTPResponse]:
    """Send `request` (method, path with query, headers, body) and give the response, its body not yet read.

    Args:
        origin: where to; only its addresses are connected to.
        deadline: bounds everything until the block is left.
        request: headers without Host, which comes from the origin.
        connect_seconds: at most this per address, so that a dead address leaves time for the next.
        context: TLS settings for https; the certificate must name `origin.host`.

    Raises:
        DeadlineError: out of time.
        OSError: connecting, TLS or the connection failed (`TimeoutError` for a read that took all the time).
        http.client.HTTPException: the server does not speak HTTP.
    """
    sock = _connect(origin, deadline, connect_seconds, context if origin.scheme == "https" else None)
    connection = http.client.HTTPConnection(origin.host, origin.port)
    connection.sock = _Socket(sock, deadline)
    try:
        method, path, headers, body = request
        everything = {"Host": origin.authority, "Connection": "close", "Accept-Encoding": "identity", **headers}
        connection.request(method, path, body, everything)
        response = connection.getresponse()
        try:
            yield response
        finally:
            response.close()
    finally:
        connection.close()
        sock.close()


def body(response: http.client.HTTPResponse, most: int) -> Iterator[bytes]:
    """Read a body piece by piece.

    Raises:
        OverflowError: it is, or announces to be, longer than `most` bytes.
        http.client.IncompleteRead: it ends before its announced length.
    """
    announced = response.length
    if announced is not None and announced > most:
        raise OverflowError(f"{announced} bytes announced")
    received = 0
    while piece := response.read1(CHUNK_BYTES):
        received += len(piece)
        if received > most:
            raise OverflowError(f"more than {most} bytes")
        yield piece
    if announced is not None and received < announced:
        raise http.client.IncompleteRead(b"", announced - received)
