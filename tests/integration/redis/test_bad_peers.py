"""What is not a Redis, or hardly: named as what it is, inside the deadline, in little memory."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from collections.abc import Iterator

import pytest
from tests.integration.redis.harness import PASSWORD, check, failing, kinds, names, with_login

from intelli_fixtures import peers
from intelli_fixtures.loopback import listening
from intelli_fixtures.proxy import proxy

IN_TIME = 3.5
MEGABYTE = 1024


def test_refused():
    with peers.closed_port() as peer:
        report = check(peer.url())
    names(report, "refused")
    assert report.seconds < 1.0


@pytest.mark.parametrize("login", ["", f":{PASSWORD}"])
@pytest.mark.parametrize(
    ("peer", "kind"),
    [(peers.resetting, "reset"), (peers.silent, "silent"), (peers.drip, "drip")],
)
def test_peers_that_give_no_answer(peer, kind, login):
    with peer() as bad:
        report = check(with_login(bad.url(), login))
    finding = names(report, kind)
    assert finding.subject.startswith("broker ")
    assert report.seconds < IN_TIME


@pytest.mark.parametrize("login", ["", f":{PASSWORD}"])
def test_a_peer_that_hangs_up(login):
    with peers.hanging_up() as bad:
        report = check(with_login(bad.url(), login))
    assert kinds(report) in ([("redis.broker", "closed")], [("redis.broker", "reset")]), "as unread input decides"


def test_packets_that_are_dropped_on_the_way():
    with peers.unaccepting() as peer:
        report = check(peer.url())
    names(report, "connect-timeout", "firewall")
    assert report.seconds < IN_TIME


@pytest.mark.parametrize("kind", [*peers.GARBAGE])
def test_other_protocols_and_rubbish(kind):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with peers.garbage(kind) as peer:
        report = check(peer.url())
        secure = check(peer.url("rediss"))
    names(
        report,
        {
            "tls": "plain-on-tls-port",
        }.get(kind, "not-redis"),
    )
    assert failing(secure) == ["redis.broker"]
    assert report.seconds < IN_TIME
    assert secure.seconds < IN_TIME
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60 * MEGABYTE


@pytest.mark.parametrize("endless", [b"x" * 65536, b"$20000000\r\n", b":1\r\n" * 10000, b"*1000000000\r\n"])
def test_a_peer_that_never_stops_talking_costs_little_memory(endless):
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        while True:
            writer.write(endless)
            await writer.drain()

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with listening(flood) as (listener, _):
        report = check(f"redis://127.0.0.1:{listener.port}/0")
    assert failing(report) == ["redis.broker"]
    assert report.seconds < IN_TIME
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 80 * MEGABYTE


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("noauth", "no-password"),
        ("wrongpass", "wrong-password"),
        ("loading", "loading"),
        ("readonly", "replica"),
        ("misconf", "misconf"),
        ("oom", "oom"),
        ("noperm", "acl"),
        ("masterdown", "master-down"),
        ("maxclients", "maxclients"),
    ],
)
def test_every_error_reply_has_a_name_of_its_own(error, kind):
    with peers.scripted(peers.ERRORS[error]) as peer:
        names(check(peer.url()), kind)


@contextlib.contextmanager
def speaks_first(words: bytes) -> Iterator[str]:
    """Says its piece and hangs up, as a protected or full Redis does, and as SSH and mail servers do."""

    async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(words)
        await writer.drain()

    with listening(speak) as (listener, _):
        yield f"redis://127.0.0.1:{listener.port}/0"


@pytest.mark.parametrize("login", ["", f":{PASSWORD}"])
@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (b"-DENIED Redis is running in protected mode because protected mode is enabled\r\n", "protected-mode"),
        (b"-ERR max number of clients reached\r\n", "maxclients"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not-redis"),
        (b"220 mail.example ESMTP Postfix\r\n", "not-redis"),
        (b"J\0\0\0\n8.0.36\0mysql_native_password", "not-redis"),
    ],
)
def test_servers_that_speak_first(words, kind, login):
    with speaks_first(words) as url:
        names(check(with_login(url, login)), kind)


def test_a_name_that_does_not_resolve(monkeypatch):
    def nowhere(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    names(check("redis://broker.invalid:6379/0"), "dns", "getent hosts broker.invalid")


def test_a_name_server_that_stalls(monkeypatch):
    import threading

    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(20) and [])
    report = check("redis://broker.invalid:6379/0")
    over.set()
    names(report, "dns-stall")
    assert report.seconds < IN_TIME


def test_a_connection_that_dies_half_way(redis):
    server = redis(save="3600 1")
    with proxy(server.port) as link:
        assert not failing(check(link.redirect(server.url())))
        link.add("limit_data", bytes=200)
        assert failing(check(link.redirect(server.url()))) == ["redis.broker"]
        link.clear()
        link.add("timeout", timeout=0)
        report = check(link.redirect(server.url()))
        names(report, "silent")
        assert report.seconds < IN_TIME
        link.clear()
        assert not failing(check(link.redirect(server.url()))), "the next run starts afresh"


def test_half_open_after_ping():
    with peers.half_open(after=1) as peer:
        report = check(peer.url())
    names(report, "silent")
    assert report.seconds < IN_TIME
