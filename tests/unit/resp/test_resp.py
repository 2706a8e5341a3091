"""The protocol reader: any bytes end in a reply or in a DialError, in order, in bounded memory."""

from __future__ import annotations

import contextlib
import socket
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intelli_checks.dsn import Dsn
from intelli_checks.probes.resp import END, MAX_REPLY, Connection, Cut, DialError, ReplyError


def read(data: bytes, seconds: float = 5.0) -> object:
    """What a connection reads when the peer sends `data` and hangs up."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(data)
        theirs.shutdown(socket.SHUT_WR)
        return Connection(ours, time.monotonic() + seconds).read()


@pytest.mark.parametrize(
    ("data", "reply"),
    [
        (b"+PONG\r\n", b"PONG"),
        (b":-7\r\n", -7),
        (b"$5\r\na\r\nbc\r\n", b"a\r\nbc"),
        (b"$0\r\n\r\n", b""),
        (b"$-1\r\n", None),
        (b"*-1\r\n", None),
        (b"*2\r\n:1\r\n*1\r\n$1\r\nx\r\n", [1, [b"x"]]),
    ],
)
def test_replies(data, reply):
    assert read(data) == reply


def test_error_replies_are_values_with_a_code():
    error = read(b"-NOAUTH Authentication required.\r\n")
    assert isinstance(error, ReplyError)
    assert error.code == "NOAUTH"


@pytest.mark.parametrize(
    ("data", "step"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "protocol"),
        (b"\x15\x03\x03\x00\x02\x02\x46", "protocol"),
        (b"*1\r\n" * 5000, "protocol"),
        (b"$2147483647\r\n", "protocol"),
        (b":five\r\n", "protocol"),
        (b"+" + b"x" * 100_000, "protocol"),
        (b"+half", "closed"),
        (b"", "closed"),
    ],
)
def test_what_is_not_a_reply(data, step):
    with pytest.raises(DialError) as error:
        read(data)
    assert error.value.step == step


@given(st.binary(max_size=400))
@settings(max_examples=200, deadline=None)
def test_any_bytes_end_in_a_reply_or_a_dial_error(data):
    with contextlib.suppress(DialError):
        read(data)


def test_a_reply_larger_than_allowed_is_refused_while_it_comes():
    import threading

    ours, theirs = socket.socketpair()

    def flood() -> None:
        try:
            theirs.sendall(b"*2147483647\r\n")
            while True:
                theirs.sendall(b"$60000\r\n" + b"x" * 60000 + b"\r\n")
        except OSError:
            return

    threading.Thread(target=flood, daemon=True).start()
    with ours, theirs, pytest.raises(DialError, match=str(MAX_REPLY)):
        Connection(ours, time.monotonic() + 20).read()


def test_a_value_beyond_what_is_kept_is_read_past_and_its_end_comes_back():
    import threading

    ours, theirs = socket.socketpair()
    size = MAX_REPLY + 10

    def answer() -> None:
        theirs.sendall(b"*2\r\n$%d\r\n" % size + b"x" * (size - 3) + b"end\r\n$2\r\nok\r\n:7\r\n")

    threading.Thread(target=answer, daemon=True).start()
    with ours, theirs:
        connection = Connection(ours, time.monotonic() + 20)
        large, small = connection.read(keep=1000)
        assert isinstance(large, Cut)
        assert (large.size, len(large), large[-3:]) == (size, END, b"end")
        assert (small, connection.read()) == (b"ok", 7)


def test_nobody_is_believed_a_value_larger_than_redis_allows():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"$2147483647\r\n")
        with pytest.raises(DialError, match="2147483647 bytes was announced"):
            Connection(ours, time.monotonic() + 5).read(keep=1000)


def test_the_deadline_is_a_total():
    ours, theirs = socket.socketpair()
    began = time.monotonic()
    with ours, theirs:
        theirs.sendall(b"+")
        with pytest.raises(DialError, match="only 1 bytes"):
            Connection(ours, began + 0.2).read()
    assert time.monotonic() - began < 1.0


def test_a_unix_socket_on_windows_is_an_outage_and_no_traceback(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(DialError, match="no Unix sockets on Windows"):
        Connection.open(Dsn(f"redis+socket://{tmp_path}/redis.sock"), 1.0)
