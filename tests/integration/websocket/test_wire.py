"""TLS, silence, subprotocols, logins and close codes, seen by the checks on real servers and a real nginx."""

from __future__ import annotations

import shutil

import pytest
from tests.integration.channels.harness import check, failing, told
from tests.integration.websocket.conftest import PATH

from intelli_checks.context import Context
from intelli_checks.target import Target
from intelli_fixtures.front import UPGRADES

SERVER, HANDSHAKE, IDLE = "websocket.server", "websocket.handshake", "websocket.idle"
needs_nginx = pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")


@pytest.fixture
def trusting(monkeypatch, intelli_certificates):
    """This machine trusts the throw-away authority, as it would trust a company's own."""
    monkeypatch.setenv("SSL_CERT_FILE", str(intelli_certificates.authority))
    return intelli_certificates


def test_a_server_with_tls_of_its_own_is_passed_where_its_authority_is_trusted(relay, trusting):
    results = relay.check(HANDSHAKE, "websocket.origin", web=relay.secure(trusting))
    assert failing(results) == {}
    assert "open after" in told(results[HANDSHAKE])


@needs_nginx
def test_a_proxy_that_ends_tls_is_passed_where_its_authority_is_trusted(relay, trusting):
    results = relay.check(HANDSHAKE, web=relay.nginx(relay.serve(), UPGRADES, trusting))
    assert failing(results) == {}
    assert "open after" in told(results[HANDSHAKE])


def test_what_is_wrong_with_tls_is_told_apart(relay, intelli_certificates, monkeypatch):
    secure = relay.secure(intelli_certificates)
    untrusted = relay.check(HANDSHAKE, web=secure)
    assert list(failing(untrusted)) == [SERVER]
    assert "the certificate is not trusted" in told(untrusted[SERVER])
    monkeypatch.setenv("SSL_CERT_FILE", str(intelli_certificates.authority))
    elsewhere = relay.check(HANDSHAKE, web=secure.replace("127.0.0.1", "127.1"))
    assert list(failing(elsewhere)) == [SERVER]
    assert "for another name" in told(elsewhere[SERVER])
    plain = relay.check(HANDSHAKE, web=secure.replace("https", "http"))
    assert list(failing(plain)) == [SERVER]
    assert "speaks TLS" in told(plain[SERVER])


@needs_nginx
def test_a_proxy_that_wants_tls_says_so_itself(relay, intelli_certificates):
    secure = relay.nginx(relay.serve(), UPGRADES, intelli_certificates)
    results = relay.check(HANDSHAKE, web=secure.replace("https", "http"))
    assert list(failing(results)) == [SERVER]
    assert "speaks TLS" in told(results[SERVER])


def test_tls_asked_of_a_plain_port_is_told(relay):
    web = relay.serve()
    results = relay.check(HANDSHAKE, web=web.replace("http", "https"))
    assert list(failing(results)) == [SERVER]
    assert "does not speak TLS" in told(results[SERVER])
    bare = Target(relay.folder, websocket=web.replace("http", "wss") + PATH, timeout=6.0)
    results = check(Context(bare), "websocket")
    assert "does not speak TLS" in told(results[SERVER])


@needs_nginx
def test_a_proxy_that_cuts_silent_sockets_is_told_from_one_that_does_not(relay):
    web = relay.serve()
    short = relay.check(IDLE, web=relay.nginx(web, f"{UPGRADES} proxy_read_timeout 4s;"))
    assert list(failing(short)) == [IDLE]
    assert "without a close frame" in told(short[IDLE])
    good = relay.check(IDLE, web=relay.nginx(web, UPGRADES))
    assert failing(good) == {}
    assert "without a word" in told(good[IDLE])


def test_a_layer_that_stops_reading_after_five_seconds_is_told_by_a_silent_socket(relay):
    """The settings are right again and the server was not restarted: only the socket can tell."""
    web = relay.serve(hosts=[relay.redis.url(1)])
    results = relay.check(IDLE, web=web)
    assert list(failing(results)) == [IDLE]
    assert "1011 (the server had an exception)" in told(results[IDLE])


@pytest.mark.parametrize("header", ["Authorization: Bearer ${ORDERS_TOKEN}", "Cookie: token=${ORDERS_TOKEN}"])
def test_a_login_is_sent_as_header_or_cookie_and_never_shown(relay, monkeypatch, header):
    monkeypatch.setenv("ORDERS_TOKEN", "sesame")
    name, _, value = header.partition(": ")
    results = relay.check(HANDSHAKE, web=relay.serve(), websocket=PATH, flow={"headers": {name: value}})
    assert failing(results) == {}
    assert "open after" in told(results[HANDSHAKE])
    assert "sesame" not in told(results[HANDSHAKE])


def test_a_subprotocol_is_offered_as_configured(relay):
    web = relay.serve(fault="choosy")
    offered = {"headers": {"Sec-WebSocket-Protocol": "orders.v2, orders.v1"}}
    results = relay.check(HANDSHAKE, web=web, flow=offered)
    assert failing(results) == {}
    assert "orders.v2" in told(results[HANDSHAKE])
    assert "open after" not in told(relay.check(HANDSHAKE, web=web)[HANDSHAKE])


def test_a_subprotocol_no_client_offered_is_a_fault_that_browsers_refuse(served):
    results = served(HANDSHAKE, fault="imposing", server="uvicorn")
    assert list(failing(results)) == [HANDSHAKE]
    assert "a subprotocol that was not offered" in told(results[HANDSHAKE])


def test_a_close_code_of_the_applications_own_is_told_with_its_reason(served):
    results = served(HANDSHAKE, fault="goodbye", server="uvicorn")
    assert failing(results) == {}
    assert "4409 (a code of the application's own): one window is enough" in told(results[HANDSHAKE])
