"""Can the declared channel layer carry what workers send to WebSockets?"""

from __future__ import annotations

from collections.abc import Iterator

from intelli_checks import Finding, Stage, check, fail, info, warn
from intelli_checks.dsn import Dsn
from intelli_checks.families.declared import for_tests, of_channels, spare_database, version_of
from intelli_checks.families.wording import in_lower_case
from intelli_checks.probes.survey import LayerDecl, Survey

IN_MEMORY = "InMemoryChannelLayer"
SOCKET_LIVES = 3600
"""Seconds a page may well stay open."""
POOL = 50
"""Connections one web process may well need at once: each consumer that waits, sends or joins a group uses one."""
BLOCKING_READ = 5.0
"""Seconds one BZPOPMIN of channels_redis waits on the server (channels_redis.core, brpop_timeout)."""


@check("channels.layer", stage=Stage.STATIC, needs=["celery.app"])
@of_channels
def layer(survey: Survey) -> Iterator[Finding]:
    """The channel layer can be built as declared.

    Cause: a backend that does not import (channels_redis is missing, a typo), `hosts` that is a string or one address
    instead of a list, an entry without redis://, an option that the layer or redis-py does not take, encryption keys
    that are no list, an option beside CONFIG, or a pool of a few connections. Shows as: every handshake ends with 500,
    every group_send raises; or, beside CONFIG, another Redis is used than was meant.
    Fix: install channels-redis, write hosts as a list. Example: "hosts": "redis://redis:6379/1".
    """
    for one in survey.layers:
        if one.problem:
            yield fail(
                f"layer {one.alias}: {one.problem}",
                hint=_rebuilt(one.problem),
                subject=one.alias,
            )
        expiry = one.config.get("group_expiry")
        if isinstance(expiry, (int, float)) and expiry < SOCKET_LIVES:
            yield warn(
                f"layer {one.alias}: group_expiry is {expiry:g} s: a socket open longer leaves its groups in silence",
                hint="leave group_expiry away (a day), or above the longest a page stays open",
                subject=one.alias,
            )
        yield from _too_few(one)
    if not survey.layers and survey.websocket_routes:
        yield info("WebSocket routes but no CHANNEL_LAYERS: consumers can be reached by their own client only")


def _too_few(one: LayerDecl) -> Iterator[Finding]:
    """A pool that has no connection left does not wait: redis-py raises MaxConnectionsError (`ConnectionPool`)."""
    given = [options.get("max_connections") for options in one.options]
    few = [number for number in given if isinstance(number, int) and 0 < number < POOL]
    if few:
        yield warn(
            f"layer {one.alias}: max_connections is {min(few)}: where more sockets act at once, the next handshake or "
            "group_send ends with MaxConnectionsError",
            hint=f"leave max_connections away (no limit), or {POOL} and more",
            subject=one.alias,
        )


def _rebuilt(problem: str) -> str:
    if "No module named" in problem:
        return "pip install channels-redis"
    if hint := in_lower_case(problem):
        return hint
    if "'cryptography'" in problem:
        return "pip install cryptography"
    if "encryption_keys" in problem or "Fernet" in problem:
        return '"symmetric_encryption_keys": [SECRET_KEY], the same list for the web server and the workers'
    if problem.startswith("AttributeError: module"):
        return '"BACKEND": "channels_redis.core.RedisChannelLayer"'
    return '"default": {"BACKEND": "...", "CONFIG": {"hosts": ["redis://127.0.0.1:6379/1"]}}'


