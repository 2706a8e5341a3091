"""Flower on this machine: where it listens, and what it says to somebody who shows no credentials. Reads only."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from intelli_checks.model import Unavailable
from intelli_checks.probes import host, http
from intelli_checks.probes.processes import commands, is_celery

USUAL_PORT = 5555
_REACHED_BY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - looked up, not bound to
_LOOPBACK = ("127.", "::1", "::ffff:127.")


@dataclass(frozen=True, slots=True)
class Flower:
    """One address on which a Flower answers."""

    port: int
    address: str
    """Where it listens; `0.0.0.0` and `::` are every address."""
    page: int
    """HTTP status of its first page, asked for without credentials."""
    api: int = 0
    """The same of `/api/workers`; 0 when nothing was said in time."""

    @property
    def local(self) -> bool:
        """Whether only this machine reaches it."""
        return self.address.startswith(_LOOPBACK)


def gather(timeout: float) -> tuple[Flower, ...]:
    """Every Flower that answers on this machine: on its usual port, or where a process called flower listens."""
    places = sorted({(found.port, found.address) for found in host.listeners({USUAL_PORT, *_ports()})})
    if not places:
        return ()
    with ThreadPoolExecutor(len(places)) as pool:  # every request has a deadline of its own
        return tuple(one for one in pool.map(lambda place: _ask(place[0], place[1], timeout / 2), places) if one)


def _ports() -> Iterator[int]:
    """Ports on which processes listen whose command line is Flower's."""
    import psutil

    for process, words in commands():
        if not is_celery(words, "flower"):
            continue
        try:
            sockets = process.net_connections("tcp")
        except psutil.Error:
            continue
        yield from (one.laddr[1] for one in sockets if one.status == psutil.CONN_LISTEN)


def _ask(port: int, address: str, timeout: float) -> Flower | None:
    """None for what is not Flower, does not answer, or speaks TLS."""
    name = _REACHED_BY.get(address, address)
    base = f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"
    try:
        page = http.call("GET", f"{base}/", timeout)
    except Unavailable:
        return None
    if not page.server.startswith("Tornado") or (page.status == 200 and b"flower" not in page.body.lower()):
        return None
    try:
        return Flower(port, address, page.status, http.call("GET", f"{base}/api/workers", timeout).status)
    except Unavailable:
        return Flower(port, address, page.status)
