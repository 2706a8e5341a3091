"""Can the declared channel layer carry what workers send to WebSockets?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from intelli_checks import Finding, Skip, Stage, check, fail, info, warn
from intelli_checks.dsn import Dsn
from intelli_checks.families.declared import (
    close_to,
    for_tests,
    listed,
    of_channels,
    place_of,
    told_in_time,
    usage,
    version_of,
)
from intelli_checks.families.wording import in_lower_case
from intelli_checks.probes.survey import LayerDecl, Survey

IN_MEMORY = "InMemoryChannelLayer"
SOCKET_LIVES = 3600
"""Seconds a page may well stay open."""
BLOCKING_READ = 5.0
"""Seconds one BZPOPMIN of channels_redis waits on the server (channels_redis.core, brpop_timeout)."""


@check("channels.layer", stage=Stage.STATIC, needs=["celery.app"])
@of_channels
def layer(survey: Survey) -> Iterator[Finding]:
    """The channel layer can be built as declared.

    Cause: a backend that does not import (channels_redis is missing, a typo), `hosts` that is a string or one address
    instead of a list, an entry without redis://, an option that the layer or redis-py does not take, encryption keys
    that are no list, or an option beside CONFIG. Shows as: every handshake ends with 500, every
    group_send raises; or, beside CONFIG, another Redis is used than was meant.
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
    if not survey.layers and survey.websocket_routes:
        yield info("WebSocket routes but no CHANNEL_LAYERS: consumers can be reached by their own client only")


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
                    hint=f"give the layer database {host.database + 1}: redis://{host.address}/{host.database + 1}",
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


# -- the ASGI application ---------------------------------------------------------------------------------------------


@check("channels.asgi", stage=Stage.STATIC, needs=["celery.app"])
@of_channels
def asgi(survey: Survey) -> Iterator[Finding]:
    """There is an ASGI application, it imports, and it takes WebSockets.

    Cause: ASGI_APPLICATION is not set (`manage.py check` says nothing, `runserver` raises CommandError), has a colon in
    place of its last dot, its module does not import, or only after Django's apps are loaded (models before
    get_asgi_application()), or ProtocolTypeRouter has no "websocket" entry. Shows as: the server does not start, or
    every handshake ends with 500. Fix: ASGI_APPLICATION = "config.asgi.application".
    """
    if early := survey.extra.get("asgi_early"):
        where = place_of(survey, early)
        yield fail(
            f"{where} imports models before Django is ready: a server that is started with {_named(survey)} ends with "
            "AppRegistryNotReady (runserver does not)",
            hint=f"call get_asgi_application() above the import at {where}, and keep its result for the router",
            subject=where,
        )
        return
    if error := told_in_time(survey.error("asgi")):
        where = place_of(survey, error)
        yield fail(
            f"the ASGI application does not load: {error['type']}: {error['message']}"
            + (f" ({where})" if where else ""),
            hint=str(error.get("hint") or f"correct {where or 'ASGI_APPLICATION'}, then restart the web server"),
        )
        return
    if not survey.django.get("ASGI_APPLICATION"):
        if survey.websocket_routes and not _runserver_is_of_channels(survey):
            yield info("ASGI_APPLICATION is not set: the ASGI server is told the application by hand")
            return
        files = survey.django.get("asgi_files") or ["config/asgi.py"]
        module = str(files[0]).removesuffix(".py").replace("/", ".")
        yield fail("ASGI_APPLICATION is not set", hint=f'ASGI_APPLICATION = "{module}.application"')
        return
    if ":" in (named := str(survey.django["ASGI_APPLICATION"])) and _runserver_is_of_channels(survey):
        yield fail(
            f"ASGI_APPLICATION is {named}, as a server's command line has it: runserver finds no such attribute",
            hint=f'ASGI_APPLICATION = "{named.replace(":", ".")}"',
        )
        return
    protocols = survey.extra.get("asgi_protocols") or ()
    if survey.extra.get("asgi_opaque") and not survey.websocket_routes:
        yield info(f"{survey.django['ASGI_APPLICATION']} is code of its own: what it does with WebSockets is not told")
    elif "websocket" not in protocols and not survey.websocket_routes:
        if not (consumers := usage(survey, "consumer")):
            yield info("no consumer of WebSockets in the code, and no route to one")
            return
        yield fail(
            f"{survey.django['ASGI_APPLICATION']} takes no WebSocket, so every handshake is refused; no route leads to "
            f"{listed([str(one['name']) for one in consumers])}",
            hint='ProtocolTypeRouter({"http": ..., "websocket": URLRouter(...)})',
        )


def _named(survey: Survey) -> str:
    """The application as a command line names it."""
    module, _, name = str(survey.extra.get("asgi_application") or "config.asgi.application").rpartition(".")
    return f"{module}:{name}"


