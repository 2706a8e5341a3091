"""A Redis connection bounded by one total deadline.

redis-py's timeouts are per read and per attempt: against a peer that drips a byte every half second, or a name server
that stalls, a 2 s timeout was measured to hold for more than 15 s. A diagnosis must come back, must say at which step
the way to Redis broke, and must not pay 130 ms of imports in a probe. Hence these lines: RESP2 as documented in "Redis
serialization protocol specification", nothing more.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence

TYPE_CHECKING = False  # see layout
if TYPE_CHECKING:
    import ssl
    from typing import Literal, Self, TypeAlias

    from intelli_checks.dsn import Dsn
    from intelli_checks.target import Place

Step: TypeAlias = 'Literal["resolve", "connect", "tls", "silent", "closed", "protocol", "auth", "select"]'
Argument: TypeAlias = "str | bytes | int | float"
Reply: TypeAlias = "bytes | int | list[Reply] | ReplyError | None"

MAX_REPLY = 24 * 1024 * 1024
"""Bytes one reply may have: a peer that lies about sizes must not cost more memory than the machine has to spare."""
LARGEST = 512 * 1024 * 1024
"""Bytes a value of Redis may have (proto-max-bulk-len): whoever announces more is no Redis."""
END = 64 * 1024
"""Bytes kept of a value that is read past."""
STEPS = 8
"""How often as long as connecting and logging in a conversation may take on a distant server, beyond its time."""
MAX_DEPTH = 16
_MAX_LINE = 64 * 1024
_TYPES = (b"", b"+", b"-", b":", b"$", b"*")
"""First bytes of RESP2 replies; anything else is told at once, without waiting for the end of a line."""


class DialError(Exception):
    """The way to Redis broke at `step`; `detail` is the operating system's or the peer's own word."""

    def __init__(self, step: Step, detail: str) -> None:
        super().__init__(f"{step}: {detail}")
        self.step: Step = step
        self.detail = detail


class ReplyError(Exception):
    """An error reply: `-CODE message`. Returned in pipelines, raised by `call`."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.code = text.partition(" ")[0]


class Cut(bytes):
    """The end of a value that was too large to keep."""

    size: int

    @classmethod
    def of(cls, end: bytes, size: int) -> Cut:
        cut = cls(end)
        cut.size = size
        return cut


