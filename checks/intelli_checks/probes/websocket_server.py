"""Where the web server is, and what it makes of handshakes from its own pages, another site, and nowhere."""

from __future__ import annotations

import base64
import os
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit

from intelli_checks.dsn import LOOPBACK
from intelli_checks.model import Skip, Unavailable
from intelli_checks.probes import host, http, web_process, websocket
from intelli_checks.probes.survey import Survey
from intelli_checks.probes.websocket import Attempt
from intelli_checks.probes.websocket_route import Route, choose
from intelli_checks.target import Target
from intelli_checks.text import remember_secret, safe

if TYPE_CHECKING:
    from intelli_checks.context import Context

ASK = "say where the web server is: --web http://HOST:PORT (INTELLI_OPS_WEB, or web = in intelli-ops.toml)"
MAX_ROUTES = 5
MAX_REPLICAS = 3
_VARIABLE = re.compile(r"\$\{(\w+)\}")
NO_PAGE = "/.well-known/intelli-ops"
"""Asked of a web server to see it answer: a view of the project, which might do something, is not run."""


@dataclass(frozen=True, slots=True)
class Server:
    """The web server as one HTTP request sees it."""

    base: str
    """Scheme, host and port."""
    status: int
    name: str = ""
    """Its Server header."""
    gist: str = ""
    location: str = ""
    """Where it leads, as an absolute URL."""
    said: bool = True
    """Somebody named the address; False when it was found running."""
    visited: tuple[str, int] | None = None
    """A name of ALLOWED_HOSTS and what it answers to that one, where it does not take the address's own (400)."""


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
    others: tuple[tuple[Route, Attempt], ...] = ()
    """Further routes, tried with the own origin where nobody named a path."""
    direct: Attempt | None = None
    """The same handshake past the proxy, at a server that runs in the project's folder, where the address failed."""

    @property
    def lost_between(self) -> bool:
        """The server opens the socket, or refuses it as its application does, and the address does neither."""
        if self.direct is None:
            return False
        return self.direct.accepted or (self.direct.status == 403 and self.own.status not in {401, 403, 407})


def base(target: Target) -> str:
    """Scheme, host and port of the web server; raises Skip where nobody said."""
    if target.web:
        parts = urlsplit(target.web)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
    if target.websocket and "://" in target.websocket:
        parts = urlsplit(target.websocket)
        return f"{parts.scheme.replace('ws', 'http', 1)}://{parts.netloc.rpartition('@')[2]}"
    if running := web_process.address(target):
        return running
    raise Skip(ASK)


def address(ctx: Context) -> str:
    """`base`; where a project serves no pages by Django, and nobody named a server, there is nothing to ask for."""
    try:
        return base(ctx.target)
    except Skip:
        survey = declared(ctx)
        if survey is not None and not survey.django:
            raise Skip("no web server was named, and this is no Django project") from None
        raise


def login(target: Target) -> dict[str, str]:
    """`user:password@` of the address as the header a browser makes of it (RFC 7617)."""
    for address in (target.web, target.websocket):
        user, found, _ = urlsplit(address or "").netloc.rpartition("@")
        if found:
            name, _, password = user.partition(":")
            remember_secret(unquote(password))
            pair = base64.b64encode(f"{unquote(name)}:{unquote(password)}".encode()).decode()
            remember_secret(pair)
            return {"Authorization": f"Basic {pair}"}
    return {}


def url(target: Target, path: str) -> str:
    """The WebSocket URL of `path`."""
    path = f"/{path.lstrip('/')}"
    if target.websocket and "://" in target.websocket:
        parts = urlsplit(target.websocket)
        return f"{parts.scheme.replace('http', 'ws', 1)}://{parts.netloc.rpartition('@')[2]}{path}"
    return base(target).replace("http", "ws", 1) + path


def headers(target: Target) -> dict[str, str]:
    """`headers` of `[flow]`: credentials, their `${VARIABLE}` filled from the environment; Skip when one is unset."""
    given = target.flow.get("headers") or {}
    filled = login(target)
    if not isinstance(given, Mapping):
        return filled
    for name, value in given.items():
        filled[str(name)] = expanded(str(value), f"headers.{safe(name)}")
        remember_secret(filled[str(name)].rpartition(" ")[2])
    return filled


