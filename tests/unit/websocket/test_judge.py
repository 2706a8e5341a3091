"""What an answer to a handshake means, from facts alone; and what is sent along."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from intelli_checks.probes import websocket_server
from intelli_checks.probes.websocket import Attempt
from intelli_checks.probes.websocket_route import Route
from intelli_checks.probes.websocket_server import Handshakes
from intelli_checks.registry import registry
from intelli_checks.target import Target

registry.load()  # a family's needs are declared by the families before it

ROUTE = Route("/ws/1/", "ws/<int:pk>/", "orders.consumers.Orders", made_up=True, looks_up=True)
BOARD = Route("/ws/board/", "ws/board/", "orders.consumers.Board")
OPEN, REFUSED = Attempt("ws://h/ws/1/", "http://h", 101, pong_ms=1.0), Attempt("ws://h/ws/1/", None, 403)
RAISED, DIED = replace(OPEN, status=500), replace(OPEN, close_code=1011, lived=0.3)


def said(route: Route, own: Attempt, *others: tuple[Route, Attempt]) -> str:
    from intelli_checks.families.websocket import handshake

    ctx = SimpleNamespace(handshakes=Handshakes(route, own, REFUSED, REFUSED, others=others))
    return "; ".join(f"{found.severity.name} {found.message}" for found in handshake(ctx))


@pytest.mark.parametrize("own", [RAISED, DIED], ids=["500", "1011"])
def test_an_exception_under_a_made_up_id_is_no_failure_where_the_consumer_asks_for_a_row(own):
    assert said(ROUTE, own).startswith("WARNING")
    assert "made-up id" in said(ROUTE, own)
    assert said(replace(ROUTE, looks_up=False), own).startswith("ERROR")
    assert said(replace(ROUTE, made_up=False), own).startswith("ERROR")


def test_of_further_routes_only_what_breaks_is_told():
    assert said(BOARD, OPEN, (ROUTE, replace(OPEN, status=403))) == "INFO open after 0 ms"
    assert "ERROR 500: orders.consumers.Board" in said(ROUTE, OPEN, (BOARD, RAISED))
    assert "ERROR accepted, and closed again" in said(ROUTE, OPEN, (BOARD, DIED))


@pytest.mark.parametrize(
    "given", [{"web": "https://ada:s%C3%A9same@shop"}, {"websocket": "wss://ada:s%C3%A9same@shop/ws/"}]
)
def test_a_login_in_the_address_is_sent_as_browsers_do_and_not_shown(given):
    target = Target(Path(), **given)
    assert websocket_server.base(target) == "https://shop"
    assert websocket_server.url(target, "/ws/") == "wss://shop/ws/"
    assert websocket_server.headers(target) == {"Authorization": "Basic YWRhOnPDqXNhbWU="}


def test_without_a_login_nothing_is_sent():
    assert websocket_server.headers(Target(Path(), web="http://shop:8000/")) == {}
    assert websocket_server.base(Target(Path(), web="http://shop:8000/base/")) == "http://shop:8000/base"
