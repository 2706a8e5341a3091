"""Does a browser get its WebSocket, and does nobody else?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlsplit

from intelli_checks import Finding, Severity, Skip, Stage, Unavailable, check, fail, info, warn
from intelli_checks.context import Context
from intelli_checks.families.channels_events import illegal
from intelli_checks.families.declared import close_to, listed, usage
from intelli_checks.families.websocket_words import LOOK, between, closed, plain_http
from intelli_checks.probes.websocket import MAX_FRAME, Attempt
from intelli_checks.probes.websocket_route import Route, find, regex
from intelli_checks.probes.websocket_server import Handshakes, declared


@check("websocket.path", stage=Stage.STATIC, needs=["channels.asgi", "channels.routes"])
def path(ctx: Context) -> Iterator[Finding]:
    """The WebSocket path leads to a consumer.

    A path no route takes ends with 500 (ValueError "No route found"), not 404; a missing slash at the end is enough.
    Compares the path named by --websocket or the configuration with the routes the project declares.
    Fix: the path, or the route. Example: /ws/jobs/1 where the route is ws/jobs/<int:pk>/.
    """
    given, survey = ctx.target.websocket, declared(ctx)
    if not given:
        raise Skip("no path was named: the declared routes are tried")
    if survey is None or not survey.websocket_routes:
        raise Skip("the project declares no WebSocket routes to compare with")
    if find(urlsplit(given).path, survey.websocket_routes) is None:
        known = [str(route["path"]) for route in survey.websocket_routes]
        wanted = urlsplit(given).path
        other = f"{wanted}/" if not wanted.endswith("/") else wanted.rstrip("/")
        slash = any(regex(pattern).match(other.lstrip("/")) for pattern in known)
        yield fail(
            f"no route takes {wanted}{f': write {other}' if slash else close_to(wanted.lstrip('/'), known)}",
            hint=f"use a path of {listed(known)}, or add the route",
            subject=wanted,
        )


@check(
    "websocket.handshake",
    timeout=10.0,
    needs=["websocket.server", "websocket.path", "channels.asgi", "channels.user", "channels.alias", "redis.channels"],
)
def handshake(ctx: Context) -> Iterator[Finding]:
    """The server opens a WebSocket for its own pages.

    Cause: a WSGI server, a proxy that drops the Upgrade header, a consumer that raises in connect (500), an origin or
    a login that is refused (403), a consumer that dies after it accepted (1011); told apart by what the server
    answered and what the project declares. A refusal where a login is needed is no fault.
    Fix: as the message says. Example: `intelli-ops check websocket --web http://127.0.0.1:8000 --websocket /ws/7/`.
    """
    found = ctx.handshakes
    told = list(_judged(ctx, found))
    worst = next((one for one in told if one.severity is Severity.ERROR), None)
    if worst and (cause := _seen_in_the_code(ctx, found)):
        raise Unavailable(worst.message, hint=worst.hint, subject=worst.subject, cause=cause)
    yield from told


def _judged(ctx: Context, found: Handshakes) -> Iterator[Finding]:
    if together := _all_raised(found):
        yield together
        return
    yield from _own(ctx, found)
    for route, attempt in () if found.lost_between else found.others:
        yield from _other(replace(found, route=route, own=attempt))


def _seen_in_the_code(ctx: Context, found: Handshakes) -> str:
    """The check that names the line on which consumers fail; empty where none can, or where they do not."""
    survey = declared(ctx)
    attempts = [found.own, *(attempt for _, attempt in found.others)]
    if survey is None or not any(_died(attempt) for attempt in attempts):
        return ""
    if any(illegal(str(use["group"] or "")) for use in usage(survey, "group_add")):
        return "channels.group_names"
    connects = any(use["function"] == "connect" for use in usage(survey, "sync_in_loop"))
    own = any(str(use["call"]).startswith("self.") for use in usage(survey, "unawaited"))
    return "channels.awaited" if connects or own else ""


def _died(own: Attempt) -> bool:
    return own.status == 500 or own.close_code in {1006, 1011} or _unanswered(own)


def _unanswered(own: Attempt) -> bool:
    """Whether the handshake was let in and then nobody decided; no web server needs so long to refuse."""
    return own.step in _UNANSWERED and own.seconds >= PATIENCE


def _own(ctx: Context, found: Handshakes) -> Iterator[Finding]:
    """What became of the first route with an origin of the system's own."""
    own, subject = found.own, f"{found.route.name} from {found.own.origin}"
    if own.accepted:
        yield from _opened(found, subject)
    elif found.lost_between:
        yield between(found, subject)
    elif _unanswered(own) and found.route.pattern:
        yield _undecided(found, subject)
    elif own.status is None:
        yield fail(f"{_STEPS.get(own.step, own.step)}: {own.detail}", hint=_step_hint(own), subject=subject)
    elif own.status == 403:
        yield from _refused(found, subject)
    elif own.status >= 500:
        yield from _raised(found, subject)
    elif own.status in {301, 302, 307, 308}:
        where = own.headers.get("location", "?")
        yield fail(f"redirected to {where}", hint="use that URL; wss:// where pages are https://", subject=subject)
    elif own.status in {401, 407, 429}:
        yield info(
            f"refused with {own.status}: credentials are wanted (--web http://USER:PASSWORD@HOST, or [flow] headers)"
        )
    else:
        message, hint = plain_http(own, _application(ctx))
        yield fail(message, hint=hint, subject=subject, status=own.status, server=own.server)


