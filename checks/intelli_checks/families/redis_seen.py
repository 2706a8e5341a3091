"""The Redis servers of this system as checks ask about them: by role, and each server once."""

from __future__ import annotations

from dataclasses import dataclass, replace

from intelli_checks.context import Context
from intelli_checks.model import Skip, Unavailable
from intelli_checks.probes.redis import Endpoint
from intelli_checks.probes.redis_facts import RedisFacts

ROLES = ("broker", "results", "channels")


@dataclass(frozen=True, slots=True)
class Server:
    """One Redis server that answered, and what it is used for."""

    facts: RedisFacts
    roles: tuple[str, ...]

    @property
    def subject(self) -> str:
        return f"redis {self.facts.address} ({', '.join(self.roles)})"

    @property
    def is_broker(self) -> bool:
        return "broker" in self.roles


def endpoints(ctx: Context, role: str) -> tuple[Endpoint, ...]:
    """Where `role` is; raises Skip where it is not on a Redis, Unavailable where that cannot be found out."""
    match role:
        case "broker":
            return (ctx.broker_endpoint,)
        case "results":
            return (ctx.results_endpoint,)
        case _:
            return ctx.channels_endpoints


def answers(ctx: Context, role: str) -> tuple[RedisFacts | Unavailable, ...]:
    """What each Redis of `role` answered, or why it did not; raises Skip where the role is not on a Redis."""
    try:
        match role:
            case "broker":
                return (ctx.redis_broker,)
            case "results":
                return (ctx.redis_results,)
            case _:
                return ctx.redis_channels
    except Unavailable as outage:
        return (outage,)


def servers(ctx: Context) -> tuple[Server, ...]:
    """Every server that answered, once, with all its roles; raises Skip when none did."""
    found: dict[str, Server] = {}
    for role in ROLES:
        for facts in _answered(ctx, role):
            key = facts.info.get("run_id") or facts.address
            known = found.get(key)
            roles = (*known.roles, role) if known and role not in known.roles else known.roles if known else (role,)
            found[key] = replace(known, roles=roles) if known else Server(facts, roles)
    if not found:
        raise Skip("no Redis to ask")
    return tuple(found.values())


def _answered(ctx: Context, role: str) -> list[RedisFacts]:
    try:
        return [answer for answer in answers(ctx, role) if isinstance(answer, RedisFacts)]
    except Skip:
        return []