def expanded(text: str, where: str) -> str:
    """`text` of `[flow]` with each `${VARIABLE}`, which holds what lets us in; raises Skip when one is not set."""
    for variable in _VARIABLE.findall(text):
        if variable not in os.environ:
            raise Skip(f"[flow] {where} wants the variable {variable}, which is not set")
        remember_secret(os.environ[variable])
    return _VARIABLE.sub(lambda match: os.environ[match[1]], text)


def look(ctx: Context, timeout: float) -> Server:
    """One GET of a page that is not there; raises Skip without an address, Unavailable when nothing answers."""
    target, where = ctx.target, address(ctx)
    try:
        answer = http.call("GET", where + NO_PAGE, timeout * 0.65, headers=login(target))
    except Unavailable as outage:
        if outage.facts.get("kind") in {"silent", "broken"}:
            _try_other_scheme(where, timeout * 0.25)  # the rest is for the processes behind the port
        raise _explained(ctx, outage, where) from None
    said = bool(target.web or "://" in (target.websocket or ""))
    location = answer.headers.get("location")
    leads = safe(urljoin(where + NO_PAGE, location)) if location else ""
    visited = _as_visitors_ask(ctx, where, timeout - answer.seconds) if said and answer.status == 400 else None
    return Server(where, answer.status, answer.server, answer.gist, leads, said, visited)


def _as_visitors_ask(ctx: Context, where: str, timeout: float) -> tuple[str, int] | None:
    """The same page under a name the project takes: who looks from inside seldom uses the name visitors use."""
    allowed, host = allowed_hosts(ctx), urlsplit(where).hostname or ""
    names = [one.lstrip(".") for one in allowed if "*" not in one and one.lstrip(".") not in LOOPBACK]
    if not names or any(matches(host, pattern) for pattern in allowed):
        return None
    try:
        return names[0], http.call(
            "GET", where + NO_PAGE, timeout, headers={**login(ctx.target), "Host": names[0]}
        ).status
    except Unavailable:
        return None


def _never_started(ctx: Context) -> bool:
    """Whether a server ends at once because its application does not load."""
    survey = declared(ctx)
    return survey is not None and bool(survey.error("asgi") or survey.extra.get("asgi_early"))


def _explained(ctx: Context, outage: Unavailable, where: str) -> Unavailable:
    """The outage of the server at `where`, not of one page, with the process that keeps silent."""
    parts, kind, message, hint = urlsplit(where), outage.facts["kind"], str(outage), outage.hint
    here = kind == "silent" and parts.hostname in LOOPBACK
    owner = host.owner(parts.port or (443 if parts.scheme == "https" else 80)) if here else None
    pids = {process.pid for process in ctx.web_processes if process.stopped} if here else set()
    pids |= {owner.pid} if owner and owner.stopped else set()
    if pids:
        message = f"{message}: {frozen(sorted(pids))}"
        hint = f"kill -CONT {' '.join(map(str, sorted(pids)))}   # or restart them"
    elif owner:
        message = f"{message}: {owner}"
    cause = "channels.asgi" if kind == "refused" and _never_started(ctx) else None
    return Unavailable(message, hint=hint, subject=safe(where), cause=cause, kind=kind)


def frozen(pids: Sequence[int]) -> str:
    """Which processes of the web server stand still."""
    if len(pids) == 1:
        return f"web process {pids[0]} is stopped (SIGSTOP, debugger)"
    return f"{len(pids)} web processes are stopped (SIGSTOP, debugger): {', '.join(map(str, pids))}"


def _try_other_scheme(where: str, timeout: float) -> None:
    """Raises Unavailable when the port speaks TLS and was not asked to, or the other way round."""
    scheme, _, rest = where.partition("://")
    right = "http" if scheme == "https" else "https"
    try:
        http.call("GET", f"{right}://{rest}{NO_PAGE}", timeout)
    except Unavailable as outage:
        if right == "http" or outage.facts.get("kind") != "tls" or http.PLAIN in str(outage):
            return
    told = http.PLAIN if right == "http" else "this port speaks TLS"
    raise Unavailable(told, hint=f"--web {right}://{rest}", subject=safe(where), kind="tls")