def _runserver_is_of_channels(survey: Survey) -> bool:
    """Whether a `runserver` that asks for ASGI_APPLICATION is installed: daphne's, or that of Channels before 4."""
    apps = [str(app) for app in survey.django.get("INSTALLED_APPS") or ()]
    return any(app.startswith("daphne") for app in apps) or (version_of(survey, "channels") or (4,)) < (4,)


@check("channels.server", stage=Stage.STATIC, needs=["channels.asgi"])
@of_channels
def server(survey: Survey) -> Iterator[Finding]:
    """The development server takes WebSockets.

    daphne must come before django.contrib.staticfiles in INSTALLED_APPS (else daphne.E001, and runserver refuses);
    where it is missing, runserver serves WSGI and every handshake ends with 404. Another ASGI server needs neither.
    """
    apps = [str(app) for app in survey.django.get("INSTALLED_APPS") or ()]
    first = next((position for position, app in enumerate(apps) if app.startswith("daphne")), None)
    files = apps.index("django.contrib.staticfiles") if "django.contrib.staticfiles" in apps else None
    if first is not None and files is not None and first > files:
        yield fail("daphne comes after django.contrib.staticfiles", hint='INSTALLED_APPS = ["daphne", ...]: first')
    elif first is None and (version_of(survey, "channels") or (4,)) >= (4,):
        yield info(
            "runserver serves WSGI, so no WebSockets: daphne is not in INSTALLED_APPS (other servers do not need it)"
        )


@check("channels.routes", stage=Stage.STATIC, needs=["channels.asgi"])
@of_channels
def routes(survey: Survey) -> Iterator[Finding]:
    """WebSocket routes can match, and lead to applications.

    Channels takes the leading slash off before it matches, so a pattern that starts with one never does; a consumer
    class without `.as_asgi()` is not an application. `path()` takes a regular expression for plain text, and a
    regular expression without `$` takes every longer path from the routes after it. Shows as: 500 "No route found" or
    TypeError at the handshake, or the wrong consumer answers.
    Example: re_path(r"^/ws/jobs/$", JobConsumer).
    """
    for route in survey.websocket_routes:
        path = str(route["path"])
        consumer = str(route["consumer"]).rpartition(".")[2]
        if route.get("problem"):
            yield fail(f"{path} leads to {route['problem']}", hint=f"{consumer}.as_asgi()", subject=path)
        elif path.startswith(("/", "^/")):
            hint = f'write "{path.replace("/", "", 1)}"'
            yield fail(f"{path} never matches: Channels removes the leading slash", hint=hint, subject=path)
        elif route.get("literal"):
            hint = "re_path(...) in place of path(...)"
            yield fail(
                f"{path} never matches: path() takes a regular expression for plain text", hint=hint, subject=path
            )
        elif route.get("shadowed") is not None:
            before = str(route["shadowed"])
            yield fail(
                f"{path} is never reached: {before!r} before it has no $ and takes every path that begins so",
                hint=f're_path(r"{before}$", ...), or put it after {path}',
                subject=path,
            )


@check("channels.handlers", stage=Stage.STATIC, needs=["channels.asgi"])
@of_channels
def handlers(survey: Survey) -> Iterator[Finding]:
    """Every event that is sent has a handler.

    A group message of type "job.event" calls the consumer's method `job_event`; without it, or without a type, the
    consumer raises "No handler for message type" and its socket closes with 1011, while the sender sees success.
    Fix: the method, or the type's name.
    """
    if usage(survey, "receives"):
        raise Skip("the code reads from the layer itself, and needs no handler for what it reads")
    for use in usage(survey, "untyped"):
        yield fail(
            "an event is sent without a type: every consumer that gets it raises ValueError, and its socket closes",
            hint=f'{{"type": "job.event", ...}} at {place_of(survey, use)}, for the consumer\'s method job_event',
            subject=place_of(survey, use),
        )
    known = {handler for route in survey.websocket_routes for handler in route.get("handlers") or ()}
    if not known:
        raise Skip("no consumer to compare with")
    known |= set(survey.extra.get("listening") or ())
    for use in usage(survey, "event"):
        method = str(use["type"]).replace(".", "_")
        if method not in known:
            yield fail(
                f"no consumer has a method {method} for events of type {use['type']}{close_to(method, known)}",
                hint=f"def {method}(self, event) in the consumer, or correct the type at {place_of(survey, use)}",
                subject=place_of(survey, use),
            )


