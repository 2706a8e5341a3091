"""Can each role use its Redis? One root check per role; whatever else is said about that Redis needs it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from intelli_checks.context import Context
from intelli_checks.dsn import Dsn
from intelli_checks.families.celery_started import look_there
from intelli_checks.families.redis_seen import ROLES, answers, endpoints
from intelli_checks.families.wording import listed
from intelli_checks.model import Finding, Severity, Skip, Stage, Unavailable, fail, info, warn
from intelli_checks.probes.redis import UNSURE, Endpoint
from intelli_checks.probes.redis_facts import RedisFacts, Refusal
from intelli_checks.registry import check
from intelli_checks.text import safe

_OF_THE_ROLE = frozenset({"wrong-database", "acl"})
"""Faults that a role has for itself where it shares the server with another, but not the whole URL."""


@check("redis.broker", stage=Stage.LIVE, timeout=6.0)
def broker(ctx: Context) -> Iterator[Finding]:
    """The broker is a Redis that takes messages.

    Looks up the name, connects, encrypts, logs in, selects the database, asks for a PING, writes a key of its own with
    a lifetime of seconds and takes it back, and rehearses what kombu does inside a transaction that is discarded. A
    PING alone proves little: a full Redis, a replica, one whose disk is full and a sentinel all answer it.

    The message names the step that broke; the hint is what to type. Any later check that needs this Redis is skipped
    until it holds. Of several URLs (`redis://a;redis://b`) the first that answers is the broker, as kombu has it.

    Where it cannot be reached and the workers on this machine take their messages from another Redis, the message says
    which, and the hint how to look there: this shell lacks a variable that they were started with.
    """
    found = [_served_elsewhere(ctx, _connected_from_before(ctx, one)) for one in _judge(ctx, "broker")]
    yield from found
    if not _kinds(found):
        yield from _passed_over(ctx.broker_endpoint)


def _connected_from_before(ctx: Context, finding: Finding) -> Finding:
    """Of a password that is refused: whether workers are connected all the same, by another one or since before."""
    if finding.facts.get("kind") not in {"wrong-password", "no-password"} or not ctx.still_connected:
        return finding
    pids = ", ".join(map(str, ctx.still_connected))
    return replace(
        finding,
        message=f"{finding.message}; worker (pid {pids}) is connected all the same: it was started with another "
        "password, or before the server's was changed",
        hint=f"{finding.hint}; if the server's was changed, restart worker {pids}: its next reconnect will fail",
    )


def _served_elsewhere(ctx: Context, finding: Finding) -> Finding:
    """Of a broker that is out of reach: whether every worker here is served by another, so that none need be started.

    A URL that was given by hand is meant, whatever the workers use.
    """
    if finding.facts.get("step") not in {"resolve", "connect"} or ctx.target.broker:
        return finding
    workers, ours = ctx.led_elsewhere, ctx.survey.broker
    if ours is None or not workers or not all(worker.address for worker in workers):
        return finding
    first = workers[0]
    pids = [worker.pid for worker in workers]
    who = f"worker pid {first.pid} uses" if len(pids) == 1 else f"worker pids {listed(map(str, pids))} use"
    there = ", ".join(dict.fromkeys(worker.address for worker in workers))
    return replace(
        finding,
        message=f"{finding.message}; {who} {safe(there)}, this shell's settings name {ours.address}",
        hint=look_there(first),
        facts={**finding.facts, "pids": pids, "variable": first.variable},
    )


def _passed_over(endpoint: Endpoint) -> Iterator[Finding]:
    for address in endpoint.passed_over:
        yield warn(
            f"{address} does not answer, so {endpoint.dsn.address} is the broker; once it is back, whoever connects "
            "anew goes there, and workers that stay take nothing from it",
            hint=f"start the server at {address}, then: intelli-ops restart-workers   # or take it out of the list",
            subject=endpoint.subject,
        )


@check("redis.results", stage=Stage.LIVE, timeout=6.0)
def results(ctx: Context) -> Iterator[Finding]:
    """The result store is a Redis that takes results.

    With a Redis result backend, `delay()` subscribes to the result *before* it publishes the message: while the result
    store is down nothing is enqueued and each call blocks for about 19 seconds, although the broker is healthy.

    Restore the store, or set `ignore_result=True` on tasks whose result nobody reads.
    """
    yield from _judge(ctx, "results")


@check("redis.channels", stage=Stage.LIVE, timeout=6.0)
def channels(ctx: Context) -> Iterator[Finding]:
    """The channel layer's Redis answers and takes messages.

    Every host of every Redis channel layer is asked. While one is down, `group_send` raises in the worker or loses the
    message, and WebSocket consumers are closed with code 1011.
    """
    yield from _judge(ctx, "channels")


def _judge(ctx: Context, role: str) -> Iterator[Finding]:
    """What is wrong with `role`'s Redis; a fault that an earlier role already reported for the same server is its."""
    found = _findings(ctx, role)
    servers, kinds = _servers(ctx, role), _kinds(found)
    for earlier in ROLES[: ROLES.index(role)]:
        known = _known_of(ctx, earlier, servers, role)
        if kinds & known or (known and kinds == {UNSURE}):
            raise Skip(f"the same server as redis.{earlier}", because=f"redis.{earlier}")
    yield from found