def shake(ctx: Context, timeout: float) -> Handshakes:
    """Try the path with three origins at the same time; where nobody named one and it wants a login, one that opens."""
    address(ctx)
    target, survey = ctx.target, declared(ctx)
    routes = choose(target.websocket, survey.websocket_routes if survey else ())
    if not routes:
        raise Skip("say which WebSocket path to try: --websocket /ws/...")
    allowed, credentials = allowed_hosts(ctx), headers(target)
    origin = own_origin(target, routes[0].origins or allowed)
    asked = [*_strangers(routes[0]), *((route, origin) for route in routes[:MAX_ROUTES])]
    foreign, absent, *answers = _attempts(target, asked, timeout, credentials)
    tried = list(zip(routes[:MAX_ROUTES], answers, strict=True))
    route, own = first = main(tried)
    if route is not routes[0]:
        foreign, absent = _attempts(target, _strangers(route), timeout / 2, credentials)
    others = tuple(pair for pair in tried if pair is not first)
    direct = None if own.accepted else _past_the_proxy(target, route, origin, timeout / 2, credentials)
    return Handshakes(route, own, foreign, absent, allowed, bool(target.origin), tuple(credentials), others, direct)


def main(tried: Sequence[tuple[Route, Attempt]]) -> tuple[Route, Attempt]:
    """The first, or where that was refused for want of a login or of an id that exists, the first that opened."""
    route, own = tried[0]
    if own.status in {401, 403} and (route.made_up or route.authenticated):
        return next((pair for pair in tried if pair[1].accepted), tried[0])
    return tried[0]


def _strangers(route: Route) -> list[tuple[Route, str | None]]:
    return [(route, websocket.FOREIGN), (route, None)]


def _attempts(
    target: Target, asked: Sequence[tuple[Route, str | None]], timeout: float, credentials: Mapping[str, str]
) -> list[Attempt]:
    """All handshakes at the same time; those with an origin of the system's own are watched for a while."""
    found: dict[int, Attempt] = {}

    def one(number: int, route: Route, origin: str | None) -> None:
        hold = 0.0 if origin in {websocket.FOREIGN, None} else websocket.HOLD
        where = url(target, route.path)
        found[number] = websocket.attempt(where, origin, timeout, headers=credentials, hold=hold)

    threads = [threading.Thread(target=one, args=(number, *what), daemon=True) for number, what in enumerate(asked)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[number] for number in range(len(asked))]


def _past_the_proxy(
    target: Target, route: Route, origin: str, timeout: float, credentials: Mapping[str, str]
) -> Attempt | None:
    """The handshake at the project's own server on this machine; None without one, or when that was asked already."""
    running = web_process.address(target)
    if running is None or same(running, base(target)):
        return None
    return websocket.attempt(running.replace("http", "ws", 1) + route.path, origin, timeout, headers=credentials)


def replicas(target: Target) -> list[str]:
    """Other web servers of the project on this machine, as a proxy shares sockets out among them."""
    return [one for one in web_process.addresses(target) if not same(one, base(target))][:MAX_REPLICAS]


def same(one: str, other: str) -> bool:
    """Whether both addresses are one port of this machine."""
    hosts = {urlsplit(address).hostname or "" for address in (one, other)}
    return urlsplit(one).port == urlsplit(other).port and (hosts <= LOOPBACK or len(hosts) == 1)


def allowed_hosts(ctx: Context) -> tuple[str, ...]:
    """ALLOWED_HOSTS, where the project tells."""
    survey = declared(ctx)
    return tuple(str(host) for host in survey.django.get("ALLOWED_HOSTS") or ()) if survey else ()


def origin_for(ctx: Context, path: str) -> str:
    """What a browser on the system's own pages sends along to open `path`."""
    survey = declared(ctx)
    (route,) = choose(path, survey.websocket_routes if survey else ())
    return own_origin(ctx.target, route.origins or allowed_hosts(ctx))


def own_origin(target: Target, allowed: tuple[str, ...]) -> str:
    """What a browser on the system's own pages sends: as configured, else by the address, else an allowed one."""
    if target.origin:
        return target.origin
    parts = urlsplit(base(target))
    if not allowed or any(matches(parts.hostname or "", pattern) for pattern in allowed):
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    named = next((one for one in allowed if "://" in one and "*" not in one), None)  # of OriginValidator
    return (named or f"https://{allowed[0].lstrip('.')}").replace("://.", "://")


def matches(host: str, pattern: str) -> bool:
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
