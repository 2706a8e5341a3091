"""A conversation with the broker, and what its breaking means."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from intelli_checks.model import Skip, Unavailable
from intelli_checks.probes.layout import Layout
from intelli_checks.probes.resp import Connection, DialError, ReplyError
from intelli_checks.text import safe


@contextmanager
def opened(layout: Layout, timeout: float, who: str = "the broker") -> Iterator[Connection]:
    """A connection to the database of `who`; everything in it ends after `timeout` seconds.

    Raises Unavailable when the connection breaks, and Skip when Redis refuses a command to this user: what a provider
    forbids is not visible, which is no fault of the system.
    """
    try:
        with Connection.open(layout.dsn, timeout, tls=layout.tls, via=layout.via).patient() as connection:
            yield connection
    except DialError as error:
        raise Unavailable(
            f"{who} broke off: {safe(error)}", hint="intelli-ops check redis", subject=layout.dsn.address
        ) from error
    except ReplyError as error:
        raise Skip(f"{who} refuses it: {safe(error)}") from error