@check("channels.in_memory", stage=Stage.STATIC, needs=["celery.app"])
@of_channels
def in_memory(survey: Survey) -> Iterator[Finding]:
    """The channel layer joins processes.

    InMemoryChannelLayer lives inside one process: what a worker sends to a group never reaches the sockets of the web
    server, without any error. It is for tests. Shows as: jobs finish, the socket stays silent.
    Fix: channels_redis. Example: CHANNEL_LAYERS copied from a tutorial.
    """
    for one in survey.layers:
        if not one.backend.endswith(IN_MEMORY) or for_tests(survey) or survey.eager:
            continue
        used = {str(route.get("layer") or "default") for route in survey.websocket_routes}
        if used and one.alias not in used:  # beside a layer that joins processes, one that need not
            yield info(f"layer {one.alias} is in memory, and no consumer uses it", subject=one.alias)
            continue
        message = f"layer {one.alias} is in memory: events sent by a worker never reach a socket"
        hint = '"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": ["redis://127.0.0.1:6379/1"]}'
        if survey.celery_app:
            yield fail(message, hint=hint, subject=one.alias)
        else:
            yield warn(
                f"layer {one.alias} is in memory: a second web process hears nothing", hint=hint, subject=one.alias
            )


@check("channels.idle", stage=Stage.STATIC, needs=["celery.app"])
@of_channels
def idle(survey: Survey) -> Iterator[Finding]:
    """Idle WebSockets stay open.

    Cause: redis-py 8 gives every connection a read timeout of 5 s; channels_redis up to 4.3.0 waits exactly 5 s for the
    next message, so the client gives up first. Shows as: every idle socket closes with 1011 after 5 to 6 s, on a system
    where any quick test passes. Fix: a socket_timeout of None or above 5 for each host, or redis<8.
    Example: "hosts": [{"address": "redis://127.0.0.1:6379/1", "socket_timeout": None}].
    """
    redis, channels = version_of(survey, "redis"), version_of(survey, "channels-redis")
    for one in survey.layers:
        if one.problem or not one.backend.endswith("core.RedisChannelLayer"):
            continue
        for number, host in enumerate(one.hosts):
            timeout = _read_timeout(one, number, host, redis)
            if timeout is not None and timeout <= BLOCKING_READ and (channels or (0,)) <= (4, 3, 0):
                yield fail(
                    f"every idle WebSocket is closed after about {BLOCKING_READ:g} s: redis-py "
                    f"{survey.versions.get('redis', '?')} stops reading from {host} after {timeout:g} s",
                    hint=f'in CHANNEL_LAYERS: "hosts": [{{"address": "{host}", "socket_timeout": None}}], then restart',
                    subject=one.alias,
                    socket_timeout=timeout,
                )


def _read_timeout(one: LayerDecl, number: int, host: Dsn, redis: tuple[int, ...] | None) -> float | None:
    """Seconds after which redis-py stops waiting for this host; None when it waits for ever."""
    options = one.options[number] if number < len(one.options) else {}
    given = options.get("socket_timeout", host.options.get("socket_timeout", "unset"))
    if given == "unset":
        return 5.0 if redis and redis >= (8,) else None
    try:
        return float(given)
    except (TypeError, ValueError):
        return None


@check("channels.database", stage=Stage.STATIC, needs=["celery.app"])
@of_channels
def database(survey: Survey) -> Iterator[Finding]:
    """Channel layer and broker do not share one Redis database.

    They run on one server well, but in one database a FLUSHDB, an eviction or a prefix mistake of the one takes the
    other with it. Fix: another number. Example: broker redis://h/0, layer redis://h/1.
    """
    if survey.broker is None or not survey.broker.is_redis:
        return
    for one in survey.layers:
        for host in one.hosts:
            if (host.address, host.database) == (survey.broker.address, survey.broker.database):
                yield warn(
                    f"layer {one.alias} and the broker share database {host.database} of {host.address}",
                    hint=f"give the layer a database of its own: redis://{host.address}/{spare_database(survey)}",
                    subject=one.alias,
                )


@check("channels.version", stage=Stage.STATIC, needs=["celery.app"])
@of_channels
def version(survey: Survey) -> Iterator[Finding]:
    """The installed channels_redis can be called from workers.

    Before 4.1 its connections outlived their event loop: `async_to_sync(layer.group_send)` in a task fails now and then
    with "Event loop is closed". Fix: pip install -U channels-redis.
    """
    found = version_of(survey, "channels-redis")
    if found and (4, 0) <= found < (4, 1):
        yield warn(
            f"channels-redis {survey.versions['channels-redis']} fails in workers: Event loop is closed",
            hint="pip install 'channels-redis>=4.1'",
        )
