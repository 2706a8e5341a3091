"""One HTTP request, ended by a total deadline, its outcome in words."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from intelli_checks.model import Unavailable
from intelli_checks.text import safe

MAX_BODY = 4 * 1024 * 1024
"""Bytes read of an answer; of an artifact the beginning is enough."""

MAX_PAGE = 8000
"""Bytes of it to read for a person: Django's pages begin with a long style sheet."""
_MARKUP = re.compile(r"<!--.*?-->|<(style|script)\b.*?(</\1>|\Z)|<[^>]*>", re.DOTALL | re.IGNORECASE)

PLAIN = "this port does not speak TLS"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said."""

    method: str
    url: str
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    """Names in lower case."""
    body: bytes = b""
    seconds: float = 0.0

    @property
    def server(self) -> str:
        """What it calls itself."""
        return safe(self.headers.get("server", ""))[:80]

    @property
    def gist(self) -> str:
        """The beginning of the body on one line; of a page what is read there."""
        text = self.body[:MAX_PAGE].decode("utf-8", "replace")
        if text.lstrip().startswith("<"):
            text = _MARKUP.sub(" ", text)
        return safe(" ".join(text.split()))[:200]

    def json(self) -> Any:
        """The body as JSON; None when it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


def call(method: str, url: str, timeout: float, **options: Any) -> Answer:
    """Ask once, follow no redirect; raises Unavailable, its `kind` one of refused, resolve, tls, silent, broken.

    Runs on a thread of its own: no timeout of an HTTP client covers name lookup and an answer that drips.
    """
    told: Future[Answer] = Future()

    def ask() -> None:
        try:
            told.set_result(_ask(method, url, timeout, options))
        except BaseException as error:  # noqa: BLE001 - whoever waits must get it
            told.set_exception(error)

    threading.Thread(target=ask, name=f"{method} {safe(url)}", daemon=True).start()
    try:
        return told.result(timeout)
    except TimeoutError:
        raise _unavailable("silent", f"no complete answer within {timeout:.1f} s", url) from None


def _ask(method: str, url: str, timeout: float, options: Mapping[str, Any]) -> Answer:
    import urllib3
    from urllib3 import exceptions

    started = time.monotonic()
    limits = urllib3.Timeout(total=timeout)
    try:
        with urllib3.PoolManager(retries=False, timeout=limits) as pool:
            response = pool.request(method, url, redirect=False, preload_content=False, **options)
            body = response.read(MAX_BODY, decode_content=True)
            response.close()
    except exceptions.NameResolutionError as error:
        raise _unavailable("resolve", f"no such host: {_cause(error)}", url) from error
    except exceptions.NewConnectionError as error:
        raise _unavailable("refused", f"nobody listens: {_cause(error)}", url) from error
    except exceptions.SSLError as error:
        raise _unavailable("tls", tls_words(_bottom(error)), url) from error
    except exceptions.TimeoutError as error:
        raise _unavailable("silent", f"no answer within {timeout:.1f} s", url) from error
    except exceptions.HTTPError as error:
        raise _unavailable("broken", f"broke off: {_cause(error)}", url) from error
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(method, safe(url), response.status, headers, body, time.monotonic() - started)


def tls_words(error: BaseException) -> str:
    """What went wrong with TLS, for certificates and for ports that do not speak it."""
    words = safe(getattr(error, "verify_message", "") or getattr(error, "strerror", None) or error)[:200]
    if getattr(error, "verify_code", None) in {62, 64}:  # X509_V_ERR_HOSTNAME_MISMATCH, _IP_ADDRESS_MISMATCH
        return f"TLS: the certificate is for another name ({words})"
    if getattr(error, "verify_code", None) == 10:
        return f"TLS: the certificate has expired ({words})"
    if getattr(error, "verify_code", None):
        return f"TLS: the certificate is not trusted ({words})"
    if any(sign in words.upper() for sign in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST")):
        return f"{PLAIN} ({words})"
    return f"TLS: {words}"


def _bottom(error: BaseException) -> BaseException:
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    return error


def _cause(error: BaseException) -> str:
    """The operating system's or OpenSSL's own word, at the bottom of the chain."""
    error = _bottom(error)
    return safe(getattr(error, "strerror", None) or error)[:200]


_HINTS = {
    "refused": "start the web server there, or say where it is: --web http://HOST:PORT",
    "resolve": "correct the host: --web http://HOST:PORT",
    "tls": "http:// where the port has no TLS; an authority of your own: export SSL_CERT_FILE=/path/ca.pem; "
    "openssl s_client -connect HOST:PORT shows the certificate and its names",
    "silent": "the server is overloaded or stuck: look at its log, restart it",
    "broken": "is this an HTTP server? --web http://HOST:PORT",
}


def _unavailable(kind: str, message: str, url: str) -> Unavailable:
    return Unavailable(message, hint=_HINTS[kind], subject=safe(url), kind=kind)
