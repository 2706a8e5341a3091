"""Where the web server is, and what it makes of handshakes from its own pages, another site, and nowhere."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from intelli_checks.model import Skip, Unavailable
from intelli_checks.probes import http, websocket
from intelli_checks.probes.survey import Survey
from intelli_checks.probes.websocket import Attempt
from intelli_checks.probes.websocket_route import Route, choose
from intelli_checks.target import Target
from intelli_checks.text import remember_secret

if TYPE_CHECKING:
    from intelli_checks.context import Context

ASK = "say where the web server is: --web http://HOST:PORT (INTELLI_OPS_WEB, or web = in intelli-ops.toml)"
_VARIABLE = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Server:
    """The web server as one HTTP request sees it."""

    base: str
    """Scheme, host and port."""
    status: int
    name: str = ""
    """Its Server header."""
    gist: str = ""


@dataclass(frozen=True, slots=True)
class Handshakes:
    """One path, tried with three origins at the same time."""

    route: Route
    own: Attempt
    """With an origin the system's own pages have."""
    foreign: Attempt
    absent: Attempt
    allowed: tuple[str, ...] = ()
    """ALLOWED_HOSTS, where the project told."""
    chosen: bool = False
    """The own origin was given by the user, not derived."""
    credentials: tuple[str, ...] = field(default=())
    """Names of the headers sent along."""


def base(target: Target) -> str:
    """Scheme, host and port of the web server; raises Skip where nobody said."""
    if target.web:
        return target.web.rstrip("/")
    if target.websocket and "://" in target.websocket:
        parts = urlsplit(target.websocket)
        return f"{parts.scheme.replace('ws', 'http', 1)}://{parts.netloc}"
    raise Skip(ASK)


def url(target: Target, path: str) -> str:
    """The WebSocket URL of `path`."""
    if target.websocket and "://" in target.websocket:
        parts = urlsplit(target.websocket)
        return f"{parts.scheme.replace('http', 'ws', 1)}://{parts.netloc}{path}"
    return base(target).replace("http", "ws", 1) + path


def headers(target: Target) -> dict[str, str]:
    """`headers` of `[flow]`: credentials, their `${VARIABLE}` filled from the environment; Skip when one is unset."""
    given = target.flow.get("headers") or {}
    if not isinstance(given, Mapping):
        return {}
    filled = {}
    for name, value in given.items():
        if missing := [variable for variable in _VARIABLE.findall(str(value)) if variable not in os.environ]:
            raise Skip(f"[flow] headers want the variable {missing[0]}, which is not set")
        filled[str(name)] = _VARIABLE.sub(lambda match: os.environ[match[1]], str(value))
        remember_secret(filled[str(name)].rpartition(" ")[2])
    return filled


def look(target: Target, timeout: float) -> Server:
    """One GET of the front page; raises Skip without an address, Unavailable when nothing answers."""
    answer = http.call("GET", f"{base(target)}/", timeout)
    return Server(base(target), answer.status, answer.server, answer.gist)


def shake(ctx: Context, timeout: float) -> Handshakes:
    """Try the path with three origins at the same time."""
    target, survey = ctx.target, declared(ctx)
    route = choose(target.websocket, survey.websocket_routes if survey else ())
    if route is None:
        raise Skip("say which WebSocket path to try: --websocket /ws/...")
    allowed = allowed_hosts(ctx)
    where, credentials = url(target, route.path), headers(target)
    origins = (own_origin(target, allowed), websocket.FOREIGN, None)
    found: dict[str | None, Attempt] = {}

    def one(origin: str | None) -> None:
        hold = websocket.HOLD if origin == origins[0] else 0.0
        found[origin] = websocket.attempt(where, origin, timeout, headers=credentials, hold=hold)

    threads = [threading.Thread(target=one, args=(origin,), daemon=True) for origin in origins]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    own, foreign, absent = (found[origin] for origin in origins)
    return Handshakes(route, own, foreign, absent, allowed, bool(target.origin), tuple(credentials))


def allowed_hosts(ctx: Context) -> tuple[str, ...]:
    """ALLOWED_HOSTS, where the project tells."""
    survey = declared(ctx)
    return tuple(str(host) for host in survey.django.get("ALLOWED_HOSTS") or ()) if survey else ()


def own_origin(target: Target, allowed: tuple[str, ...]) -> str:
    """What a browser on the system's own pages sends: as configured, else by the address, else an allowed host's."""
    if target.origin:
        return target.origin
    parts = urlsplit(base(target))
    if not allowed or any(_matches(parts.hostname or "", pattern) for pattern in allowed):
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    return f"https://{allowed[0].lstrip('.')}"


def _matches(host: str, pattern: str) -> bool:
    """Django's rule for ALLOWED_HOSTS."""
    return pattern in {"*", host} or (pattern.startswith(".") and f".{host}".endswith(pattern))


def declared(ctx: Context) -> Survey | None:
    """What the project declares, where there is one that can tell."""
    if not ctx.target.places:
        return None
    try:
        return ctx.survey
    except (Skip, Unavailable):
        return None