class Connection:
    """One conversation with one Redis; everything in it ends by `deadline` (seconds of `time.monotonic`)."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self.sock = sock
        self.deadline = deadline
        self._spare = 0.0
        self._buffer = bytearray()
        self._cursor = 0
        self._allowance = MAX_REPLY
        self._room: int | None = None

    @classmethod
    def open(
        cls,
        dsn: Dsn,
        timeout: float,
        *,
        tls: Mapping[str, str] | None = None,
        database: int | None = None,
        via: Place | None = None,
    ) -> Self:
        """Connect, encrypt, authenticate and select as the URL says; raises DialError naming the step that broke.

        `via` is where to connect from, when not from here.
        """
        began = time.monotonic()
        deadline = began + timeout
        sock = _connect(dsn, deadline) if via is None else _connect_from(via, dsn, deadline)
        connection = cls(sock, deadline)
        try:
            if dsn.tls:
                connection.sock = _encrypt(sock, dsn, {**dsn.options, **(tls or {})}, deadline)
            connection._greet(dsn, dsn.database if database is None else database)
        except BaseException:
            connection.close()
            raise
        connection._spare = min(STEPS * (time.monotonic() - began), timeout)
        return connection

    def patient(self) -> Self:
        """The same, where a server that is far away gets the time its distance takes, up to as much again."""
        self.deadline += self._spare
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.sock.close()

    @property
    def local_address(self) -> str:
        """This end as CLIENT LIST shows it, to leave ourselves out of what we count."""
        return _address(self.sock.getsockname())

    @property
    def peer_address(self) -> str:
        """The server's end, as other processes of this machine are connected to it; empty where it hung up."""
        try:
            return _address(self.sock.getpeername())
        except OSError:
            return ""

    def call(self, *command: Argument) -> Reply:
        """One command, its reply; raises ReplyError for an error reply and DialError when the connection breaks."""
        reply = self.pipeline([command])[0]
        if isinstance(reply, ReplyError):
            raise reply
        return reply

    def pipeline(self, commands: Iterable[Sequence[Argument]], keep: int | None = None) -> list[Reply]:
        """Several commands in one write; error replies come back as values.

        With `keep`, values beyond so many bytes of a reply are read past and come back as `Cut`: what users stored has
        any size, and must not be taken for a peer that lies.
        """
        commands = list(commands)
        self.send(commands)
        return [self.read(keep) for _ in commands]

    def send(self, commands: Iterable[Sequence[Argument]]) -> None:
        """Write commands without reading their replies."""
        self._arm()
        try:
            self.sock.sendall(b"".join(_encode(command) for command in commands))
        except TimeoutError as error:
            raise DialError("silent", "the peer stopped reading") from error
        except OSError as error:
            raise DialError("closed", _words(error)) from error

    def read(self, keep: int | None = None) -> Reply:
        """The next reply."""
        self._allowance = MAX_REPLY
        self._room = keep
        return self._parse(0)

    def _greet(self, dsn: Dsn, database: int) -> None:
        if dsn.password:
            user = (dsn.username,) if dsn.username else ()
            self._expect("auth", "AUTH", *user, dsn.password)
        if database:
            self._expect("select", "SELECT", database)

    def _expect(self, step: Step, *command: Argument) -> None:
        try:
            self.call(*command)
        except ReplyError as error:
            raise DialError(step, str(error)) from error

    def _arm(self) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise DialError("silent", "no complete answer before the deadline")
        self.sock.settimeout(left)

    def _more(self) -> None:
        self._arm()
        try:
            chunk = self.sock.recv(65536)
        except TimeoutError as error:
            came = len(self._buffer) - self._cursor
            so_far = f"only {came} bytes of an answer" if came else "no answer"
            raise DialError("silent", f"{so_far} before the deadline") from error
        except OSError as error:
            raise DialError("closed", _words(error)) from error
        if not chunk:
            raise DialError("closed", "the peer closed the connection")
        if self._cursor:
            del self._buffer[: self._cursor]
            self._cursor = 0
        self._allowance -= len(chunk)
        if self._allowance < 0:
            raise DialError("protocol", f"a reply of more than {MAX_REPLY} bytes")
        self._buffer += chunk

    def _line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n", self._cursor)) < 0:
            if self._buffer[self._cursor : self._cursor + 1] not in _TYPES:
                raise DialError("protocol", f"not a Redis reply: {bytes(self._buffer[self._cursor :][:40])!r}")
            if len(self._buffer) - self._cursor > _MAX_LINE:
                raise DialError("protocol", f"no line end in {_MAX_LINE} bytes")
            self._more()
        line = bytes(self._buffer[self._cursor : end])
        self._cursor = end + 2
        return line

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) - self._cursor < size + 2:
            self._more()
        start, self._cursor = self._cursor, self._cursor + size + 2
        return bytes(self._buffer[start : start + size])

    def _value(self, size: int) -> bytes:
        if self._room is not None:
            if self._room < size <= LARGEST:
                return self._past(size)
            self._room -= size
        if size > MAX_REPLY:
            raise DialError("protocol", f"a reply of {size} bytes was announced")
        return self._exactly(size)

    def _past(self, size: int) -> Cut:
        left = size
        while left > END:
            self._allowance = MAX_REPLY
            if self._cursor == len(self._buffer):
                self._more()
            step = min(left - END, len(self._buffer) - self._cursor)
            self._cursor += step
            left -= step
        return Cut.of(self._exactly(left), size)

    def _parse(self, depth: int) -> Reply:
        line = self._line()
        kind, value = line[:1], line[1:]
        match kind:
            case b"+":
                return value
            case b"-":
                return ReplyError(value.decode("utf-8", "replace"))
            case b":":
                return _number(value, line)
            case b"$":
                size = _number(value, line)
                return None if size < 0 else self._value(size)
            case b"*" if depth < MAX_DEPTH:
                count = _number(value, line)
                return None if count < 0 else [self._parse(depth + 1) for _ in range(count)]
            case _:
                raise DialError("protocol", f"not a Redis reply: {line[:40]!r}")


def _address(name: object) -> str:
    return f"{name[0]}:{name[1]}" if isinstance(name, tuple) else str(name)


def encoded(name: str) -> bytes:
    """A name as Redis keeps it; one that is not UTF-8 comes from a key of such bytes, or is nobody's."""
    try:
        return name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return name.encode("utf-8", "backslashreplace")


