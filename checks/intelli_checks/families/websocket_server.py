"""Is there a web server that answers? Asked before what reads from Redis is judged by what nobody read."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from intelli_checks import Finding, Stage, check, fail, info, warn
from intelli_checks.context import Context
from intelli_checks.families.channels_layers import SOCKET_LIVES
from intelli_checks.probes.websocket_server import NO_PAGE, Server, allowed_hosts, frozen, matches


@check("websocket.server", stage=Stage.LIVE, timeout=10.0)
def server(ctx: Context) -> Iterator[Finding]:
    """The web server answers HTTP.

    One GET of a page that is not there; any status proves that it lives. Without an address, the one that runs in the
    project's folder on this machine is asked; where there is none, nothing of this family runs.
    Cause of failure: not started, another port, a TLS certificate, a process that hangs, a redirect to itself (Django
    behind a proxy that ends TLS, and not told so), a Host the proxy changed so that Django refuses it.
    Of several processes of one server those that are stopped are named, too: every request that reaches them waits.
    So is a daphne that was started with a short --websocket_timeout: it closes sockets that are in use.
    Fix: start it, or name it with --web. Example: `intelli-ops check websocket --web http://127.0.0.1:8000`.
    """
    found = ctx.web_server
    told = f"{found.name or 'a web server'} answers {found.status}"
    if found.status == 400 and any(words in found.gist.lower() for words in _TO_TLS):
        yield fail(f"{told}: this port speaks TLS", hint=f"--web {found.base.replace('http', 'https', 1)}")
    elif found.said and found.status == 400:
        yield _refused(found, told, allowed_hosts(ctx))
    elif found.location and found.location == found.base + NO_PAGE:
        yield fail(
            f"{told} and leads to the same address, for ever: Django does not know that the visitor came by https",
            hint='SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https"), and in nginx: proxy_set_header '
            "X-Forwarded-Proto $scheme;",
        )
    elif found.status in {502, 503, 504}:
        yield fail(f"{told}: the proxy reaches no server behind it", hint="start the ASGI server behind the proxy")
    else:
        yield info(told, subject=found.base)
    yield from _stopped(ctx, found)
    yield from _short_lived(ctx)


def _stopped(ctx: Context, found: Server) -> Iterator[Finding]:
    """Processes that stand still while another answers."""
    for development, report in ((False, fail), (True, warn)):
        pids = [one.pid for one in ctx.web_processes if one.stopped and one.development is development]
        if pids:
            yield report(
                f"a web server answers, and {frozen(pids)}: what reaches {'it' if len(pids) == 1 else 'them'} waits",
                hint=f"kill -CONT {' '.join(map(str, pids))}   # or restart {'it' if len(pids) == 1 else 'them'}",
                subject=found.base,
                pids=pids,
            )


def _short_lived(ctx: Context) -> Iterator[Finding]:
    """A server that was told to close every socket soon, busy or not."""
    limited = {one.closes_after: one.pid for one in ctx.web_processes if one.closes_after is not None}
    if limited and (seconds := min(limited)) < SOCKET_LIVES:
        yield warn(
            f"daphne (pid {limited[seconds]}) closes every WebSocket after {seconds} s, whatever it does: "
            f"it was started with --websocket_timeout {seconds}",
            hint="start it without --websocket_timeout (a day), or above the longest a page stays open",
            subject=f"pid {limited[seconds]}",
            seconds=seconds,
        )


def _refused(found: Server, told: str, allowed: tuple[str, ...]) -> Finding:
    """400 for a page that is not there: Django does not take the Host; which one it was given depends on the proxy."""
    host = urlsplit(found.base).hostname or ""
    if not allowed and "host" not in found.gist.lower():
        return info(told, subject=found.base)
    if any(matches(host, pattern) for pattern in allowed):
        said = fail if any(words in found.gist for words in _DJANGO) else warn
        return said(
            f"{told}: DisallowedHost, most likely: {host} is in ALLOWED_HOSTS, so a proxy passes another Host on",
            hint=_SAME_HOST,
        )
    name, status = found.visited or ("", 0)
    if status == 400:
        return fail(f"{told} to {host} and to {name} alike, so a proxy passes another Host on", hint=_SAME_HOST)
    if status and _internal(host):
        return info(f"{told} to {host}, as ALLOWED_HOSTS has it, and {status} to {name}", subject=found.base)
    return warn(f"{told}: {host} is not in ALLOWED_HOSTS", hint=f'ALLOWED_HOSTS = [..., "{host}"]')


def _internal(host: str) -> bool:
    """Whether no visitor asks for this: an address, or a name without a dot as containers have."""
    return "." not in host or ":" in host or host.replace(".", "").isdigit()


_SAME_HOST = "nginx: proxy_set_header Host $http_host;"
_DJANGO = ("Bad Request (400)", "DisallowedHost")
"""Django's own page, without and with DEBUG."""
_TO_TLS = ("plain http request was sent to https port", "speaking plain http to an ssl-enabled server port")
"""What nginx and Apache say to a request without TLS."""
