"""A conversation with the broker, and what its breaking means."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from intelli_checks.model import Skip, Unavailable
from intelli_checks.probes.layout import Layout
from intelli_checks.probes.redis_facts import redis_cli
from intelli_checks.probes.resp import Connection, DialError, ReplyError
from intelli_checks.text import safe


@contextmanager
def opened(layout: Layout, timeout: float, who: str = "the broker", cause: str | None = None) -> Iterator[Connection]:
    """A connection to the database of `who`; everything in it ends after `timeout` seconds.

    Raises Unavailable when the connection breaks, with the check that says it for all as its `cause`, and Skip when
    Redis refuses a command to this user: what a provider forbids is not visible, which is no fault of the system.
    """
    try:
        with Connection.open(layout.dsn, timeout, tls=layout.tls, via=layout.via).patient() as connection:
            yield connection
    except DialError as error:
        raise Unavailable(
            f"{who} broke off: {safe(error)}",
            hint=f"{redis_cli(layout.dsn)} ping",
            subject=layout.dsn.address,
            cause=cause,
        ) from error
    except ReplyError as error:
        raise Skip(f"{who} refuses it: {safe(error)}") from error
