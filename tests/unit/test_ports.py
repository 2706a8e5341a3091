"""A port to serve on is free, and no outgoing connection is ever given it."""

import socket
import sys
from pathlib import Path

import pytest

from intelli_ops import ports

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_a_free_port_can_be_bound():
    with socket.create_server(("127.0.0.1", ports.free_port())) as server:
        assert server.getsockname()[0] == "127.0.0.1"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the range of outgoing connections in a file")
def test_no_outgoing_connection_can_take_it():
    first = int(RANGE.read_text().split()[0])
    assert all(ports.free_port() < first for _ in range(50))


def test_a_taken_port_is_not_handed_out(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        free = ports.free_port()
        monkeypatch.setattr(ports.random, "sample", lambda *_: [taken, free])
        assert ports.free_port() == free
        monkeypatch.setattr(ports.random, "sample", lambda *_: [taken])
        with pytest.raises(OSError, match="in use"):
            ports.free_port()
