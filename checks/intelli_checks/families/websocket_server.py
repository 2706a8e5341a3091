"""Is there a web server that answers? Asked before what reads from Redis is judged by what nobody read."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from intelli_checks import Finding, Stage, check, fail, info, warn
from intelli_checks.context import Context


@check("websocket.server", stage=Stage.LIVE, timeout=6.0)
def server(ctx: Context) -> Iterator[Finding]:
    """The web server answers HTTP.

    One GET of a page that is not there; any status proves that it lives. Without an address, the one that runs in the
    project's folder on this machine is asked; where there is none, nothing of this family runs.
    Cause of failure: not started, another port, a TLS certificate, a process that hangs.
    Fix: start it, or name it with --web. Example: `intelli-ops check websocket --web http://127.0.0.1:8000`.
    """
    found = ctx.web_server
    told = f"{found.name or 'a web server'} answers {found.status}"
    if found.status == 400 and any(words in found.gist.lower() for words in _TO_TLS):
        yield fail(f"{told}: this port speaks TLS", hint=f"--web {found.base.replace('http', 'https', 1)}")
    elif found.said and found.status == 400 and "host" in found.gist.lower():
        host = urlsplit(found.base).hostname
        yield warn(f"{told}: {host} is not in ALLOWED_HOSTS", hint=f'ALLOWED_HOSTS = [..., "{host}"]')
    elif found.status in {502, 503, 504}:
        yield fail(f"{told}: the proxy reaches no server behind it", hint="start the ASGI server behind the proxy")
    else:
        yield info(told, subject=found.base)


_TO_TLS = ("plain http request was sent to https port", "speaking plain http to an ssl-enabled server port")
"""What nginx and Apache say to a request without TLS."""
