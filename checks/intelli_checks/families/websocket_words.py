"""What servers and proxies mean by their answers to a handshake."""

from __future__ import annotations

from intelli_checks.model import Finding, fail
from intelli_checks.probes.websocket import Attempt
from intelli_checks.probes.websocket_server import Handshakes

LOOK = "look into the web server's log"
_CLOSE = {
    1000: "normal end",
    1001: "going away",
    1002: "protocol error",
    1003: "unsupported data",
    1005: "no code",
    1006: "no close frame: the connection just ended",
    1007: "invalid data",
    1008: "policy violation",
    1009: "message too big",
    1011: "the server had an exception",
    1012: "service restart",
    1013: "try again later",
    1014: "bad gateway",
    1015: "TLS failure",
}
"""RFC 6455, section 7.4.1, and the IANA registry."""
_WSGI = ("wsgiserver", "gunicorn", "waitress", "werkzeug", "cheroot", "cherrypy", "uwsgi", "mod_wsgi")
_PROXIES = ("nginx", "apache", "caddy", "traefik", "haproxy", "envoy", "cloudflare", "openresty", "awselb", "varnish")


def closed(attempt: Attempt) -> str:
    """The close code in words, with the reason the server gave."""
    return code(attempt.close_code) + (f": {attempt.close_reason}" if attempt.close_reason else "")


def code(number: int | None) -> str:
    """`1011 (the server had an exception)`."""
    if number is None:
        return "no code"
    private = "a code of the application's own" if number >= 4000 else "unknown"
    return f"{number} ({_CLOSE.get(number, private)})"


def plain_http(attempt: Attempt, application: str) -> tuple[str, str]:
    """Why a handshake was answered as an ordinary request, and what to do; by what the server calls itself."""
    serve = f"serve the ASGI application: daphne (or uvicorn) {application}; {_DEVELOPMENT}"
    name = attempt.server.lower()
    told = f"the handshake was answered {attempt.status} as an ordinary HTTP request"
    if any(word in name for word in _WSGI):
        return f"{told}: {attempt.server} is a WSGI server, which has no WebSockets", serve
    if any(word in name for word in _PROXIES):
        return f"{told}: the proxy ({attempt.server}) drops the Upgrade header, or a WSGI server is behind it", _UPGRADE
    if "uvicorn" in name:
        return f"{told}: this uvicorn has no WebSocket library", _WITH_LIBRARY
    name = attempt.server or "no Server header"
    return f"{told} ({name}): a WSGI server, a proxy that drops Upgrade, or another project's server", serve


def between(found: Handshakes, subject: str) -> Finding:
    """The server decides about the socket, and its address does not: what stands between is at fault."""
    own, path = found.own, found.route.name
    where = found.direct.url.rpartition(path)[0] if found.direct else ""
    decided = "opens" if found.direct and found.direct.accepted else "is taken for a WebSocket, and refused (403),"
    here = f"{path} {decided} at {where}"
    answered = own.step or f"answers {own.status}"
    if own.status and own.status >= 500:
        why, hint = "the path arrives there changed, or at another server", _KEEP_PATH
    elif own.status in {401, 403, 407}:
        why, hint = "the proxy refuses it, or changes Origin or Host", "let the proxy pass Host, Origin and cookies on"
    else:
        why, hint = "the proxy drops the Upgrade header, or has another location for the path", _UPGRADE
    return fail(f"{here}, and through the proxy it {answered}: {why}", hint=hint, subject=subject, status=own.status)


_DEVELOPMENT = "runserver wants daphne first in INSTALLED_APPS; a proxy between must pass Upgrade and Connection on"
_KEEP_PATH = (
    "nginx: proxy_pass http://HOST:PORT; without a path or slash behind it, which would replace the location's prefix; "
    "does the location lead to the ASGI server?"
)
_UPGRADE = (
    "nginx: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; "
    'proxy_set_header Connection "upgrade"; behind it daphne or uvicorn'
)
_WITH_LIBRARY = "pip install 'uvicorn[standard]' (or websockets), and no --ws none; then restart"
