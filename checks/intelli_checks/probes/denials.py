"""Whom Redis refused lately, as ACL LOG tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from intelli_checks.probes.resp import Connection, ReplyError

ENTRIES = 20


@dataclass(frozen=True, slots=True)
class Denial:
    """One kind of refusal; Redis counts equal ones within a minute together."""

    user: str
    reason: str
    """`auth`, `command`, `key` or `channel`."""
    what: str
    """The command, key or channel that was denied."""
    age: float
    """Seconds since the last time."""
    times: int = 1


def gather(connection: Connection) -> tuple[Denial, ...]:
    """The newest refusals, empty where Redis is older than 6 or does not let this user see them."""
    try:
        reply = connection.call("ACL", "LOG", str(ENTRIES))
    except ReplyError:
        return ()
    return tuple(parse(entry) for entry in reply if isinstance(entry, list)) if isinstance(reply, list) else ()


def parse(entry: Sequence[object]) -> Denial:
    """One entry of the log, names and values in turns."""
    texts = [item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item) for item in entry]
    told = dict(zip(texts[::2], texts[1::2], strict=False))
    times, age = told.get("count", ""), told.get("age-seconds", "")
    return Denial(
        user=told.get("username", ""),
        reason=told.get("reason", ""),
        what=told.get("object", ""),
        age=float(age) if age.replace(".", "", 1).isdigit() else 0.0,
        times=int(times) if times.isdigit() else 1,
    )