def _other(found: Handshakes) -> Iterator[Finding]:
    """Of further routes only what breaks: whether they may be refused is not known."""
    own, subject = found.own, f"{found.route.name} from {found.own.origin}"
    if (own.status or 0) >= 500:
        yield from _raised(found, subject)
    elif own.accepted and own.close_code in {1006, 1011}:
        yield from _opened(found, subject)
    elif _unanswered(own):
        yield _undecided(found, subject)


def _undecided(found: Handshakes, subject: str) -> Finding:
    return fail(
        f"{_who(found)} neither accepted nor closed the handshake within {found.own.seconds:.0f} s",
        hint=f"self.accept() or self.close() on every way through connect(), awaited where it is async; {LOOK}: "
        "does it wait for a query, a lock, another server?",
        subject=subject,
    )


_STEPS = {
    "silent": "the connection is accepted and the handshake never answered",
    "closed": "the connection was closed without an answer to the handshake",
    "protocol": "the answer to the handshake is not WebSocket",
    "tls": "no TLS connection",
    "subprotocol": "browsers refuse the answer: it names a subprotocol that was not offered",
    "refused": "nobody listens",
    "resolve": "no such host",
}


_UNANSWERED = frozenset({"silent", "closed", "protocol"})
"""How a handshake ends that no consumer answered: by our own deadline, or Daphne's, which just closes."""
PATIENCE = 3.0
"""Seconds no web server needs to refuse."""


def _application(ctx: Context) -> str:
    """The ASGI application as a server's command line names it."""
    survey = declared(ctx)
    module, _, name = str(survey.extra.get("asgi_application") or "" if survey else "").rpartition(".")
    return f"{module}:{name}" if module else "config.asgi:application"


def _step_hint(own: Attempt) -> str:
    if own.step == "tls":
        return "ws:// for a server without TLS, wss:// for one with; openssl s_client -connect HOST:PORT"
    if own.step == "subprotocol":
        return (
            "accept(subprotocol) only what scope['subprotocols'] offers; to offer some here: [flow] headers, "
            'Sec-WebSocket-Protocol = "NAME"'
        )
    return f"{LOOK}; something between that is no web server?"


def _opened(found: Handshakes, subject: str) -> Iterator[Finding]:
    own = found.own
    if own.close_code is None:
        chosen = f", subprotocol {own.subprotocol}" if own.subprotocol else ""
        yield info(f"open after {own.seconds * 1000:.0f} ms{chosen}", subject=subject)
        if own.pong_ms is None:
            yield warn(
                "a ping was not answered within a second", hint="the server's event loop is blocked", subject=subject
            )
    elif own.close_code in {1006, 1011} and _perhaps_missing(found.route):
        yield _made_up(found, closed(own), subject)
    elif own.step == "flood":
        yield info(f"open, and sends a frame of more than {MAX_FRAME // 1024} kB, which was not read", subject=subject)
    elif own.close_code in {1006, 1011}:
        yield fail(
            f"accepted, and closed again after {own.lived:.1f} s with {closed(own)}: {_who(found)} raised an exception",
            hint=LOOK,
            subject=subject,
            code=own.close_code,
        )
    else:
        yield info(f"accepted, then closed by the application: {closed(own)}", subject=subject)


def _made_up(found: Handshakes, answer: str, subject: str) -> Finding:
    """A consumer that asks for a row which does not exist: that proves nothing about rows that do."""
    return warn(
        f"{answer}: {_who(found)} raised an exception under a made-up id; perhaps because nothing exists under it",
        hint=f"--websocket PATH with a row that exists, for {found.route.pattern}; refuse a missing one with close()",
        subject=subject,
    )


def _who(found: Handshakes) -> str:
    return found.route.consumer or "the consumer"


