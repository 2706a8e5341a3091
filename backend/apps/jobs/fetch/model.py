"""What may be fetched, and why a URL is refused."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

BadUrlCode = Literal[
    "malformed",
    "scheme_refused",
    "port_refused",
    "userinfo_refused",
    "not_public",
    "dns_failed",
    "dns_timeout",
    "connect_failed",
    "tls_failed",
    "timeout",
    "redirect_refused",
    "http_status",
    "encoding_refused",
    "too_large",
    "incomplete",
    "bad_response",
]
CODES: tuple[BadUrlCode, ...] = get_args(BadUrlCode)

Resolver = Callable[[str, int, float], Sequence[str]]
"""Name, port and seconds to literal addresses; raises `BadUrl` dns_failed or dns_timeout."""


@dataclass(frozen=True, slots=True)
class FetchPolicy:
    """Limits of one download.

    Attributes:
        max_bytes: size of the body.
        total_seconds: everything, from the name to the last byte.
        connect_seconds: one attempt to connect.
        dns_seconds: resolving the name.
        ports: ports that may be named. A picture has no business on port 22 or 6379.
        ca_file: PEM file of the authorities trusted for https; the system's otherwise.
        resolver: how names become addresses; the system's otherwise. For tests.
        allow_private: accept addresses that are not public. For tests only: it is the whole protection.
    """

    max_bytes: int = 20 * 1024 * 1024
    total_seconds: float = 20.0
    connect_seconds: float = 5.0
    dns_seconds: float = 5.0
    ports: frozenset[int] = frozenset({80, 443})
    ca_file: Path | None = None
    resolver: Resolver | None = None
    allow_private: bool = False


class BadUrl(ValueError):
    """A URL that is refused, or that gave no picture.

    Attributes:
        code: one of `CODES`, stable.
        message: one sentence; it names neither the path nor the address the name resolved to, which would tell a
            stranger about our network.
        retryable: whether the same URL may work later.
    """

    def __init__(self, code: BadUrlCode, message: str, *, retryable: bool = False) -> None:
        """Keep all three; the text of the exception has the code in front."""
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.retryable = retryable

    def __str__(self) -> str:
        """Code and message."""
        return f"{self.code}: {self.message}"
