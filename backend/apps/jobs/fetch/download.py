"""The download itself: resolve once, connect to what was judged, stream to a file."""

import http.client
import secrets
import ssl
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

from apps.jobs.fetch.addresses import is_public, resolve
from apps.jobs.fetch.model import BadUrl, FetchPolicy
from apps.jobs.fetch.urls import CheckedUrl, check_url
from apps.jobs.outbound import Deadline, Origin, body, exchange

MOST_ADDRESSES = 4
HEADERS = {"User-Agent": "intelli-jobs/1.0", "Accept": "image/png,image/jpeg,image/webp,image/gif,image/bmp;q=0.5"}
BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})


def fetch(url: str, target: Path, limits: FetchPolicy | None = None) -> None:
    """Download `url` to `target`, which appears by rename when it is complete.

    What arrived is not judged here: that is `imaging.inspect`'s question.

    Raises:
        BadUrl: refused or failed; nothing is left at `target`.
        OSError: the file cannot be written.
    """
    policy = limits or FetchPolicy()
    deadline = Deadline.after(policy.total_seconds)
    checked = check_url(url, policy)
    origin = Origin(checked.scheme, checked.host, checked.port, _addresses(checked, policy, deadline))
    part = target.with_name(f".{target.name}.{secrets.token_hex(6)}.part")
    try:
        _download(origin, checked.target, part, policy, deadline)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _addresses(checked: CheckedUrl, policy: FetchPolicy, deadline: Deadline) -> tuple[str, ...]:
    """Resolve the name, once; the connection uses these addresses, so a second answer cannot differ.

    One address that is not public refuses the whole name: no honest picture host is half inside our network.
    """
    resolver = policy.resolver or resolve
    found = tuple(resolver(checked.host, checked.port, min(policy.dns_seconds, deadline.left())))
    if not found:
        raise BadUrl("dns_failed", "the name of the host has no address", retryable=True)
    if not policy.allow_private and not all(map(is_public, found)):
        raise BadUrl("not_public", "the host is not on the public internet")
    return found[:MOST_ADDRESSES]


def _download(origin: Origin, path: str, part: Path, policy: FetchPolicy, deadline: Deadline) -> None:
    context = ssl.create_default_context(cafile=policy.ca_file) if origin.scheme == "https" else None
    pieces = _pieces(origin, path, policy, deadline, context)
    with part.open("xb") as file, closing(pieces):
        for piece in pieces:
            file.write(piece)


def _pieces(
    origin: Origin, path: str, policy: FetchPolicy, deadline: Deadline, context: ssl.SSLContext | None
) -> Generator[bytes, None, None]:
    """The body in pieces, everything the network does wrong as `BadUrl`. Errors of the file stay with its writer."""
    request = ("GET", path, HEADERS, None)
    try:
        with exchange(origin, deadline, request, connect_seconds=policy.connect_seconds, context=context) as response:
            _judge(response)
            yield from body(response, policy.max_bytes)
    except OverflowError:
        raise BadUrl("too_large", f"the picture has more than {policy.max_bytes} bytes") from None
    except http.client.IncompleteRead:
        raise BadUrl("incomplete", "the connection ended before the picture did", retryable=True) from None
    except OSError as error:  # before HTTPException: a connection closed without a word is both
        raise _network(error, policy) from None
    except http.client.HTTPException:
        raise BadUrl("bad_response", "the host does not answer in HTTP") from None


def _judge(response: http.client.HTTPResponse) -> None:
    status = response.status
    if 300 <= status < 400:
        raise BadUrl("redirect_refused", f"the host redirects ({status}); give the final URL")
    if status != 200:
        raise BadUrl("http_status", f"the host answered with status {status}", retryable=status in BUSY)
    if response.getheader("Content-Encoding", "identity").strip().lower() != "identity":
        raise BadUrl("encoding_refused", "the host sends compressed data that was not asked for")


def _network(error: OSError, policy: FetchPolicy) -> BadUrl:
    if isinstance(error, TimeoutError):
        return BadUrl("timeout", f"the picture did not arrive within {policy.total_seconds:g} s", retryable=True)
    if isinstance(error, ssl.SSLError):
        return BadUrl("tls_failed", "the certificate or TLS of the host is not valid")
    if isinstance(error, http.client.RemoteDisconnected):
        return BadUrl("connect_failed", "the host closed the connection without an answer", retryable=True)
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return BadUrl("incomplete", "the host broke the connection", retryable=True)
    return BadUrl("connect_failed", "the host cannot be reached", retryable=True)
