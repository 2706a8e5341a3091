"""A second look at a port that did not answer as a Redis does: what is it then?"""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping
from typing import Literal, TypeAlias

from intelli_checks.dsn import Dsn
from intelli_checks.probes.resp import Connection, DialError, ReplyError
from intelli_checks.target import Place
from intelli_checks.text import safe

Kind: TypeAlias = Literal["tls", "plain", "speaks", "silent", "closed"]


def look(dsn: Dsn, timeout: float, via: Place | None = None) -> tuple[Kind, str]:
    """What listens at `dsn`'s address, within `timeout` seconds, and its first words.

    `tls`: completes or refuses a TLS handshake in TLS; `plain`: answers a PING without TLS; `speaks`: talks without
    being asked (a greeting, or the reason it hangs up on us); `silent`: accepts and says nothing; `closed`: hangs up.
    """
    deadline = time.monotonic() + timeout
    greeting = _greeting(dsn, timeout * 0.3, via)
    if greeting:
        return "speaks", greeting
    if dsn.tls:
        return _plain(dsn, deadline - time.monotonic(), via)
    return ("tls", "") if _is_tls(dsn, deadline - time.monotonic(), via) else ("silent", "")


def bare(dsn: Dsn, timeout: float, *, tls: Mapping[str, str] | None = None, via: Place | None = None) -> Connection:
    """A connection to the same address that neither logs in nor selects; encrypted only where `tls` is given."""
    scheme = "rediss" if tls is not None and dsn.tls else "redis"
    target = f"unix://{dsn.unix_path}" if dsn.unix_path else f"{scheme}://{_bracketed(dsn.host)}:{dsn.port}"
    return Connection.open(Dsn(target), timeout, tls={**dsn.options, **(tls or {})}, via=via)


def _greeting(dsn: Dsn, timeout: float, via: Place | None) -> str:
    """What the peer says before it is asked; a Redis that is full or protected says so and hangs up."""
    try:
        with bare(dsn, timeout, via=via) as connection:
            connection.sock.settimeout(timeout)
            said = connection.sock.recv(200)
    except (DialError, OSError):
        return ""
    return safe(said.decode("utf-8", "replace").strip())


def _plain(dsn: Dsn, timeout: float, via: Place | None) -> tuple[Kind, str]:
    try:
        with bare(dsn, max(0.1, timeout), via=via) as connection:
            connection.call("PING")
    except ReplyError as error:
        return "plain", safe(error)
    except DialError as error:
        return ("closed" if error.step == "closed" else "silent"), error.detail
    return "plain", "PONG"


def _is_tls(dsn: Dsn, timeout: float, via: Place | None) -> bool:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the question is whether it is TLS at all; nothing secret is sent
    try:
        with bare(dsn, max(0.1, timeout), via=via) as connection:
            connection.sock.settimeout(max(0.1, timeout))
            context.wrap_socket(connection.sock, server_hostname=dsn.host).close()
    except ssl.SSLError as error:
        return "alert" in str(error).lower()
    except (DialError, OSError):
        return False
    return True


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
