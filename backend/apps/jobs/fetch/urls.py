"""The text of a URL: taken apart once, refused in every spelling that is not plain."""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from apps.jobs.fetch.addresses import is_public
from apps.jobs.fetch.model import BadUrl, FetchPolicy

LONGEST_URL = 2048
DEFAULT_PORTS = {"http": 80, "https": 443}
# RFC 6761, RFC 6762, RFC 7686, RFC 8375, RFC 9476 and what cloud networks use: never on the public internet.
PRIVATE_SUFFIXES = ("localhost", "local", "internal", "intranet", "lan", "home.arpa", "onion", "test", "invalid", "alt")
LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
# Anything urlsplit would silently drop (tab, newline), or that parsers disagree on (backslash, space).
SUSPICIOUS = re.compile(r"[\x00-\x20\x7f-\x9f\\]")
# The WHATWG URL standard reads a host whose last label is a number as IPv4, and so does the C library: 2130706433,
# 0x7f.1, 0177.0.0.1 and 127.1 all mean 127.0.0.1.
NUMBER = re.compile(r"\d+|0x[0-9a-f]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class CheckedUrl:
    """A URL that passed. `host` is lower-case ASCII without brackets; `target` is path and query, percent-encoded."""

    scheme: str
    host: str
    port: int
    target: str


def check_url(url: str, policy: FetchPolicy | None = None) -> CheckedUrl:
    """Judge what can be judged without resolving the name.

    Raises:
        BadUrl: malformed, scheme_refused, port_refused, userinfo_refused, or not_public for literal addresses and names
            that only exist on private networks.
    """
    chosen = policy or FetchPolicy()
    if len(url) > LONGEST_URL or SUSPICIOUS.search(url):
        raise BadUrl("malformed", "the URL is too long or has characters that a URL cannot have")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BadUrl("malformed", "this is not a URL") from None
    if parts.scheme not in DEFAULT_PORTS:
        raise BadUrl("scheme_refused", "only http and https URLs are fetched")
    if "@" in parts.netloc:
        raise BadUrl("userinfo_refused", "a URL with a user name or password is not fetched")
    port = DEFAULT_PORTS[parts.scheme] if port is None else port
    if port not in chosen.ports:
        raise BadUrl("port_refused", f"port {port} is not fetched from")
    host = _host(parts.netloc, parts.hostname or "", chosen)
    target = quote(parts.path or "/", safe="/%:=&~+!$,;'()*@-._") + (f"?{_query(parts.query)}" if parts.query else "")
    return CheckedUrl(parts.scheme, host, port, target)


def _query(query: str) -> str:
    return quote(query, safe="/%:=&~+!$,;'()*@-._?")


def _host(netloc: str, host: str, policy: FetchPolicy) -> str:
    if not host or "%" in host:  # zone ids, and percent-encoded names that other parsers would decode
        raise BadUrl("malformed", "the URL has no plain host name")
    if netloc.startswith("["):
        return _literal(host, policy)
    name = _ascii(host).removesuffix(".")
    labels = name.split(".")
    if NUMBER.fullmatch(labels[-1]):
        return _literal(name, policy)
    if not all(LABEL.fullmatch(label) for label in labels) or len(name) > 253:
        raise BadUrl("malformed", "the host name of the URL is not valid")
    private = len(labels) == 1 or name.endswith(tuple(f".{suffix}" for suffix in PRIVATE_SUFFIXES))
    if private and not policy.allow_private:
        raise BadUrl("not_public", "the host is not on the public internet")
    return name


def _ascii(host: str) -> str:
    """Apply IDNA, which also turns full-width digits and ideographic full stops into the ASCII they stand for."""
    try:
        return host.encode("idna").decode("ascii").lower()
    except UnicodeError:
        raise BadUrl("malformed", "the host name of the URL is not valid") from None


def _literal(text: str, policy: FetchPolicy) -> str:
    """An address must be written the one usual way: four decimal numbers, or the colon form in brackets."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise BadUrl("not_public", "the host is a number in an unusual spelling") from None
    if not policy.allow_private and not is_public(text):
        raise BadUrl("not_public", "the host is not on the public internet")
    return str(address)