@check("channels.group_names", stage=Stage.STATIC, needs=["channels.asgi"])
@of_channels
def group_names(survey: Survey) -> Iterator[Finding]:
    """Events are sent to groups that somebody joins.

    A group is only a name: `group_send` to one that no consumer joins succeeds and reaches nobody. Compares the names
    in the code, where all of them can be told from it. Shows as: no events, no errors. Fix: one function that makes the
    name, for both sides. Example: consumers join f"job_{id}", a task sends to f"job-{id}".
    Names have letters, digits, hyphens, underscores and periods alone; any other raises TypeError where it is used.
    """
    yield from _illegal(survey)
    joins = usage(survey, "group_add")
    names = [str(join["group"]) for join in joins if join["group"]]
    names += [str(name) for route in survey.websocket_routes for name in route.get("groups") or ()]
    foreign = any(route.get("foreign") for route in survey.websocket_routes)
    if not names or foreign or not survey.extra.get("usage_complete") or not all(join["group"] for join in joins):
        raise Skip("the code does not tell every name of a group that is joined")
    for use in usage(survey, "group_send"):
        group = use["group"]
        if group and not any(overlap(group, name) for name in names):
            yield fail(
                f"events are sent to group {group}, which no consumer joins{close_to(group, names)} "
                f"(joined: {listed(sorted(set(names)))})",
                hint=f"write one name at {place_of(survey, use)} and in the consumer; * is what the program fills in",
                subject=place_of(survey, use),
            )


def _illegal(survey: Survey) -> Iterator[Finding]:
    """What the layer refuses; that on publish/subscribe takes any name."""
    if not any("pubsub" not in layer.backend for layer in survey.layers):
        return
    places: dict[str, list[str]] = {}
    for use in (*usage(survey, "group_add"), *usage(survey, "group_send")):
        if use["group"] and illegal(use["group"]):
            places.setdefault(use["group"], []).append(place_of(survey, use))
    for group, where in places.items():
        yield fail(
            f"{group} is no name of a group: {' '.join(map(repr, illegal(group)))} raises TypeError",
            hint=f"letters, digits, hyphens, underscores and periods alone, at {listed(where)}",
            subject=where[0],
        )


def illegal(group: str) -> list[str]:
    """The characters of a name that channels_redis.core and the layer in memory refuse."""
    return list(dict.fromkeys(_ILLEGAL.findall(group)))


_ILLEGAL = re.compile(r"[^a-zA-Z0-9._*-]")
"""Channels, BaseChannelLayer.group_name_regex; * is our own word for what the program fills in."""


@lru_cache(1024)
def overlap(one: str, other: str) -> bool:
    """Whether some text fits both patterns; `*` is any text."""
    if not one or not other:
        return not (one + other).strip("*")
    if one[0] == "*":
        return overlap(one[1:], other) or overlap(one, other[1:])
    if other[0] == "*":
        return overlap(other, one)
    return one[0] == other[0] and overlap(one[1:], other[1:])


@check("channels.origin", stage=Stage.STATIC, needs=["channels.asgi"])
@of_channels
def origin(survey: Survey) -> Iterator[Finding]:
    """Other sites cannot open sockets in a visitor's name.

    Browsers send cookies with WebSocket handshakes to any site, and no same-origin rule stops them: without an origin
    validator another site's page reads what the visitor may read. Fix: AllowedHostsOriginValidator around the routes.
    """
    unchecked = [route for route in survey.websocket_routes if not route.get("origin_checked")]
    tokens = [route["path"] for route in unchecked if route.get("authenticated") and route.get("cookies") is False]
    open_routes = [route["path"] for route in unchecked if route["path"] not in tokens]
    if tokens:
        yield info(f"nobody checks the Origin for {listed(tokens)}: no cookie lets anybody in there")
    if open_routes:
        yield warn(
            f"nobody checks the Origin of handshakes for {listed(open_routes)}",
            hint="AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(...))) in the ASGI application",
        )


@check("channels.user", stage=Stage.STATIC, needs=["channels.asgi"])
@of_channels
def user(survey: Survey) -> Iterator[Finding]:
    """Consumers that ask for the user are given one.

    `scope["user"]` is put there by AuthMiddlewareStack; without it the consumer raises KeyError and every handshake
    ends with 500. Fix: wrap the router. Example: a URLRouter straight under ProtocolTypeRouter.
    """
    for route in survey.websocket_routes:
        others = [name for name in route.get("middleware") or () if name not in _WITHOUT_USER]
        if route.get("uses_user") and not route.get("authenticated") and not others:
            yield fail(
                f'{route["consumer"]} reads scope["user"], but nothing in front of it puts one there',
                hint="AuthMiddlewareStack(URLRouter(...)) in the ASGI application",
                subject=str(route["path"]),
            )
        elif not route.get("authenticated"):
            yield info(f"{route['path']} is open to anybody who connects", subject=str(route["path"]))


_WITHOUT_USER = frozenset({"OriginValidator", "CookieMiddleware", "SessionMiddleware", "LifespanMiddleware"})
"""Middleware of Channels that stands in front of consumers and sets no user."""