def _encode(command: Sequence[Argument]) -> bytes:
    parts = [part if isinstance(part, bytes) else encoded(str(part)) for part in command]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def _number(value: bytes, line: bytes) -> int:
    try:
        return int(value)
    except ValueError:
        raise DialError("protocol", f"not a Redis reply: {line[:40]!r}") from None


def _connect(dsn: Dsn, deadline: float) -> socket.socket:
    if dsn.unix_path:
        if sys.platform == "win32":
            raise DialError("connect", "Python has no Unix sockets on Windows")
        return _connect_to(socket.AF_UNIX, dsn.unix_path, deadline)
    failure = DialError("resolve", f"no address for {dsn.host}")
    found = _resolve(dsn.host, dsn.port, deadline)
    for left, (family, address) in zip(range(len(found), 0, -1), found, strict=True):
        now = time.monotonic()
        try:
            # An address that drops packets must leave time for the next one (IPv6 without a route, then IPv4).
            return _connect_to(family, address, now + (deadline - now) / left)
        except DialError as error:
            failure = error
    raise failure


def _connect_from(place: Place, dsn: Dsn, deadline: float) -> socket.socket:
    from intelli_checks.probes import relay

    try:
        return relay.connect(place, dsn.unix_path or dsn.host, dsn.port, max(0.1, deadline - time.monotonic()))
    except relay.RelayError as error:
        raise DialError("resolve" if error.step == "resolve" else "connect", str(error)) from error


def _connect_to(family: int, address: object, deadline: float) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(max(0.001, deadline - time.monotonic()))
        sock.connect(address)  # type: ignore[arg-type] # the address matches its family: both come from getaddrinfo
        if family != getattr(socket, "AF_UNIX", None):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except TimeoutError as error:
        sock.close()
        raise DialError("connect", "timed out: packets are dropped on the way") from error
    except OSError as error:
        sock.close()
        raise DialError("connect", _words(error)) from error
    return sock


def _resolve(host: str, port: int, deadline: float) -> list[tuple[int, object]]:
    """`getaddrinfo` on a thread of its own: no socket timeout covers name lookup (a stall of 20 s was measured)."""
    answer: list[tuple[int, object]] = []
    failure: list[str] = []

    def look_up() -> None:
        try:
            found = socket.getaddrinfo(_ascii(host), port, type=socket.SOCK_STREAM)
            answer.extend((family, address) for family, _, _, _, address in found)
        except (OSError, UnicodeError) as error:
            failure.append(_words(error))

    thread = threading.Thread(target=look_up, daemon=True, name=f"resolve {host}")
    thread.start()
    thread.join(max(0.0, deadline - time.monotonic()))
    if answer:
        return answer
    raise DialError("resolve", failure[0] if failure else "the name server did not answer in time")


def _encrypt(sock: socket.socket, dsn: Dsn, options: Mapping[str, str], deadline: float) -> ssl.SSLSocket:
    """TLS with the options redis-py and kombu read from the URL: `ssl_cert_reqs`, `ssl_ca_certs`, `ssl_certfile`."""
    import ssl  # 15 ms that a plain connection need not pay

    try:
        context = ssl.create_default_context(cafile=options.get("ssl_ca_certs") or None)
        requirement = options.get("ssl_cert_reqs", "required").lower().removeprefix("cert_")
        if requirement in {"none", "optional"} or options.get("ssl_check_hostname", "true").lower() == "false":
            context.check_hostname = False
        if requirement == "none":
            context.verify_mode = ssl.CERT_NONE
        if certificate := options.get("ssl_certfile"):
            context.load_cert_chain(certificate, options.get("ssl_keyfile"))
    except OSError as error:
        raise DialError("tls", f"certificate files of the URL: {_words(error)}") from error
    try:
        sock.settimeout(max(0.001, deadline - time.monotonic()))
        return context.wrap_socket(sock, server_hostname=dsn.host)
    except ssl.SSLCertVerificationError as error:
        raise DialError("tls", error.verify_message) from error
    except TimeoutError as error:
        raise DialError("tls", "no TLS answer before the deadline") from error
    except OSError as error:
        raise DialError("tls", _words(error)) from error


def _ascii(host: str) -> str | bytes:
    """As bytes where that says the same: for text, `getaddrinfo` loads the IDNA tables, 5 ms of a probe."""
    return host.encode() if host.isascii() else host


def _words(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
