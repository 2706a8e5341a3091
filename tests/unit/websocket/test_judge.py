"""What an answer to a handshake means, from facts alone; and what is sent along."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from intelli_checks.model import Skip, Unavailable
from intelli_checks.probes import http, web_process, websocket_server
from intelli_checks.probes.survey import LayerDecl, Survey
from intelli_checks.probes.web_process import WebProcess
from intelli_checks.probes.websocket import Attempt
from intelli_checks.probes.websocket_events import Emission, Joined, layer_of
from intelli_checks.probes.websocket_route import Route
from intelli_checks.probes.websocket_server import Handshakes, Server
from intelli_checks.registry import registry
from intelli_checks.target import Place, Target

registry.load()  # a family's needs are declared by the families before it

ROUTE = Route("/ws/1/", "ws/<int:pk>/", "orders.consumers.Orders", made_up=True, looks_up=True)
BOARD = Route("/ws/board/", "ws/board/", "orders.consumers.Board")
OPEN, REFUSED = Attempt("ws://h/ws/1/", "http://h", 101, pong_ms=1.0), Attempt("ws://h/ws/1/", None, 403)
RAISED, DIED = replace(OPEN, status=500), replace(OPEN, close_code=1011, lived=0.3)


def said(route: Route, own: Attempt, *others: tuple[Route, Attempt], direct: Attempt | None = None) -> str:
    from intelli_checks.families.websocket import handshake

    shaken = Handshakes(route, own, REFUSED, REFUSED, others=others, direct=direct)
    ctx = SimpleNamespace(handshakes=shaken, target=Target(Path()))
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
    silent = Attempt("ws://h/ws/board/", "http://h", step="silent", seconds=5.0)
    assert "ERROR orders.consumers.Board neither accepted nor closed" in said(ROUTE, OPEN, (BOARD, silent))


@pytest.mark.parametrize(
    ("usage", "own", "cause"),
    [
        ({"kind": "group_add", "group": "chat:*"}, RAISED, "channels.group_names"),
        ({"kind": "group_add", "group": "chat-*"}, RAISED, None),
        ({"kind": "group_add", "group": "chat:*"}, replace(OPEN, status=404), None),
        (
            {"kind": "unawaited", "call": "self.accept"},
            Attempt("ws://h", step="silent", seconds=5.0),
            "channels.awaited",
        ),
        ({"kind": "unawaited", "call": "layer.group_send"}, RAISED, None),
        ({"kind": "sync_in_loop", "function": "connect"}, DIED, "channels.awaited"),
    ],
)
def test_what_the_code_says_already_is_not_said_again_by_the_handshake(usage, own, cause):
    from intelli_checks.families.websocket import handshake

    survey = Survey("here", extra={"usage": [usage]})
    shaken = Handshakes(BOARD, own, REFUSED, REFUSED)
    ctx = SimpleNamespace(handshakes=shaken, survey=survey, target=SimpleNamespace(places=("here",)))
    try:
        assert [one.severity.name for one in handshake(ctx)] == ["ERROR"]
        told = None
    except Unavailable as outage:
        told = outage.cause
    assert told == cause


def test_where_every_route_fails_alike_what_they_share_is_to_blame_once():
    chat = Route(
        "/ws/chat/1/", "ws/chat/<int:pk>/", "chat.consumers.Chat", made_up=True, middleware=("Tokens", "Rooms")
    )
    board = replace(BOARD, middleware=("Tokens",))
    told = said(board, RAISED, (chat, RAISED))
    assert told.startswith("ERROR 500 on every route tried (/ws/board/, /ws/chat/1/)")
    assert "raised an exception: Tokens, or no route takes the path as it arrives there" in told
    assert "; " not in told, "one cause, one line"
    for others in (
        [(chat, OPEN)],
        [(replace(chat, looks_up=True), RAISED)],
        [(replace(chat, consumer=board.consumer), RAISED)],
    ):
        assert "orders.consumers.Board" in said(board, RAISED, *others)


def test_where_a_login_is_wanted_another_route_that_opens_is_looked_at():
    refused = replace(OPEN, status=403)
    assert websocket_server.main([(ROUTE, refused), (BOARD, RAISED), (BOARD, OPEN)]) == (BOARD, OPEN)
    assert websocket_server.main([(ROUTE, refused), (BOARD, RAISED)]) == (ROUTE, refused)
    assert websocket_server.main([(BOARD, refused), (ROUTE, OPEN)]) == (BOARD, refused), "nothing explains it"
    assert websocket_server.main([(ROUTE, RAISED), (BOARD, OPEN)]) == (ROUTE, RAISED)


@pytest.mark.parametrize(
    ("status", "words"),
    [(500, "the path arrives there changed"), (404, "drops the Upgrade header"), (403, "the proxy refuses it")],
)
def test_a_proxy_is_blamed_where_the_server_behind_it_opens_the_socket(status, words):
    told = said(BOARD, replace(OPEN, status=status), direct=replace(OPEN, url="ws://h:8000/ws/board/"))
    assert told.startswith(f"ERROR /ws/board/ opens at ws://h:8000, and through the proxy it answers {status}")
    assert words in told
    assert words not in said(BOARD, replace(OPEN, status=500), direct=RAISED)
    refused = replace(OPEN, url="ws://h:8000/ws/1/", status=403)
    told = said(ROUTE, replace(OPEN, status=status), (BOARD, replace(OPEN, status=status)), direct=refused)
    assert (words in told) is (status != 403), "a login is wanted on either way"
    assert told.count("ERROR") == (status != 403), "one cause, one line"


@pytest.mark.parametrize("step", ["silent", "protocol", "closed"])
def test_a_consumer_that_never_answers_the_handshake_is_named(step):
    waited = Attempt("ws://h/ws/board/", "http://h", step=step, seconds=5.0)
    assert "orders.consumers.Board neither accepted nor closed the handshake within 5 s" in said(BOARD, waited)
    assert "neither" not in said(BOARD, replace(waited, seconds=0.1))
    assert "neither" not in said(Route("/ws/"), waited)


def test_of_several_layers_the_consumer_s_own_is_looked_at():
    chat, default = LayerDecl("chat", "core"), LayerDecl("default", "core")
    assert layer_of("default", (chat, default)) is default
    assert layer_of("gone", (chat, default)) is chat
    assert layer_of("default", ()) is None


@pytest.mark.parametrize(
    ("allowed", "origin"),
    [
        ((), "http://127.0.0.1:8000"),
        (("127.0.0.1",), "http://127.0.0.1:8000"),
        (("*",), "http://127.0.0.1:8000"),
        ((".shop.example",), "https://shop.example"),
        (("https://app.shop.example",), "https://app.shop.example"),
        (("http://.shop.example:3000",), "http://shop.example:3000"),
    ],
)
def test_the_origin_sent_is_one_that_pages_of_the_system_have(allowed, origin):
    assert websocket_server.own_origin(Target(Path(), web="http://127.0.0.1:8000"), allowed) == origin


@pytest.mark.parametrize(
    ("other", "same"),
    [("http://localhost:8000", True), ("http://127.0.0.1:8001", False), ("http://shop.example:8000", False)],
)
def test_one_port_of_this_machine_is_asked_once(other, same):
    assert websocket_server.same("http://127.0.0.1:8000", other) is same


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


@pytest.mark.parametrize(
    ("django", "advice"), [({}, "this is no Django project"), ({"ROOT_URLCONF": "shop.urls"}, "--web http://")]
)
def test_a_web_server_is_asked_for_where_there_can_be_one(tmp_path, django, advice):
    """Who has a handful of Celery tasks alone is not told to name one."""
    target = Target(tmp_path, places=(Place("here", ("python",)),))
    ctx: Any = SimpleNamespace(target=target, survey=Survey("here", django=django))
    for ask in (websocket_server.look, websocket_server.shake):
        with pytest.raises(Skip, match=advice):
            ask(ctx, 1.0)


@pytest.mark.parametrize(("error", "cause"), [({"step": "asgi"}, "channels.asgi"), (None, None)])
def test_nobody_listens_where_the_application_does_not_load(monkeypatch, error, cause):
    def call(*_, **__):
        raise http.Unavailable("nobody listens", hint="start it", kind="refused")

    monkeypatch.setattr(http, "call", call)
    survey = Survey("here", errors=(error,) if error else ())
    target = Target(Path(), web="http://127.0.0.1:1", places=(Place("here", ("python",)),))
    with pytest.raises(Unavailable) as raised:
        websocket_server.look(SimpleNamespace(target=target, survey=survey), 1.0)  # type: ignore[arg-type]
    assert raised.value.cause == cause


def answered(status: int, gist: str = "", allowed: tuple[str, ...] = (), location: str = "", **more: Any) -> str:
    from intelli_checks.families.websocket_server import server

    survey = Survey("here", django={"ALLOWED_HOSTS": list(allowed)})
    found = Server(more.pop("base", "https://shop.example"), status, "nginx", gist, location, **more)
    target = SimpleNamespace(places=("here",))
    (told,) = server(SimpleNamespace(web_server=found, survey=survey, target=target, web_processes=()))
    return f"{told.severity.name} {told.message} | {told.hint}"


def inside(status: int, base: str = "http://127.0.0.1:8000") -> str:
    """Asked by an address that Django does not take, and then by the name visitors use."""
    return answered(400, allowed=("shop.example",), base=base, visited=("shop.example", status))


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (answered(404), "INFO nginx answers 404"),
        (answered(301, location="https://shop.example/login/"), "INFO"),
        (answered(301, location=f"https://shop.example{websocket_server.NO_PAGE}"), "SECURE_PROXY_SSL_HEADER"),
        (answered(400, allowed=("other.example",)), "WARNING nginx answers 400: shop.example is not in ALLOWED_HOSTS"),
        (answered(400, allowed=(".example",)), "proxy_set_header Host"),
        (answered(400, "Bad Request (400)", allowed=(".example",)), "ERROR nginx answers 400: DisallowedHost"),
        (answered(400), "INFO nginx answers 400"),
        (inside(404), "INFO nginx answers 400 to 127.0.0.1, as ALLOWED_HOSTS has it, and 404 to shop.example"),
        (inside(404, base="http://web:8000"), "INFO"),
        (inside(404, base="http://shop.internal"), "WARNING nginx answers 400: shop.internal is not in ALLOWED_HOSTS"),
        (inside(400), "ERROR nginx answers 400 to 127.0.0.1 and to shop.example alike, so a proxy passes another Host"),
    ],
)
def test_what_the_web_server_answers_is_told_with_what_it_means(told, words):
    assert words in told


HERE, THERE = Joined("asgi", 2, "board", "specific.a!1"), Joined("asgi", 9, "board", "specific.b!1")


@pytest.mark.parametrize(
    ("joined", "words"),
    [((HERE,), ""), ((), "joins no group in the layer's Redis"), ((THERE,), "joins board elsewhere")],
)
def test_each_web_server_of_the_project_must_join_where_events_are_sent(joined, words):
    from intelli_checks.families.websocket_events import group

    found = Emission(2, "asgi", joined=(HERE,), replicas={"http://127.0.0.1:8001": joined})
    failed = [one.message for one in group(SimpleNamespace(emission=found)) if one.severity.name == "ERROR"]
    assert [words in message for message in failed] == ([True] if words else [])


def test_a_token_lets_nobody_in_with_a_visitor_s_cookies():
    from intelli_checks.families.websocket import origin

    def told(*, cookies: bool | None) -> str:
        route = replace(BOARD, cookies=cookies, authenticated=True, origin_checked=False)
        (found,) = origin(SimpleNamespace(handshakes=Handshakes(route, OPEN, OPEN, OPEN)))
        return found.severity.name

    severities = [told(cookies=known) for known in (False, None, True)]
    assert severities == ["INFO", "WARNING", "ERROR"]


def test_a_silent_server_is_told_before_a_large_project_has_told_what_it_declares(monkeypatch):
    def silent(method: str, url: str, timeout: float, **_: object) -> http.Answer:
        raise Unavailable(f"no complete answer within {timeout:.1f} s", hint="restart it", kind="silent")

    class Importing:
        web_processes = ()
        target = Target(Path(), places=(Place("here", ("python",), Path()),), web="http://127.0.0.1:1")

        @property
        def survey(self) -> Survey:
            raise AssertionError("nobody waits for it")

    monkeypatch.setattr(http, "call", silent)
    with pytest.raises(Unavailable, match="no complete answer"):
        websocket_server.look(Importing(), 8.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("processes", "told", "typed"),
    [
        ((), [], ""),
        ((WebProcess(7, "sleeping"), WebProcess(8, "running")), [], ""),
        ((WebProcess(7, "stopped"), WebProcess(8, "sleeping")), ["ERROR web process 7 is stopped"], "kill -CONT 7 "),
        ((WebProcess(7, "stopped"), WebProcess(8, "stopped")), ["ERROR 2 web processes are"], "kill -CONT 7 8 "),
        ((WebProcess(7, "stopped", development=True),), ["WARNING web process 7 is stopped"], "kill -CONT 7 "),
        ((WebProcess(7, "sleeping", closes_after=86400),), [], ""),
        (
            (WebProcess(7, "sleeping", closes_after=15), WebProcess(8, "sleeping", closes_after=86400)),
            ["WARNING daphne (pid 7) closes every WebSocket after 15 s"],
            "start it without --websocket_timeout",
        ),
    ],
    ids=["not here", "well", "one", "two", "runserver put aside", "a day", "seconds"],
)
def test_web_processes_that_stand_still_beside_one_that_answers(processes, told, typed):
    from intelli_checks.families.websocket_server import server

    ctx = SimpleNamespace(web_server=Server("http://h:1", 404, ""), target=Target(Path()), web_processes=processes)
    bad = [found for found in server(ctx) if found.severity.name != "INFO"]
    assert [
        f"{one.severity.name} {one.message.removeprefix('a web server answers, and ')}"[: len(want)]
        for one, want in zip(bad, told, strict=True)
    ] == told
    assert all(one.hint.startswith(typed) for one in bad)


def test_every_web_process_that_stands_still_is_named_where_none_answers():
    stopped = tuple(WebProcess(pid, "stopped") for pid in (7, 8))
    ctx = SimpleNamespace(web_processes=stopped, target=Target(Path()))
    silent = Unavailable("no complete answer within 5 s", hint="look", kind="silent")
    told = websocket_server._explained(ctx, silent, "http://127.0.0.1:1")
    assert str(told).endswith("2 web processes are stopped (SIGSTOP, debugger): 7, 8")
    assert told.hint.startswith("kill -CONT 7 8 ")


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("daphne -b 0.0.0.0 config.asgi:application", None),
        ("daphne --websocket_timeout 15 config.asgi:application", 15),
        ("daphne --websocket_timeout=15 config.asgi:application", 15),
        ("daphne --websocket_timeout -1 config.asgi:application", None),
    ],
)
def test_how_long_daphne_leaves_sockets_open(words, seconds):
    assert web_process.closes_after(words.split()) == seconds


def test_a_server_that_came_back_on_another_port_is_found_there(monkeypatch, tmp_path):
    class Daphne:
        def __init__(self, port):
            at = SimpleNamespace(ip="127.0.0.1", port=port)
            self.listening = SimpleNamespace(status="LISTEN", laddr=at)

        def cwd(self):
            return str(tmp_path)

        def net_connections(self, kind):
            return [self.listening]

    running = []
    monkeypatch.setattr(web_process, "commands", lambda: [(server, ["daphne", "shop.asgi"]) for server in running])
    target = Target(tmp_path, (Place("here", ("python",)),))
    for port in (8001, 8002):
        running[:] = [Daphne(port)]
        assert web_process.address(target) == f"http://127.0.0.1:{port}"
