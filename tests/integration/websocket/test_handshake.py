"""One broken thing in front of or inside the ASGI application, and the check that names it."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

import pytest
from tests.integration.channels.harness import check, failing, told

from intelli_checks.context import Context
from intelli_checks.target import Target
from intelli_fixtures import peers
from intelli_fixtures.front import UPGRADES
from intelli_fixtures.processes import free_port

HANDSHAKE = "websocket.handshake"
WSGI = "from wsgiref.simple_server import make_server; from relay.wsgi import application; import sys; \
make_server('127.0.0.1', int(sys.argv[1]), application).serve_forever()"


@pytest.mark.parametrize("server", ["daphne", "uvicorn"])
def test_a_healthy_server_is_passed(served, server):
    results = served(HANDSHAKE, "websocket.origin", server=server)
    assert failing(results) == {}
    assert "open after" in told(results[HANDSHAKE])
    assert "is refused (403)" in told(results["websocket.origin"])


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("crash", "500: orders.consumers.OrderConsumer"),
        ("no_auth", "500: orders.consumers.OrderConsumer"),
        ("dies", "accepted, and closed again after"),
    ],
)
def test_a_consumer_that_fails_is_named(served, fault, message):
    # Daphne was seen to leave 2 of 14 such sockets open for ever, with no consumer behind them.
    results = served(HANDSHAKE, fault=fault, server="uvicorn" if fault == "dies" else "daphne")
    assert list(failing(results)) == [HANDSHAKE]
    assert message in told(results[HANDSHAKE])


def test_a_server_that_takes_any_origin_is_a_finding(served):
    results = served("websocket.origin", fault="any_origin")
    assert failing(results) == {}
    assert "nobody checks the Origin" in told(results["websocket.origin"])


def test_what_the_path_and_the_login_lack_is_told_apart(relay):
    web = relay.serve()
    wrong = relay.check(HANDSHAKE, web=web, websocket="/live/orders/1/live/")
    assert list(failing(wrong)) == ["websocket.path"]
    assert "write /live/orders/1/live" in told(wrong["websocket.path"])
    refused = relay.check(HANDSHAKE, web=web, websocket="/live/orders/1/live")
    assert failing(refused) == {}
    assert "it wants a login" in told(refused[HANDSHAKE])


def test_the_origin_of_the_browsers_is_refused(relay):
    results = relay.check(HANDSHAKE, web=relay.serve(), origin="https://shop.example.com")
    assert list(failing(results)) == [HANDSHAKE]
    assert "ALLOWED_HOSTS" in told(results[HANDSHAKE])


def test_a_wsgi_server_is_named_as_such(relay):
    port = free_port()
    web = relay.run("wsgi", [sys.executable, "-c", WSGI, str(port)], port)
    results = relay.check(HANDSHAKE, web=web)
    assert list(failing(results)) == [HANDSHAKE]
    assert "is a WSGI server" in told(results[HANDSHAKE])


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
def test_a_proxy_that_drops_the_upgrade_is_named_and_one_that_passes_it_on_is_not(relay):
    web = relay.serve()
    dropped = relay.check(HANDSHAKE, web=relay.nginx(web, ""))
    assert list(failing(dropped)) == [HANDSHAKE]
    assert "drops the Upgrade header" in told(dropped[HANDSHAKE])
    good = relay.check(HANDSHAKE, web=relay.nginx(web, UPGRADES))
    assert failing(good) == {}


@pytest.mark.parametrize("kind", ["silent", "hanging_up", "garbage", "drip", "closed_port"])
def test_peers_that_are_no_web_server_are_told_in_time(kind):
    made = peers.garbage("random") if kind == "garbage" else getattr(peers, kind)()
    with made as peer:
        began = time.monotonic()
        target = Target(Path(), web=peer.url("http", ""), websocket="/ws/", timeout=6.0)
        results = check(Context(target), "websocket")
    assert time.monotonic() - began < 7.0
    assert list(failing(results)) == ["websocket.server"]
    assert results[HANDSHAKE].because == "websocket.server"
