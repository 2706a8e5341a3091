"""Is there an ASGI application that takes WebSockets, and who gets in?"""

from __future__ import annotations

from collections.abc import Iterator

from intelli_checks import Finding, Stage, check, fail, info, warn
from intelli_checks.families.declared import (
    listed,
    of_channels,
    place_of,
    told_in_time,
    usage,
    version_of,
)
from intelli_checks.probes.survey import Survey


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
