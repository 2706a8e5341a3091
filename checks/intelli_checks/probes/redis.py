"""Ask one Redis everything the checks want to know, in three round trips."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from intelli_checks.dsn import LOOPBACK, Dsn
from intelli_checks.model import Unavailable
from intelli_checks.probes import host, redis_outage, redis_peer, redis_replies
from intelli_checks.probes.host_facts import Owner
from intelli_checks.probes.redis_facts import (
    RedisFacts,
    Refusal,
    parse_config,
    parse_info,
    parse_slowlog,
    parse_time,
    redis_cli,
    refusal,
    text,
)
from intelli_checks.probes.redis_rights import Rehearsal, rehearse
from intelli_checks.probes.resp import Connection, DialError, Reply, ReplyError
from intelli_checks.target import Place

FIRST_LOOK = 0.6
"""Share of the time the conversation may take; the rest is for finding out what else listens there."""
PINGS = 3
SLOW_LINE = 5
"""Round trips without an answer to a write after which it is not the line that is slow."""
FAR = 20.0
"""Milliseconds of a round trip, seen twice, beside which what our own machine adds is nothing."""
PROBE_KEY = "intelli-ops:probe:"
SETTINGS = (
    "maxmemory",
    "maxmemory-policy",
    "maxclients",
    "save",
    "appendonly",
    "dir",
    "bind",
    "protected-mode",
    "stop-writes-on-bgsave-error",
    "slowlog-log-slower-than",
    "min-replicas-to-write",
    "timeout",
    "client-output-buffer-limit",
)  # by name: CONFIG GET * would bring the passwords along


_STILL_TELLS = frozenset({"MISCONF", "OOM", "READONLY", "NOREPLICAS", "NOPERM", "CLUSTERDOWN", "BUSY"})
"""Errors even PING is answered with, by a server that can still be asked about itself."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One Redis a role of the system uses, and how that role connects."""

    role: str
    """`broker`, `results` or `channels`."""
    dsn: Dsn
    setting: str = "the URL"
    """What to correct when the URL is wrong, for hints."""
    tls: Mapping[str, str] = field(default_factory=dict)
    """TLS options that are set beside the URL (`broker_use_ssl`, ...)."""
    rehearsal: Rehearsal = ()
    """What this role will do there; tried without being executed."""
    guessed: bool = False
    """The names in the rehearsal are Celery's defaults: the project was not asked."""
    in_container: bool = False
    via: Place | None = None
    """Where the URL holds, when that is not here: the project's container or machine."""
    keyprefix: str = ""
    """kombu's `global_keyprefix`."""
    master: str | None = None
    """`master_name` of the transport options, for `sentinel://`."""
    sentinel_login: Mapping[str, Any] = field(default_factory=dict)
    sentinels: str = ""
    """How to ask the sentinel that named this server, where one did."""
    passed_over: tuple[str, ...] = ()
    """Addresses before this one in a list of brokers, which do not answer."""

    @property
    def subject(self) -> str:
        where = self.dsn.address if self.dsn.unix_path else f"{self.dsn.address}/{self.dsn.database}"
        return f"{self.role} {where}"

    @property
    def server(self) -> str:
        """The server's address, the same for the two usual names of this machine."""
        host = "127.0.0.1" if self.dsn.host == "localhost" else self.dsn.host
        return self.dsn.unix_path or f"{host}:{self.dsn.port}"

    @property
    def identity(self) -> tuple[object, ...]:
        """Server, login and database: roles that have all in common are one."""
        return self.server, self.dsn.scheme, self.dsn.username, self.dsn.password, self.dsn.database


def patience(endpoint: Endpoint, seconds: float) -> float:
    """`seconds`, and twice that where each connection starts a `docker exec` first."""
    return 2 * seconds if endpoint.via else seconds


def gather(endpoint: Endpoint, timeout: float) -> RedisFacts:
    """Facts about the server at `endpoint`, within `timeout` seconds.

    Raises Unavailable when no conversation comes about: its `kind` names the fault. A server that answers and refuses
    writes is described, not raised: see `RedisFacts.refusals`.
    """
    deadline = time.monotonic() + timeout
    require_readable(endpoint)
    try:
        first = timeout * FIRST_LOOK
        with Connection.open(endpoint.dsn, first, tls=endpoint.tls, via=endpoint.via).patient() as connection:
            return _converse(connection, endpoint)
    except DialError as error:
        raise redis_outage.explain(error, _place(endpoint, deadline)) from error
    except ReplyError as error:
        raise redis_outage.explain(DialError("protocol", str(error)), _place(endpoint, deadline)) from error