def _refused(found: Handshakes, subject: str) -> Iterator[Finding]:
    """403: an origin validator, or a consumer that closes before it accepts."""
    own = found.own
    if found.foreign.accepted or found.absent.accepted:
        yield fail("the origin of the system's own pages is refused, another is not", hint=_ORIGIN, subject=subject)
    elif found.chosen and found.allowed and not _allowed(own.origin or "", found.allowed):
        yield fail(
            f"the origin is refused (403): its host is not in ALLOWED_HOSTS ({listed(found.allowed)})",
            hint=_ORIGIN,
            subject=subject,
        )
    elif found.route.made_up or found.route.authenticated:
        why = "nothing exists under a made-up id" if found.route.made_up else "it wants a login"
        yield info(f"refused before it was accepted (403), perhaps because {why}; name a path that exists: --websocket")
    elif found.route.pattern and found.route.origin_checked is False:
        yield warn(f"{_who(found)} refuses the handshake (403)", hint=f"does it want a login? {LOOK}", subject=subject)
    else:
        yield warn(
            "refused (403): the origin, or a login", hint=f"origin = in intelli-ops.toml; {LOOK}", subject=subject
        )


_ORIGIN = "add the host to ALLOWED_HOSTS (AllowedHostsOriginValidator) or to OriginValidator's list, then restart"


def _allowed(origin: str, allowed: tuple[str, ...]) -> bool:
    host = urlsplit(origin).hostname or ""
    return any(one in {"*", host} or (one.startswith(".") and f".{host}".endswith(one)) for one in allowed)


def _all_raised(found: Handshakes) -> Finding | None:
    """One cause where every route fails alike: it lies in front of their consumers. None where some do not."""
    tried = [(found.route, found.own), *found.others]
    alike = [route for route, own in tried if own.status == 500 and route.pattern and not _perhaps_missing(route)]
    if len(alike) < len(tried) or len({route.consumer for route in alike}) < 2 or found.lost_between:
        return None
    shared = [name for name in found.route.middleware if all(name in route.middleware for route in alike)]
    before = f": {listed(shared)}," if shared else ","
    return fail(
        f"500 on every route tried ({listed([route.name for route in alike])}): what stands in front of them raised an "
        f"exception{before} or no route takes the path as it arrives there (--root-path, a proxy)",
        hint=f"{LOOK}: 'Exception inside application'; 'No route found for path' shows the path that arrived",
        subject=f"{found.route.name} from {found.own.origin}",
    )


def _perhaps_missing(route: Route) -> bool:
    """Whether the consumer may raise only because nothing exists under an id that we made up."""
    return route.made_up and route.looks_up


def _raised(found: Handshakes, subject: str) -> Iterator[Finding]:
    status = found.own.status
    if status not in {502, 503, 504} and _perhaps_missing(found.route):
        yield _made_up(found, str(status), subject)
    elif status in {502, 503, 504}:
        yield fail(f"{status}: the proxy reaches no server behind it", hint="start the ASGI server", subject=subject)
    elif found.route.pattern:
        before = f" (or {listed(found.route.middleware)})" if found.route.middleware else ""
        yield fail(
            f"{status}: {_who(found)}{before} raised an exception before the socket was accepted",
            hint=f"{LOOK}: 'Exception inside application'",
            subject=subject,
        )
    else:
        yield fail(
            f"{status}: the ASGI application raised an exception: no route for this path, or a consumer that fails",
            hint=f"{LOOK}: 'No route found' or 'Exception inside application'",
            subject=subject,
        )


@check("websocket.origin", timeout=10.0, needs=["websocket.handshake"])
def origin(ctx: Context) -> Iterator[Finding]:
    """A page of another site gets no WebSocket.

    Browsers send a visitor's cookies with handshakes to any site; a server that does not look at the Origin lets every
    page read and do what the visitor may (cross-site WebSocket hijacking). Tried with an origin nobody serves.
    A handshake without Origin is no browser's; refusing it is right and accepting it no fault.
    Fix: AllowedHostsOriginValidator around the routes, and no "*" in ALLOWED_HOSTS.
    """
    found = ctx.handshakes
    if not found.own.accepted:
        raise Skip("the handshake was refused for the system's own origin too: nothing to compare with")
    if not found.foreign.accepted:
        yield info(f"{found.foreign.origin} is refused ({found.foreign.status or found.foreign.step})")
        return
    hint = "AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(...)))" + (
        ', and hosts instead of "*" in ALLOWED_HOSTS' if "*" in found.allowed else ""
    )
    message = f"a page of {found.foreign.origin} may open {found.route.name}"
    if found.route.authenticated and found.route.cookies is False:
        yield info(f"{message}, and brings no cookie that lets it in")
    elif found.route.cookies and not found.route.origin_checked:
        yield fail(f"{message} with the visitor's cookies: cross-site WebSocket hijacking", hint=hint)
    else:
        yield warn(f"{message}: nobody checks the Origin", hint=hint)