def _known_of(ctx: Context, role: str, servers: frozenset[str], later: str) -> frozenset[str]:
    """Faults already reported for `role`, when it is on one of the `servers` of a `later` one."""
    try:
        same = servers & _servers(ctx, role)
        own = frozenset() if _identities(ctx, later) <= _identities(ctx, role) else _OF_THE_ROLE
        return _kinds(_findings(ctx, role)) - own if same else frozenset()
    except Skip:
        return frozenset()


def _servers(ctx: Context, role: str) -> frozenset[str]:
    try:
        return frozenset(endpoint.server for endpoint in endpoints(ctx, role))
    except Unavailable:
        return frozenset()


def _identities(ctx: Context, role: str) -> frozenset[tuple[object, ...]]:
    """Server, login and database of each of the role's endpoints."""
    try:
        return frozenset(endpoint.identity for endpoint in endpoints(ctx, role))
    except Unavailable:
        return frozenset()


def _kinds(findings: list[Finding]) -> frozenset[str]:
    return frozenset(str(found.facts.get("kind")) for found in findings if found.severity is Severity.ERROR)


def _findings(ctx: Context, role: str) -> list[Finding]:
    found: list[Finding] = []
    for answer in answers(ctx, role):
        if isinstance(answer, Unavailable) and answer.cause:
            raise answer
        found += [answer.as_finding()] if isinstance(answer, Unavailable) else list(usable(answer))
    return found


def usable(facts: RedisFacts) -> Iterator[Finding]:
    """Whether the server lets the role work, judged from what it refused and what it is."""
    subject = f"{facts.role} {facts.address}/{facts.database}"
    mode, refused = facts.info.get("redis_mode", ""), {refusal.code: refusal for refusal in facts.refusals}
    if mode == "sentinel":
        yield _failed(
            facts,
            "sentinel",
            "this is a sentinel, not a Redis: it answers PING and holds no data",
            "write sentinel://HOST:26379/0 with master_name in the transport options",
        )
    elif mode == "cluster" and not _one_slot(facts):
        yield _failed(
            facts,
            "cluster",
            "this is a Redis Cluster: Celery and channels_redis need keys of several slots at once",
            "use a standalone Redis or sentinels (sentinel://)",
        )
    elif code := next((code for code in _REFUSED if code in refused), None):
        kind, message, hint = _REFUSED[code]
        told = {
            "cli": facts.cli,
            "master": _master(facts),
            "used": facts.info.get("used_memory_human", "?"),
            "limit": facts.info.get("maxmemory_human", "?"),
            "dir": facts.config.get("dir", "its dir"),
        }
        yield _failed(facts, kind, message.format(**told), hint.format(**told), reply=refused[code].text)
    elif denied := _denied(facts):
        yield from denied
    elif lacking := [refusal.command for refusal in facts.refusals if refusal.code == "UNKNOWN"]:
        listed = ", ".join(dict.fromkeys(command.split()[0] for command in lacking))
        yield _failed(
            facts,
            "unknown-command",
            f"the server does not know {listed}, which the {facts.role} needs: too old, renamed away, or a proxy",
            f"grep rename-command /etc/redis/redis.conf   # or a newer server; "
            f"{facts.cli} COMMAND INFO {listed.replace(',', '')}",
        )
    elif refused:
        other = next(iter(refused.values()))
        yield _failed(facts, "refused", f"{other.command} was refused: {other.text}", f"{facts.cli}   # try it by hand")
    else:
        yield from _holds(facts, subject)