def require_readable(endpoint: Endpoint) -> None:
    """Raise Unavailable for a URL that means something else than its author thinks."""
    dsn = endpoint.dsn
    if dsn.unencoded:
        raise Unavailable(
            "the password in the URL holds a /, ? or # as it is: whatever reads the URL takes it apart there",
            hint=f"write %2F for /, %3F for ?, %23 for # and %40 for @ in the password of {endpoint.setting}: "
            "python -c \"from urllib.parse import quote; print(quote(input(), safe=''))\"",
            subject=endpoint.role,
            kind="unencoded",
        )
    if dsn.transport == "redis" and (wrong := dsn.wrong_database) and endpoint.role != "channels":
        raise Unavailable(
            f"{wrong} is no number of a database: Celery refuses the URL when it first connects",
            hint=f"correct what stands after the last / in {endpoint.setting}, for example redis://HOST:6379/0",
            subject=endpoint.subject,
            kind="wrong-database",
        )


UNSURE = "no-answer"
"""Kind of an outage whose cause was not found in time; another role that knows it says more."""
_LAST_WORD = 0.25
"""Seconds for a probe that has used up its time to say what it found; without, all there is to tell is "no answer"."""


def gather_all(endpoints: Sequence[Endpoint], timeout: float) -> tuple[RedisFacts | Unavailable, ...]:
    """`gather` for each endpoint at the same time; an outage takes the place of the facts."""
    found: list[RedisFacts | Unavailable] = [
        Unavailable(
            f"{endpoint.dsn.address}: no answer", hint=redis_cli(endpoint.dsn), subject=endpoint.subject, kind=UNSURE
        )
        for endpoint in endpoints
    ]

    def ask(index: int, endpoint: Endpoint) -> None:
        try:
            found[index] = gather(endpoint, timeout)
        except Unavailable as outage:
            found[index] = outage

    threads = [threading.Thread(target=ask, args=pair, daemon=True) for pair in enumerate(endpoints)]
    for thread in threads:
        thread.start()
    ends = time.monotonic() + 2 * timeout + _LAST_WORD  # a silent one is told by half of that
    for thread in threads:
        thread.join(max(0.0, ends - time.monotonic()))
    return tuple(found)


def _place(endpoint: Endpoint, deadline: float) -> redis_replies.Place:
    def look() -> tuple[str, str]:
        return redis_peer.look(endpoint.dsn, max(0.2, deadline - time.monotonic()), endpoint.via)

    def owner() -> Owner | None:
        local = endpoint.via is None and endpoint.dsn.host in LOOPBACK and not endpoint.dsn.unix_path
        return host.owner(endpoint.dsn.port) if local else None

    return redis_replies.Place(
        endpoint.dsn, endpoint.setting, endpoint.subject, endpoint.in_container, look, owner, endpoint.sentinels
    )


def _converse(connection: Connection, endpoint: Endpoint) -> RedisFacts:
    pong, ping_ms = _ping(connection)
    if isinstance(pong, ReplyError) and pong.code not in _STILL_TELLS:
        raise _with_eta(pong, connection)
    if pong != b"PONG" and not isinstance(pong, ReplyError):
        raise DialError("protocol", f"not a Redis reply: PING was answered by {text(pong)[:40]}")
    asked = time.monotonic()
    facts = _describe(connection, endpoint, ping_ms)
    trip = max(ping_ms / 1000, time.monotonic() - asked)
    refused = (*filter(None, [refusal("PING", pong)]), *_refusals(connection, endpoint, trip))
    return replace(facts, refusals=refused, open_to_all=_open_to_all(connection, endpoint))


def _ping(connection: Connection) -> tuple[Reply, float]:
    """The reply to PING, and the milliseconds of the quickest of a few: one alone also measures our own machine."""
    pong, quickest = None, float("inf")
    for number in range(PINGS):
        sent = time.perf_counter()
        pong = connection.pipeline([["PING"]])[0]
        quickest = min(quickest, (time.perf_counter() - sent) * 1000)
        if number and quickest > FAR:
            break
    return pong, quickest


