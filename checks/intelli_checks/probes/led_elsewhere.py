"""Workers of the project on this machine that take their messages from another Redis than this shell's settings name.

Of an environment only names leave this module, and a URL without its password.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from intelli_checks.dsn import Dsn
from intelli_checks.probes import clients, processes, same_server, senders
from intelli_checks.probes.resp import Connection, DialError, ReplyError

if TYPE_CHECKING:
    from intelli_checks.probes.processes import Process
    from intelli_checks.probes.survey import Survey
    from intelli_checks.target import Target

ASKED = 3
"""Servers that are asked for one worker at most: each may take a second."""


@dataclass(frozen=True, slots=True)
class Led:
    """A worker, and the Redis that serves it."""

    pid: int
    address: str = ""
    """`ip:port` of the other Redis it takes messages from; empty where nothing proves that there is one."""
    variable: str = ""
    """The variable of its own, or the option, that holds this address."""
    url: str = ""
    """What it holds, without a password."""


def gather(target: Target, survey: Survey) -> tuple[Led, ...]:
    """Every worker of the project here; empty where its processes run on another machine."""
    if not target.places or target.places[0].remote or survey.broker is None:
        return ()
    local = {process.pid: process for process in processes.celery("worker")}
    here = same_server.addresses(survey.broker)
    return tuple(
        _led(local[process.pid], tuple(urls(words, senders.environ_of(process))), here)
        for process, program, words in senders.of_project(target)
        if program == senders.WORKER and process.pid in local and of_app(words, survey.celery_app)
    )


def of_app(words: list[str], app: str | None) -> bool:
    """Whether a worker was started with an app of the project's own package; one that names none counts as its own."""
    named = processes.option(words, "-A") or processes.option(words, "--app")
    return not named or not app or re.split("[.:]", named)[0] == re.split("[.:]", app)[0]


def urls(words: list[str], environ: Mapping[str, str]) -> Iterator[tuple[str, Dsn]]:
    """What a worker was told and this shell was not: names of options and variables that hold a Redis's address."""
    for name in senders.BROKER_OPTIONS:
        if Dsn(given := processes.option(words, name)).is_redis:
            yield name, Dsn(given)
    for name, value in sorted(environ.items()):
        if value == os.environ.get(name):
            continue
        url = Dsn(f"redis://{value}" if re.fullmatch(r"[A-Za-z0-9.\-]+:\d{2,5}", value) else value)
        if url.is_redis:
            yield name, url


def _led(worker: Process, told: Sequence[tuple[str, Dsn]], here: frozenset[str]) -> Led:
    away = [peer for peer in dict.fromkeys(worker.peers) if peer not in here]
    for name, url in [] if here & set(worker.peers) else holding(told, away)[:ASKED]:
        if _takes_from(url, worker.ports):
            address = next(peer for peer in away if peer in same_server.addresses(url))
            return Led(worker.pid, address, name, str(url))
    return Led(worker.pid)


def holding(told: Sequence[tuple[str, Dsn]], peers: Sequence[str]) -> list[tuple[str, Dsn]]:
    """Those of `told` that lead to one of `peers`; only a name with the right port is looked up."""
    ports = {peer.rpartition(":")[2] for peer in peers}
    close = [(name, url) for name, url in told if str(url.port) in ports and not url.unix_path]
    return [(name, url) for name, url in close if same_server.addresses(url) & set(peers)]


def _takes_from(url: Dsn, ports: Sequence[int]) -> bool:
    """Whether a connection of the process takes messages there: results, caches and sessions are no broker."""
    try:
        with Connection.open(url, same_server.PATIENCE) as connection:
            found = clients.listing(connection) or ()
    except (DialError, ReplyError):
        return False
    return any(client.consumes and client.address.rpartition(":")[2] in map(str, ports) for client in found)