def _holds(facts: RedisFacts, subject: str) -> Iterator[Finding]:
    what = f"{facts.product} {facts.version}".strip()
    yield info(f"{what} answers in {facts.ping_ms:.1f} ms", subject=subject, url=facts.at, version=facts.version)
    if facts.info.get("role") == "slave":
        yield warn(
            f"a replica that accepts writes: the next synchronisation with {_master(facts)} throws them away",
            hint=f"point the URL at the primary {_master(facts)}",
            subject=subject,
            kind="writable-replica",
        )


_REFUSED = {
    "SILENT": (
        "writes-paused",
        "reads are answered and writes are not: paused for writing (CLIENT PAUSE), or a failover is going on",
        "{cli} CLIENT UNPAUSE",
    ),
    "READONLY": (
        "replica",
        "a read-only replica: PING and LLEN work, every publish fails",
        "point the URL at the primary {master}, or use sentinel:// so that a failover is followed",
    ),
    "OOM": (
        "oom",
        "memory is full ({used} of {limit}) and the policy is noeviction: every write is refused, and workers exit",
        "{cli} CONFIG SET maxmemory 2gb   # then find what filled it: {cli} --bigkeys",
    ),
    "MISCONF": (
        "misconf",
        "saving to disk fails, so every write is refused (MISCONF), and workers exit",
        "df -h {dir}; ls -ld {dir}; then: {cli} BGSAVE and {cli} INFO persistence",
    ),
    "NOREPLICAS": (
        "no-replicas",
        "not enough replicas are connected, so every write is refused (min-replicas-to-write)",
        "{cli} INFO replication",
    ),
    "MOVED": (
        "cluster",
        "this is one node of a Redis Cluster, which Celery and channels_redis do not speak",
        "use a standalone Redis or sentinels (sentinel://)",
    ),
    "CLUSTERDOWN": ("cluster", "a Redis Cluster, and it is down", "use a standalone Redis or sentinels (sentinel://)"),
    "BUSY": ("busy-script", "a Lua script blocks the server", "{cli} SCRIPT KILL"),
    "LOST": (
        "lost",
        "a value just written was not there when read back",
        "{cli}   # a proxy between, or eviction at once?",
    ),
}


def _denied(facts: RedisFacts) -> list[Finding]:
    """ACL denials. Names guessed from Celery's defaults prove nothing about keys and channels, only about commands."""
    refused = [refusal for refusal in facts.refusals if refusal.code == "NOPERM"]
    if not refused:
        return []
    certain = [r for r in refused if not facts.guessed or "to run" in r.text or "permissions to run" in r.text]
    listed = ", ".join(dict.fromkeys(refusal.command for refusal in certain or refused))
    message = f"the user of this URL may not run what the {facts.role} needs: {listed}"
    administrator = re.sub(r" --user \S+", "", facts.cli)
    user = safe(Dsn(facts.at).username or "default")
    hint = f"{administrator} ACL SETUSER {user} {_rules(certain or refused)}   # as an administrator; see ACL LOG"
    if certain:
        return [_failed(facts, "acl", message, hint, denied=listed, reply=certain[0].text)]
    subject = f"{facts.role} {facts.address}/{facts.database}"
    message = f"the user of this URL is denied some of Celery's default keys or channels: {listed}"
    return [warn(message, hint=hint, subject=subject, kind="acl-guess", denied=listed)]


def _rules(refused: list[Refusal]) -> str:
    """What would grant it, in the words of ACL SETUSER."""
    channels = any("channel" in refusal.text for refusal in refused)
    keys = any("key" in refusal.text and "channel" not in refusal.text for refusal in refused)
    commands = [r.command.split()[0].lower() for r in refused if "run" in r.text]
    granted = [f"+{command}" for command in dict.fromkeys(commands)]
    return " ".join(granted + ["'~*'"] * keys + ["'&*'"] * channels) or "+COMMAND '~KEYS' '&CHANNELS'"


def _failed(facts: RedisFacts, kind: str, message: str, hint: str, **more: object) -> Finding:
    subject = f"{facts.role} {facts.address}/{facts.database}"
    return fail(message, hint=hint, subject=subject, kind=kind, url=facts.at, **more)


def _one_slot(facts: RedisFacts) -> bool:
    """A hash tag in the key prefix keeps all keys in one slot, which is the one way Celery runs on a cluster."""
    return "{" in facts.keyprefix and not any(refusal.code in {"MOVED", "CLUSTERDOWN"} for refusal in facts.refusals)


def _master(facts: RedisFacts) -> str:
    return f"{facts.info.get('master_host', '?')}:{facts.info.get('master_port', '?')}"
