"""Which addresses are public, and names to addresses in bounded time."""

import ipaddress
import queue
import socket
import threading
import time
from collections.abc import Sequence

from apps.jobs.fetch.model import BadUrl

GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")  # RFC 4291: all that IANA hands out
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: an IPv4 address in the last 32 bits
TUNNELS = tuple(map(ipaddress.IPv6Network, ("2002::/16", "2001::/32")))  # 6to4 and Teredo carry IPv4 addresses
RELAYS = ipaddress.IPv4Network("192.88.99.0/24")  # 6to4 relays, deprecated by RFC 7526 yet "global" to ipaddress
ISATAP = 0x5EFE  # RFC 5214: interface identifier 0:5efe:a.b.c.d

Answer = Sequence[str] | OSError | UnicodeError

# getaddrinfo cannot be cancelled: a name server that does not answer keeps its thread. This many may hang at a time.
LOOKUPS = threading.BoundedSemaphore(16)


def is_public(text: str) -> bool:
    """Tell whether a literal address is global unicast; text that is no address is not."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return _public_v4(address)
    return address.scope_id is None and _public_v6(address)


def _public_v4(address: ipaddress.IPv4Address) -> bool:
    return address.is_global and not address.is_multicast and not address.is_reserved and address not in RELAYS


def _public_v6(address: ipaddress.IPv6Address) -> bool:
    embedded = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address in NAT64:  # on networks without IPv4 this is how all IPv4 hosts look
        return _public_v4(embedded)
    if (int(address) >> 32) & 0xFFFF == ISATAP and not _public_v4(embedded):
        return False
    return address in GLOBAL_UNICAST and address.is_global and not any(address in tunnel for tunnel in TUNNELS)


def resolve(host: str, port: int, seconds: float) -> Sequence[str]:
    """Ask the system's resolver, for at most `seconds`.

    Raises:
        BadUrl: dns_failed or dns_timeout.
    """
    answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
    permit = LOOKUPS
    started = time.monotonic()
    if not permit.acquire(timeout=seconds):
        raise BadUrl("dns_timeout", "too many names are being resolved", retryable=True)
    threading.Thread(target=_lookup, args=(host, port, answers, permit), daemon=True, name="resolve").start()
    try:
        answer = answers.get(timeout=max(0.0, seconds - (time.monotonic() - started)))
    except queue.Empty:
        message = f"the name of the host was not resolved within {seconds:g} s"
        raise BadUrl("dns_timeout", message, retryable=True) from None
    if isinstance(answer, Exception):
        raise BadUrl("dns_failed", "the name of the host cannot be resolved", retryable=True)
    return answer


def _lookup(host: str, port: int, answers: "queue.SimpleQueue[Answer]", permit: threading.BoundedSemaphore) -> None:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        answers.put(list(dict.fromkeys(str(entry[4][0]) for entry in found)))
    except (OSError, UnicodeError) as error:
        answers.put(error)
    finally:
        permit.release()
