"""Which WebSocket path to try: the one that was named, or one that a declared route takes. No I/O."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

_CONVERTED = re.compile(r"(?<!\?P)<(?:(?P<kind>\w+):)?(?P<name>\w+)>")
_ANCHOR = re.compile(r"(?<!\[)\^")
_KINDS = {
    "int": "[0-9]+",
    "uuid": "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "slug": "[-a-zA-Z0-9_]+",
    "path": ".+",
    "str": "[^/]+",
}
_SAMPLES = ("1", "probe", "00000000-0000-4000-8000-000000000000", "2000-01-01", "a", "probe-1")
_MAX_GROUPS = 4


@dataclass(frozen=True, slots=True)
class Route:
    """A path to try and the declared route that takes it."""

    path: str
    """With a leading slash, and its query."""
    pattern: str = ""
    """Empty when no declared route takes the path, or when none is known."""
    consumer: str = ""
    handlers: tuple[str, ...] = ()
    middleware: tuple[str, ...] = ()
    origin_checked: bool | None = None
    authenticated: bool | None = None
    cookies: bool | None = None
    """Whether what stands in front of the consumer reads cookies; None where it may."""
    made_up: bool = False
    """Identifiers in the path are ours: nothing may exist under them."""
    looks_up: bool = False
    """Its consumer asks for one row and raises where there is none."""
    layer: str = "default"
    """Alias of the channel layer its consumer uses."""
    origins: tuple[str, ...] = ()
    """What its origin validator lets in; empty when there is none, or it is not known."""

    @property
    def name(self) -> str:
        """The path without its query, which may carry a token."""
        return urlsplit(self.path).path


def regex(pattern: str) -> re.Pattern[str]:
    """What a route matches: `path()` syntax, regular expressions, and routers nested in either."""
    text = _ANCHOR.sub("", pattern).replace("\\Z", "$")
    if not text:  # `re_path("")`, the last resort of a router
        return re.compile("")
    whole = "(?P<" not in text or text.endswith("$")
    text = _CONVERTED.sub(lambda match: f"({_KINDS.get(match['kind'] or 'str', '[^/]+')})", text).replace("$", "")
    return re.compile(text + ("$" if whole else ""))


def find(path: str, routes: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The first declared route that takes `path`, as URLRouter would."""
    for route in routes:
        try:
            if regex(str(route["path"])).match(urlsplit(path).path.lstrip("/")):
                return route
        except re.error:
            continue
    return None


def fill(pattern: str) -> str | None:
    """A path that `pattern` takes, with made-up identifiers; None when none of our guesses fits."""
    text = _ANCHOR.sub("", pattern).replace("$", "").replace("\\Z", "")
    text = _CONVERTED.sub("\0", text)
    pieces = _without_groups(text).split("\0")
    literal = [re.sub(r"\\(.)", r"\1", piece).removesuffix("?") for piece in pieces]
    if len(pieces) > _MAX_GROUPS + 1:
        return None
    matcher = regex(pattern)
    for values in itertools.product(_SAMPLES, repeat=len(pieces) - 1):
        path = "".join(itertools.chain.from_iterable(itertools.zip_longest(literal, values, fillvalue="")))
        if matcher.match(path):
            return f"/{path}"
    return None


def _without_groups(text: str) -> str:
    """`text` with every outermost (...) as one placeholder."""
    found, depth = [], 0
    for char, before in zip(text, f" {text}", strict=False):
        if char == "(" and before != "\\":
            depth += 1
            if depth == 1:
                found.append("\0")
        elif char == ")" and before != "\\":
            depth -= 1
        elif not depth:
            found.append(char)
    return "".join(found)


def choose(given: str | None, routes: Iterable[Mapping[str, Any]]) -> tuple[Route, ...]:
    """What to try: the path that was given, or every declared route that says enough, real paths first."""
    if given:
        parts = urlsplit(given)
        path = urlunsplit(("", "", parts.path or "/", parts.query, ""))
        path = path if path.startswith("/") else f"/{path}"
        route = find(path, routes)
        return (_route(path, route, made_up=False) if route else Route(path),)
    found = []
    for route in routes:
        pattern = str(route["path"])
        if pattern and (filled := fill(pattern)):
            found.append(_route(filled, route, made_up="<" in pattern or "(" in pattern))
    return tuple(sorted(found, key=lambda route: route.made_up))


def _route(path: str, route: Mapping[str, Any], *, made_up: bool) -> Route:
    return Route(
        path,
        str(route["path"]),
        str(route.get("consumer") or ""),
        tuple(route.get("handlers") or ()),
        tuple(route.get("middleware") or ()),
        route.get("origin_checked"),
        route.get("authenticated"),
        route.get("cookies"),
        made_up,
        bool(route.get("looks_up")),
        str(route.get("layer") or "default"),
        tuple(route.get("origins") or ()),
    )
