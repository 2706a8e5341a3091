"""Connection URLs as values that cannot print their password."""

from __future__ import annotations

from functools import cached_property
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from intelli_checks.text import MASK, raw_login, remember_passwords, remember_secret, safe

UNPARSEABLE = "<unparseable url>"
PORTS = {"sentinel": 26379, "amqp": 5672, "pyamqp": 5672, "amqps": 5671}
"""Ports that a URL without one means, by transport; 6379 for Redis."""
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
"""Hosts that are this machine."""
_SECRET_OPTIONS = frozenset({"password", "passwd", "secret", "token", "sentinel_password"})


class Dsn:
    """A connection URL whose `str`, `repr`, format and JSON never show the password.

    Understands what kombu and redis-py understand: `redis`, `rediss`, `unix`, `redis+socket`, and `sentinel` lists
    separated by semicolons (kombu.transport.redis, redis.connection.parse_url). Never raises: a URL nobody can parse
    prints as `<unparseable url>` and has an empty host.

    A plain class: `dataclasses` imports `inspect`, which would cost a probe a third of its time.
    """

    def __init__(self, raw: str) -> None:
        self._raw = raw
        remember_passwords(self.raw)  # by their place in the text: of what nobody can parse too
        for name, value in self.options.items():
            if name in _SECRET_OPTIONS:
                remember_secret(value)
        remember_secret(self.password)

    @property
    def raw(self) -> str:
        """The URL as given, password and all: to connect with, never to print."""
        return self._raw

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dsn) and self.raw == other.raw

    def __hash__(self) -> int:
        return hash(self.raw)

    def __str__(self) -> str:
        parts = [_public(part) for part in self.raw.split(";")]
        return safe(";".join(parts))

    __repr__ = __str__

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    @cached_property
    def _url(self) -> SplitResult | None:
        return _split(self.raw.split(";")[0])

    @property
    def scheme(self) -> str:
        if self._url:
            return self._url.scheme
        return self.raw.partition("://")[0].lower() if self.unencoded else ""

    @property
    def transport(self) -> str:
        """What speaks the protocol: `redis` for every way to reach a Redis, else the scheme's first word."""
        scheme = self.scheme.partition("+")[0]
        return "redis" if scheme in {"redis", "rediss", "unix", "valkey", "valkeys"} else scheme

    @property
    def is_redis(self) -> bool:
        return self.transport in {"redis", "sentinel"}

    @property
    def tls(self) -> bool:
        return self.scheme in {"rediss", "valkeys"}

    @property
    def unix_path(self) -> str | None:
        """The socket's path for `unix://` and `redis+socket://`, else None."""
        if self._url and self.scheme in {"unix", "redis+socket", "redis+unix"}:
            return unquote(self._url.path)
        return None

    @property
    def host(self) -> str:
        return (self._url.hostname or "localhost") if self._url else ""

    @property
    def port(self) -> int:
        default = PORTS.get(self.transport, 6379)
        return (self._url.port or default) if self._url else default

    @property
    def username(self) -> str | None:
        given = self._url.username if self._url else None
        return unquote(given) if given else self.options.get("username")

    @property
    def password(self) -> str | None:
        given = self._url.password if self._url else None
        return unquote(given) if given else self.options.get("password")

    @property
    def database(self) -> int:
        """The Redis database number; kombu's `virtual_host` and redis-py's `db` options count, 0 when none is given."""
        try:
            return int(self._where or 0)
        except ValueError:
            return 0

    @property
    def names_database(self) -> bool:
        """Whether the URL says which database, rather than leaving it at 0."""
        return bool(self._where)

    @property
    def _where(self) -> str:
        where = self._database_option
        return unquote(self._url.path).strip("/") if not where and self._url and not self.unix_path else where

    @property
    def _database_option(self) -> str:
        return self.options.get("virtual_host") or self.options.get("db") or ""

    @property
    def unencoded(self) -> bool:
        """The password holds `/`, `?` or `#` as they are: whatever parses this URL sees another host."""
        return any(raw_login(part) for part in self.raw.split(";"))

    @property
    def wrong_database(self) -> str:
        """What stands where kombu wants the number of a database; empty where that is fine."""
        try:
            int(self._where or 0)
        except ValueError:
            return safe(self._where)
        return ""

    def on_database(self, number: int) -> Dsn:
        """The same server and login with another database number."""
        if self._url is None:
            return self
        if self.unix_path or self.options.keys() & {"virtual_host", "db"}:
            kept = {name: value for name, value in self.options.items() if name not in {"virtual_host", "db"}}
            return Dsn(urlunsplit(self._url._replace(query=urlencode({**kept, "virtual_host": number}))))
        return Dsn(urlunsplit(self._url._replace(path=f"/{number}")))

    @cached_property
    def options(self) -> dict[str, str]:
        return dict(parse_qsl(self._url.query, keep_blank_values=True)) if self._url else {}

    @property
    def address(self) -> str:
        """`host:port` or the socket's path: what a person would type."""
        return self.unix_path or f"{self.host}:{self.port}"

    @property
    def server(self) -> str:
        """The address to compare by: this machine by whatever name is one."""
        return self.unix_path or f"{'127.0.0.1' if self.host in LOOPBACK else self.host}:{self.port}"

    @property
    def members(self) -> tuple[Dsn, ...]:
        """Each URL of a list such as `sentinel://a;sentinel://b`."""
        return tuple(Dsn(part) for part in self.raw.split(";") if part)


def _split(raw: str) -> SplitResult | None:
    try:
        url = urlsplit(raw)
        _ = url.port, url.hostname  # both parse lazily and raise here rather than in a printer
    except ValueError:
        return None
    return url


def _public(raw: str) -> str:
    if login := raw_login(raw):
        scheme, _, rest = raw.partition("://")
        user, colon, _ = login.partition(":")
        return f"{scheme}://{user if colon else ''}:{MASK}{rest[len(login) :].partition('?')[0]}"
    url = _split(raw)
    if url is None:
        return UNPARSEABLE
    host = f"[{url.hostname}]" if url.hostname and ":" in url.hostname else url.hostname or ""
    port = f":{url.port}" if url.port else ""
    credentials = f"{url.username or ''}:***@" if url.password else f"{url.username}@" if url.username else ""
    if not url.scheme:
        return url.path if "@" not in url.path else UNPARSEABLE
    return f"{url.scheme}://{credentials}{host}{port}{url.path}"
