"""Who else can reach this Redis, and with what?"""

from __future__ import annotations

from collections.abc import Iterator

from intelli_checks.context import Context
from intelli_checks.families.redis_seen import Server, servers
from intelli_checks.model import Finding, Stage, info, warn
from intelli_checks.registry import check

Version = tuple[int, ...]

_LUA_FIXED: dict[str, tuple[Version, ...]] = {
    "redis": ((6, 2, 20), (7, 2, 11), (7, 4, 6), (8, 0, 4), (8, 2, 2)),
    "valkey": ((7, 2, 11), (8, 0, 6), (8, 1, 4)),
}
"""First release of each line without CVE-2025-49844, remote code execution through Lua (the makers' advisories)."""
_NEEDED: Version = (5, 0)
"""channels_redis uses BZPOPMIN and ZPOPMIN, kombu's and Celery's clients expect no less."""
_END_OF_LIFE: Version = (6, 2)
_LOOPBACK = frozenset({"127.0.0.1", "::1", "-::1", "localhost"})


@check("redis.exposure", stage=Stage.READY, needs=["redis.broker"])
def exposure(ctx: Context) -> Iterator[Finding]:
    """Nobody reaches Redis without a password.

    Whoever reaches the broker can read and change every task, run any task with any arguments and shut down all
    workers: remote control has no authentication of its own.

    Bind to loopback or a private network, set a password or ACL users, and use TLS with a checked certificate on any
    network that is not yours alone.
    """
    for server in servers(ctx):
        yield from _open(server)
        yield from _unverified(server)


@check("redis.version", stage=Stage.READY, needs=["redis.broker"])
def version(ctx: Context) -> Iterator[Finding]:
    """The Redis version is one that is maintained.

    Distributions backport fixes without changing the version number: take a finding as a reason to look, not as proof.
    """
    for server in servers(ctx):
        yield from _age(server)


def _open(server: Server) -> Iterator[Finding]:
    facts = server.facts
    if not facts.open_to_all:
        return
    bind, protected = facts.config.get("bind"), facts.config.get("protected-mode")
    if bind is None and facts.is_loopback:
        yield info("no password; reached over loopback", subject=server.subject)
    elif facts.is_unix:
        yield info("no password; reached through a socket file", subject=server.subject)
    elif bind is not None and (protected == "yes" or (bind.split() and set(bind.split()) <= _LOOPBACK)):
        yield info("no password, but it answers this machine only", subject=server.subject, bind=bind)
    else:
        yield warn(
            f"no password, and it answers other machines (bind {bind or 'not visible'}): whoever reaches "
            f"{facts.address} can read, change and run tasks",
            hint=f"{facts.cli} CONFIG SET requirepass ...   # then the password in every URL; or bind 127.0.0.1",
            subject=server.subject,
            bind=bind or "",
            protected_mode=protected or "",
        )


def _unverified(server: Server) -> Iterator[Finding]:
    facts = server.facts
    if facts.verified is False:
        message = "TLS without checking the certificate: whoever is in between can read and change tasks"
        if facts.is_loopback:
            yield info(message, subject=server.subject)
        else:
            hint = "append ?ssl_cert_reqs=CERT_REQUIRED to the URL (kombu checks nothing when no ssl option is given)"
            yield warn(message, hint=hint, subject=server.subject)


def _age(server: Server) -> Iterator[Finding]:
    facts = server.facts
    found = parse_version(facts.version)
    if not found:
        return
    told = {"product": facts.product, "version": facts.version}
    if facts.product == "redis" and found < _NEEDED:
        message = f"Redis {facts.version} lacks commands Celery and channels_redis use (BZPOPMIN, ZPOPMIN)"
        yield warn(message, hint="install Redis 7.2 or newer", subject=server.subject, **told)
    elif facts.product == "redis" and found < _END_OF_LIFE:
        message = f"Redis {facts.version} gets no more fixes from its makers"
        yield warn(message, hint="install Redis 7.2 or newer, or Valkey", subject=server.subject, **told)
    elif (fixed := lua_fix(facts.product, found)) and found < fixed:
        yield info(
            f"{facts.product} {facts.version}: CVE-2025-49844 (Lua) is fixed in {'.'.join(map(str, fixed))}; "
            "distributions backport, so verify with theirs",
            subject=server.subject,
            **told,
        )
    else:
        yield info(f"{facts.product} {facts.version}", subject=server.subject, **told)


def parse_version(text: str) -> Version:
    """`7.0.15` as numbers; empty for what is not a version."""
    parts = text.partition("-")[0].split(".")
    return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else ()


def lua_fix(product: str, found: Version) -> Version | None:
    """The first release that is not vulnerable on the line of `found`, or on the next line that has one."""
    return next((fixed for fixed in _LUA_FIXED.get(product, ()) if fixed[:2] >= found[:2]), None)
