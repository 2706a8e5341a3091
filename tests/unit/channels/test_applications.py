"""An ASGI application is followed to its consumers through whatever is wrapped around it."""

from __future__ import annotations

import ast
import importlib
from types import SimpleNamespace
from typing import Any

import pytest

from intelli_checks.probes.inside import applications


class Board:
    __module__ = "shop.consumers"

    def board_line(self, event): ...


class Router:
    """Of ProtocolTypeRouter and URLRouter, what is looked at."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__ |= attributes

    def __call__(self) -> None: ...


def consumer(kind: type = Board) -> Any:
    async def app(scope, receive, send): ...

    app.consumer_class = kind  # type: ignore[attr-defined] # as Channels does
    return app


def urls(path: str, callback: Any) -> Router:
    return Router(routes=[SimpleNamespace(pattern=path, callback=callback)])


def pattern(kind: str) -> Any:
    """`path` or `re_path` of django.urls, as far as a router looks at them."""
    make = type(kind, (str,), {})
    return lambda text, who: SimpleNamespace(pattern=make(text), callback=SimpleNamespace(consumer_class=who))


path, re_path = pattern("RoutePattern"), pattern("RegexPattern")


def protocols(**more: Any) -> Router:
    return Router(application_mapping={"websocket": urls("ws/board/", consumer()), **more})


def tokens(inner: Any) -> Any:
    async def middleware(scope, receive, send):
        return await inner(scope, receive, send)

    return middleware


ROUTED = protocols()


async def by_hand(scope, receive, send):
    await ROUTED(scope, receive, send)


async def opaque(scope, receive, send): ...


@pytest.mark.parametrize(
    ("application", "stack"),
    [
        (protocols(), []),
        (tokens(protocols()), ["tokens"]),
        (by_hand, ["by_hand"]),
        (Router(routes=[SimpleNamespace(path="", app=protocols()), SimpleNamespace(path="/docs", app=opaque)]), []),
        (Router(application_mapping={"websocket": tokens(urls("ws/board/", consumer()))}), ["tokens"]),
    ],
)
def test_the_consumer_is_found(application, stack):
    routes = list(applications._walk(application, "", [], 0))
    assert [(one["path"], one["middleware"], one["handlers"]) for one in routes] == [
        ("ws/board/", stack, ["board_line"])
    ]


def test_what_another_framework_mounts_has_its_path():
    mounted = Router(routes=[SimpleNamespace(path="/live", app=protocols())])
    assert [one["path"] for one in applications._walk(mounted, "", [], 0)] == ["live/ws/board/"]


@pytest.mark.parametrize(
    ("routes", "flaws"),
    [
        ([path("ws/chat/<room>/", 1), path("ws/chat/", 2), re_path(r"^ws/(?P<x>\w+)/$", 3)], [{}, {}, {}]),
        ([path(r"ws/chat/(?P<room>\w+)/$", 1), path("^ws/", 2)], [{"literal": True}, {"literal": True}]),
        ([re_path(r"ws/", 1), re_path(r"^ws/chat/(?P<room>\w+)/$", 2)], [{}, {"shadowed": "ws/"}]),
        ([re_path(r"", 1), re_path(r"ws/$", 2)], [{}, {"shadowed": ""}]),
        ([re_path(r"ws/(?P<room>\w+)", 1), re_path(r"ws/(?P<room>\w+)/$", 1)], [{}, {}]),  # the same consumer
        ([re_path(r"ws/$", 1), re_path(r"ws/chat/$", 2), re_path(r"ws/chats?/$", 3)], [{}, {}, {}]),
        ([re_path(r"ws/chat", 1), re_path(r"ws/chat?/$", 2)], [{}, {}]),
    ],
)
def test_a_route_no_path_reaches_is_told(routes, flaws):
    assert applications._flaws(routes) == flaws


def test_the_origins_a_validator_lets_in_are_told():
    validated = Router(application=urls("ws/board/", consumer()), allowed_origins=["https://shop.example"])
    (route,) = applications._walk(Router(application_mapping={"websocket": validated}), "", [], 0)
    assert route["origins"] == ["https://shop.example"]


def test_consumers_that_hold_no_socket_listen_too():
    class Thumbnails:
        __module__ = "shop.consumers"

        def thumbnails_make(self, event): ...

    worker = Router(application_mapping={"thumbnails": consumer(Thumbnails)})
    assert list(applications._listening(worker, 0)) == ["thumbnails_make"]
    assert list(applications._listening(urls("events/", consumer(Thumbnails)), 0)) == ["thumbnails_make"]


def test_code_of_the_project_s_own_is_opaque_and_django_s_handler_is_not():
    handler = type("ASGIHandler", (), {"__module__": "django.core.handlers.asgi"})()
    assert applications._opaque(opaque)
    assert not applications._opaque(handler)
    assert not applications._opaque(Router(application=handler))


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("import os\nfrom django.core.asgi import get_asgi_application\nfrom shop.routing import urls\n", 3),
        ("app = get_asgi_application()\nfrom shop.routing import urls\n", None),
        ("import django\ndjango.setup()\nfrom shop.routing import urls\n", None),
        ("import os\nos.environ.setdefault('A', 'b')\napplication = get_asgi_application()\n", None),
        ("from channels.auth import AuthMiddleware\nimport django.urls\napp = get_asgi_application()\n", None),
        ("from django.contrib.auth.models import User\napp = get_asgi_application()\n", 1),
    ],
)
def test_only_imports_before_django_is_ready_are_tried_in_a_fresh_interpreter(code, line):
    assert applications._early_import(ast.parse(code)) == line


def test_an_import_that_needs_django_s_apps_too_early_is_told_with_its_line(tmp_path, monkeypatch):
    (tmp_path / "early.py").write_text("import os\nimport needy\napplication = get_asgi_application()\n")
    (tmp_path / "needy.py").write_text("class AppRegistryNotReady(Exception): ...\nraise AppRegistryNotReady\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(applications.values, "module_file", lambda module: str(tmp_path / f"{module}.py"))
    assert applications._too_early("early") == {"file": str(tmp_path / "early.py"), "line": 2}
    (tmp_path / "needy.py").write_text("")
    assert applications._too_early("early") is None


def test_code_of_the_project_s_own_may_read_cookies_where_its_module_speaks_of_them(tmp_path, monkeypatch):
    (tmp_path / "by_header.py").write_text("class TokenAuth:\n    pass\n")
    (tmp_path / "by_cookie.py").write_text("NAME = b'cookie'\n\nclass TokenAuth:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    header, cookie = (importlib.import_module(name).TokenAuth() for name in ("by_header", "by_cookie"))
    assert applications._cookies([header], ["TokenAuth"]) is False
    assert applications._cookies([header, cookie], ["TokenAuth", "TokenAuth"]) is None
    assert applications._cookies([header], ["SessionMiddleware"]) is True
