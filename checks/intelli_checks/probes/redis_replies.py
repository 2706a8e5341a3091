"""What the error replies of Redis mean for a system that wants to use it, and what to type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from intelli_checks.dsn import Dsn
from intelli_checks.probes.host_facts import Owner
from intelli_checks.probes.redis_facts import redis_cli
from intelli_checks.text import safe

Words: TypeAlias = tuple[str, str, str]
"""The fault's name, what happened, what to type."""


@dataclass(frozen=True, slots=True)
class Place:
    """What the words need to know about the role and the way to it."""

    dsn: Dsn
    setting: str
    """The name of the setting that carries the URL, for hints."""
    subject: str
    in_container: bool = False
    look: Callable[[], tuple[str, str]] = lambda: ("silent", "")
    """A second look at the port, paid for only when the first left the question open."""

    owner: Callable[[], Owner | None] = lambda: None
    """What is known about the process that listens there, when it is on this machine."""
    sentinels: str = ""
    """How to ask the sentinel that named this server as the master."""

    @property
    def cli(self) -> str:
        return redis_cli(self.dsn)


def by_reply(detail: str, place: Place) -> Words | None:
    """The fault an error reply names, whichever command it answered."""
    for start, words in _BY_REPLY:
        if start in detail:
            kind, message, hint = words
            message = message.format(said=safe(detail.partition(" ")[2]))
            return kind, message, hint.format(cli=place.cli, setting=place.setting, database=place.dsn.database)
    return None


_BY_REPLY: tuple[tuple[str, Words], ...] = (
    (
        "NOAUTH",
        (
            "no-password",
            "the server wants a password and the URL has none",
            "put the password into {setting}: redis://:PASSWORD@host:port/{database}",
        ),
    ),
    (
        "called without any password configured",
        (
            "needless-password",
            "the URL has a password and the server has none: logging in fails, so Celery cannot connect",
            "remove the password from {setting}, or set one: {cli} CONFIG SET requirepass ...",
        ),
    ),
    (
        "WRONGPASS",
        (
            "wrong-password",
            "wrong password, or an unknown or disabled user",
            "correct user and password in {setting}; with requirepass alone the URL names no user; look: {cli} ACL LOG",
        ),
    ),
    (
        "invalid password",  # before Redis 6
        ("wrong-password", "wrong password", "correct the password in {setting}"),
    ),
    (
        "DENIED",
        (
            "protected-mode",
            "protected mode: the server has no password and answers its own machine only",
            "set a password on the server (requirepass in redis.conf) and put it into {setting}",
        ),
    ),
    (
        "max number of clients",
        (
            "maxclients",
            "the server is full: its limit of clients (maxclients) is reached, so nobody new is let in",
            "{cli} CLIENT LIST   # from a connection still open: who holds them? More: CONFIG SET maxclients",
        ),
    ),
    (
        "DB index is out of range",
        (
            "wrong-database",
            "the server has no database of this number",
            "{cli} CONFIG GET databases   # then correct the number at the end of {setting}",
        ),
    ),
    (
        "SELECT is not allowed in cluster mode",
        (
            "cluster",
            "a Redis Cluster has only database 0, and Celery does not speak the cluster protocol",
            "point {setting} at a standalone Redis or at sentinels (sentinel://)",
        ),
    ),
    (
        "LOADING",
        ("loading", "not ready yet: {said}", "wait for it: {cli} INFO persistence"),
    ),
    (
        "MASTERDOWN",
        ("master-down", "a replica that lost its master and refuses stale answers", "{cli} INFO replication"),
    ),
)
