"""Who is connected to the broker, as CLIENT LIST tells."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from intelli_checks.probes.resp import Connection, ReplyError


@dataclass(frozen=True, slots=True)
class Client:
    """One connection, from Redis's side."""

    address: str
    """`ip:port` of the other end."""
    database: int
    command: str
    """The last command it sent."""
    blocked: bool
    """Waiting in a blocking command right now."""
    idle: int
    """Seconds since its last command."""
    age: int
    """Seconds since it connected."""
    patterns: int = 0
    """Pattern subscriptions it holds."""

    @property
    def consumes(self) -> bool:
        """A worker takes messages over one connection that does nothing else."""
        return self.command == "brpop"

    @property
    def host(self) -> str:
        return self.address.rpartition(":")[0]


def listing(connection: Connection, own: Collection[str] = ()) -> tuple[Client, ...] | None:
    """Every connection but this one and those in `own`; None where the command is not allowed."""
    try:
        reply = connection.call("CLIENT", "LIST")
    except ReplyError:
        return None
    lines = reply.decode("utf-8", "replace").splitlines() if isinstance(reply, bytes) else []
    mine = {connection.local_address, *own}
    return tuple(client for line in lines if (client := parse(line)) and client.address not in mine)


def parse(line: str) -> Client | None:
    """One line of CLIENT LIST; None for a line without an address."""
    fields = dict(part.split("=", 1) for part in line.split(" ") if "=" in part)
    if not fields.get("addr"):
        return None
    return Client(
        address=fields["addr"],
        database=_number(fields.get("db")),
        command=fields.get("cmd", "").lower(),
        blocked="b" in fields.get("flags", ""),
        idle=_number(fields.get("idle")),
        age=_number(fields.get("age")),
        patterns=_number(fields.get("psub")),
    )


def _number(text: str | None) -> int:
    return int(text) if text and text.isdigit() else 0
