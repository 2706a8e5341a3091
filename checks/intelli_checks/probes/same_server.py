"""Whether two URLs are two names of one Redis database: asked of the server, as names tell nothing."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from intelli_checks.dsn import Dsn
from intelli_checks.probes.redis_facts import parse_info
from intelli_checks.probes.resp import Connection, DialError, ReplyError
from intelli_checks.target import Place

PATIENCE = 1.0


def same(urls: Sequence[Dsn], places: Sequence[Place | None] = ()) -> bool:
    """Whether all of them lead to one database of one server, each dialled from its place, at once."""
    froms = list(places) or [None] * len(urls)
    if not all(url.is_redis and len(url.members) == 1 for url in urls) or len({url.database for url in urls}) > 1:
        return False
    if len({(url.server, url.username, url.password) for url in urls}) == 1 and not any(
        place and place.remote for place in froms
    ):
        return True
    with ThreadPoolExecutor(len(urls)) as pool:  # each comes back: the connection has a total deadline
        ids = set(pool.map(_run_id, urls, froms))
    return len(ids) == 1 and "" not in ids


def _run_id(url: Dsn, place: Place | None) -> str:
    """Redis's own name of this run of the server; empty where it cannot be asked."""
    try:
        with Connection.open(url, PATIENCE, via=place if place and place.remote else None) as connection:
            told = connection.call("INFO", "server")
    except (DialError, ReplyError):
        return ""
    return parse_info(told.decode("utf-8", "replace")).get("run_id", "") if isinstance(told, bytes) else ""


def addresses(url: Dsn) -> frozenset[str]:
    """`ip:port` of a server, as its clients' connections name it."""
    try:
        found = socket.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
    except OSError:
        return frozenset()
    return frozenset(f"{address[0]}:{address[1]}" for *_, address in found if isinstance(address[0], str))


def refused(url: Dsn) -> bool:
    """Whether the server refuses this login; one that cannot be asked refuses nothing."""
    try:
        with Connection.open(url, PATIENCE) as connection:
            connection.call("PING")
    except DialError as error:
        return error.step == "auth" and "WRONGPASS" in error.detail
    except ReplyError as error:
        return "NOAUTH" in str(error)
    return False
