"""What a Redis server tells about itself, read once and kept as plain values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from intelli_checks.dsn import Dsn
from intelli_checks.probes.resp import Reply, ReplyError
from intelli_checks.text import safe


@dataclass(frozen=True, slots=True)
class Refusal:
    """A command the server refused although it understood it."""

    command: str
    code: str
    """First word of the error reply: OOM, MISCONF, READONLY, NOPERM, MOVED ..."""
    text: str


@dataclass(frozen=True, slots=True)
class SlowCommand:
    """One entry of SLOWLOG GET."""

    command: str
    """Name and first argument; the rest may be somebody's data."""
    seconds: float
    at: int
    """Unix time on the server's clock."""


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """One Redis server as one role sees it. `None` and missing keys mean "not visible", never "bad"."""

    role: str
    """`broker`, `results` or `channels`."""
    at: str
    """The URL, redacted."""
    address: str
    database: int
    ping_ms: float
    info: Mapping[str, str] = field(default_factory=dict)
    """INFO, flat: the field names are unique over its sections."""
    config: Mapping[str, str] = field(default_factory=dict)
    """The CONFIG GET values asked for; empty where CONFIG is not allowed, as on managed servers."""
    refusals: tuple[Refusal, ...] = ()
    """Why a harmless write was refused, and which commands this user may not run; empty when all is well."""
    slow: tuple[SlowCommand, ...] = ()
    server_time: float | None = None
    """Unix time by TIME; None where it was refused."""
    clock_offset: float | None = None
    """Seconds the server's clock is ahead of ours, round trip subtracted."""
    open_to_all: bool | None = None
    """Whether it answers PING without credentials; None when that was not tried."""
    verified: bool | None = None
    """Whether TLS checked the certificate; None without TLS."""

    guessed: bool = False
    """Queue and key names were Celery's defaults: the project was not asked."""
    keyprefix: str = ""

    @property
    def cli(self) -> str:
        """redis-cli with this server's address, as one would type it."""
        return redis_cli(Dsn(self.at), self.address)

    @property
    def product(self) -> str:
        """`redis`, or the compatible server that answers in its place."""
        if "dragonfly_version" in self.info:
            return "dragonfly"
        if "valkey_version" in self.info or self.info.get("server_name") == "valkey":
            return "valkey"
        if "mvcc_depth" in self.info or "keydb" in self.info.get("executable", ""):
            return "keydb"
        return "redis"

    @property
    def version(self) -> str:
        """The product's own version, empty if INFO is not visible; Valkey keeps `redis_version` at 7.2.4."""
        own = self.info.get("dragonfly_version") or self.info.get("valkey_version")
        return (own or self.info.get("redis_version", "")).removeprefix("df-").removeprefix("v")

    def number(self, name: str) -> int | None:
        """A whole number of INFO, or None."""
        return _whole(self.info.get(name))

    def setting(self, name: str) -> int | None:
        """A whole number of CONFIG, or None."""
        return _whole(self.config.get(name))

    def counter(self, name: str, part: str = "count") -> int:
        """One part of an INFO line such as `errorstat_OOM:count=3` or `cmdstat_flushdb:calls=1,usec=9`; 0 if absent."""
        pairs = (pair.partition("=") for pair in self.info.get(name, "").split(","))
        return next((_whole(value) or 0 for key, _, value in pairs if key == part), 0)

    @property
    def is_unix(self) -> bool:
        """Reached through a socket file."""
        return self.address.startswith("/")

    @property
    def is_loopback(self) -> bool:
        """Reached over the loopback interface; behind a tunnel or a published port the server may be elsewhere."""
        return self.address.rpartition(":")[0] in {"127.0.0.1", "localhost", "::1"}

    @property
    def uptime(self) -> int | None:
        """Seconds since the server started."""
        return self.number("uptime_in_seconds")

    @property
    def maxmemory(self) -> int | None:
        """Bytes; 0 means no limit."""
        found = self.number("maxmemory")
        return self.setting("maxmemory") if found is None else found

    @property
    def policy(self) -> str | None:
        """`maxmemory-policy`."""
        return self.info.get("maxmemory_policy") or self.config.get("maxmemory-policy")

    @property
    def persistent(self) -> bool | None:
        """Whether a restart keeps the data: append-only file on, or at least one RDB save point."""
        if self.info.get("aof_enabled") == "1" or self.config.get("appendonly") == "yes":
            return True
        points = self.config.get("save")
        return None if points is None else bool(points.strip())


def redis_cli(dsn: Dsn, address: str | None = None) -> str:
    """redis-cli with the address of `dsn`; it asks for the password, which stands in no command."""
    where = address or dsn.address
    user = f" --user {dsn.username}" if dsn.username else ""
    login = f"{user} --askpass" if dsn.password else ""
    if where.startswith("/"):
        return f"redis-cli -s {where}{login}"
    host, _, port = where.rpartition(":")
    return f"redis-cli -h {host} -p {port}" + (" --tls" if dsn.tls else "") + login


def parse_info(text: str) -> dict[str, str]:
    """INFO as a flat mapping; section titles and blank lines left out."""
    lines = (line.strip() for line in text.splitlines())
    pairs = (line.partition(":") for line in lines if line and not line.startswith("#"))
    return {safe(name): safe(value) for name, colon, value in pairs if colon}


def parse_config(replies: Iterable[Reply]) -> dict[str, str]:
    """Replies to `CONFIG GET name`, those refused or unknown left out."""
    found: dict[str, str] = {}
    for reply in replies:
        if isinstance(reply, list) and len(reply) == 2:
            name, value = (text(part) for part in reply)
            found[name] = value
    return found


def parse_slowlog(reply: Reply) -> tuple[SlowCommand, ...]:
    """Entries of SLOWLOG GET: id, unix time, microseconds, arguments (and from Redis 4 the client)."""
    entries = reply if isinstance(reply, list) else []
    found = []
    for entry in entries:
        match entry:
            case [_, int(at), int(microseconds), [*words], *_]:
                found.append(SlowCommand(_short(words), microseconds / 1e6, at))
    return tuple(found)


def parse_time(reply: Reply) -> float | None:
    """The reply to TIME in seconds, or None."""
    match reply:
        case [bytes(seconds), bytes(microseconds)]:
            return int(seconds) + int(microseconds) / 1e6
    return None


def text(reply: Reply) -> str:
    """A reply for people: bytes decoded, secrets and control characters out."""
    if isinstance(reply, bytes):
        return safe(reply.decode("utf-8", "replace"))
    return safe(reply)


def refusal(command: str, reply: Reply) -> Refusal | None:
    """The refusal in `reply`, if it is one."""
    return Refusal(command, reply.code, safe(reply)) if isinstance(reply, ReplyError) else None


def _short(words: list[Reply]) -> str:
    return " ".join(text(word)[:40] for word in words[:2])


def _whole(value: str | None) -> int | None:
    try:
        return None if value is None else int(value)
    except ValueError:
        return None