def _with_eta(error: ReplyError, connection: Connection) -> Exception:
    """LOADING together with how long it will take; INFO answers meanwhile."""
    if error.code != "LOADING":
        return error
    info = connection.pipeline([["INFO", "persistence"]])[0]
    told = parse_info(info.decode("utf-8", "replace")) if isinstance(info, bytes) else {}
    eta, done = told.get("loading_eta_seconds", "?"), told.get("loading_loaded_perc", "?")
    return ReplyError(f"{error}: {done}% done, {eta} s to go")


def _describe(connection: Connection, endpoint: Endpoint, ping_ms: float) -> RedisFacts:
    questions = [["INFO", "all"], ["TIME"], ["SLOWLOG", "GET", "16"], *(["CONFIG", "GET", name] for name in SETTINGS)]
    before = time.time()
    info, clock, slow, *config = connection.pipeline(questions)
    between = (before + time.time()) / 2
    server_time = parse_time(clock)
    return RedisFacts(
        endpoint.role,
        str(endpoint.dsn),
        endpoint.dsn.address,
        endpoint.dsn.database,
        round(ping_ms, 2),
        info=parse_info(info.decode("utf-8", "replace")) if isinstance(info, bytes) else {},
        config=parse_config(config),
        slow=parse_slowlog(slow),
        server_time=server_time,
        clock_offset=None if server_time is None else round(server_time - between, 3),
        verified=None if endpoint.via else _verified(connection),
        guessed=endpoint.guessed,
        keyprefix=endpoint.keyprefix,
    )


def _refusals(connection: Connection, endpoint: Endpoint, trip: float) -> tuple[Refusal, ...]:
    """What this server refuses the role: a write of our own, taken back at once, then the role's own commands.

    An answer took `trip` seconds before; over a slow line our time is up before the next can be there: nothing follows.
    """
    began = time.monotonic()
    try:
        written = _write(connection)
        return (*written, *rehearse(connection, endpoint.rehearsal, f"{PROBE_KEY}rehearsal"))
    except DialError as error:
        if error.step != "silent":
            raise
        if time.monotonic() - began < SLOW_LINE * trip:
            return ()
        return (Refusal("SET", "SILENT", "reads are answered, a write is not"),)


def _write(connection: Connection) -> tuple[Refusal, ...]:
    key, value = f"{PROBE_KEY}{secrets.token_hex(8)}", secrets.token_hex(8)
    set_, get, _ = connection.pipeline([["SET", key, value, "PX", 10_000], ["GET", key], ["DEL", key]])
    found = refusal("SET", set_)
    if found and found.code == "NOPERM":
        return ()  # our key's name may be what is not allowed: the rehearsal asks about the role's own
    if found:
        return (found,)
    if get != value.encode() and not isinstance(get, ReplyError):
        return (Refusal("GET", "LOST", f"SET was answered {text(set_)[:40]}, and the value was not there afterwards"),)
    return ()


def _open_to_all(connection: Connection, endpoint: Endpoint) -> bool | None:
    """Whether the server answers without credentials; None if that is not known."""
    dsn = endpoint.dsn
    if not dsn.password:
        return True
    if (flags := _flags(connection.pipeline([["ACL", "GETUSER", "default"]])[0])) is not None:
        return b"nopass" in flags and b"on" in flags
    left = connection.deadline - time.monotonic()
    try:
        with redis_peer.bare(dsn, left, tls=endpoint.tls, via=endpoint.via) as stranger:
            return stranger.call("PING") == b"PONG"
    except ReplyError:
        return False
    except DialError:
        return None


def _flags(user: Reply) -> list[Reply] | None:
    """The flags in a reply to ACL GETUSER; password hashes stay behind."""
    match user:
        case [b"flags", [*flags], *_]:
            return flags
    return None


def _verified(connection: Connection) -> bool | None:
    import ssl

    sock = connection.sock
    return sock.context.verify_mode == ssl.CERT_REQUIRED if isinstance(sock, ssl.SSLSocket) else None
