"""Every WebSocket route of the ASGI application with what stands in front of it, and who else listens to the layer."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
import types
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from . import detect, values

Facts = Iterator[tuple[str, Any]]
MAX_NESTING = 30


def routes(interview: Any) -> Facts:
    """Import what an ASGI server would serve and walk it down to its consumers."""
    settings = getattr(interview, "settings", None) or {}
    path = settings.get("ASGI_APPLICATION") or _guess(interview)
    if not path:
        return
    module, _, name = str(path).replace(":", ".").rpartition(".")
    application = getattr(importlib.import_module(module), name)
    yield "asgi_application", path
    if early := _too_early(module):
        yield "asgi_early", early
    protocols = _protocols(application)
    yield "asgi_protocols", sorted(protocols)
    yield "asgi_opaque", not protocols and _opaque(application)
    yield "websocket_routes", list(_walk(application, "", [], 0))
    others = [one for protocol, one in protocols.items() if protocol != "websocket"]
    yield "listening", sorted({name for one in others for name in _listening(one, 0)})


def _too_early(module: str) -> dict[str, Any] | None:
    """The import that needs Django's apps before they are loaded, as a server started by hand finds it.

    We have loaded them long since, so a fresh interpreter is asked, and only where the order looks like it.
    """
    file = values.module_file(module)
    tree = detect.parse(Path(file)) if file else None
    first = _early_import(tree) if tree else None
    if first is None:
        return None
    told = b""
    with suppress(OSError, subprocess.SubprocessError):
        argv = [sys.executable, "-c", f"import {module}"]
        told = subprocess.run(  # noqa: S603 - the project's own module, as its server imports it
            argv, check=False, capture_output=True, timeout=FRESH_SECONDS, stdin=subprocess.DEVNULL
        ).stderr
    if b"AppRegistryNotReady" not in told:
        return None
    lines = [int(line) for line in re.findall(rf'File "{re.escape(str(file))}", line (\d+)'.encode(), told)]
    return {"file": file, "line": lines[0] if lines else first}


FRESH_SECONDS = 10.0


def _early_import(tree: ast.Module) -> int | None:
    """Line of the first import of more than Django's own start before `get_asgi_application()` or `setup()`."""
    for node in tree.body:
        calls = [one for one in ast.walk(node) if isinstance(one, ast.Call)]
        names = {str(getattr(one.func, "attr", getattr(one.func, "id", ""))) for one in calls}
        if names & {"get_asgi_application", "setup"} and isinstance(node, (ast.Assign, ast.Expr)):
            return None
        modules = [getattr(node, "module", None) or ""] if isinstance(node, ast.ImportFrom) else []
        modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if any(not _needs_no_apps(name) for name in modules):
            return node.lineno
    return None


def _needs_no_apps(module: str) -> bool:
    top = module.partition(".")[0]
    return top in (*_STDLIB, "channels") or module == "django" or module.startswith(_STARTS)


_STARTS = ("django.conf", "django.core.", "django.urls", "django.utils")
_STDLIB = (*getattr(sys, "stdlib_module_names", ()), "os", "sys", "pathlib", "__future__")


def _guess(interview: Any) -> str | None:
    """Channels is installed in the project but ASGI_APPLICATION is not set: the server was given a path by hand."""
    apps = (interview.known.get("django") or {}).get("INSTALLED_APPS") or []
    files = (interview.known.get("django") or {}).get("asgi_files") or []
    if not files or not any(str(app).startswith(("channels", "daphne")) for app in apps):
        return None
    return str(files[0])[: -len(".py")].replace("/", ".") + ".application"


def _walk(
    application: Any, prefix: str, stack: list[Any], depth: int, origins: tuple[str, ...] = ()
) -> Iterator[dict[str, Any]]:
    if application is None or depth > MAX_NESTING:
        return
    mapping = getattr(application, "application_mapping", None)
    if isinstance(mapping, dict):
        yield from _walk(mapping.get("websocket"), prefix, stack, depth + 1, origins)
        return
    inner_routes = getattr(application, "routes", None)
    if isinstance(inner_routes, (list, tuple)):
        for path, behind, flaw in _branches(inner_routes):
            yield from ({**told, **flaw} for told in _walk(behind, prefix + path, stack, depth + 1, origins))
        return
    if inspect.isclass(application) and hasattr(application, "as_asgi"):
        yield {**_route(application, prefix, stack), "problem": "the consumer class itself: write .as_asgi()"}
        return
    consumer = getattr(application, "consumer_class", None)
    if consumer is not None:
        yield {**_route(consumer, prefix, stack), "origins": list(origins)}
        return
    inner = _inner(application)
    if inner is not None:
        allowed = getattr(application, "allowed_origins", None)  # of OriginValidator
        if isinstance(allowed, (list, tuple)):
            origins = tuple(str(one) for one in allowed)
        yield from _walk(inner, prefix, [*stack, application], depth + 1, origins)
    elif prefix:
        names = [_middleware(one) for one in stack]
        yield {"path": prefix, "consumer": values.dotted(application), "handlers": None, "middleware": names}


def _branches(inner_routes: Any) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Path, application and flaw of each route: of URLRouter, or what another framework (Starlette) mounts."""
    for route, flaw in zip(inner_routes, _flaws(inner_routes)):
        if hasattr(route, "callback"):
            yield str(route.pattern), route.callback, flaw
        elif _leads_on(getattr(route, "app", None)):
            path = str(getattr(route, "path", "")).strip("/")
            yield f"{path}/" if path else "", route.app, {}


def _flaws(inner_routes: Any) -> list[dict[str, Any]]:
    """Per route of one router why no path reaches it: `path()` given a regular expression, or a route before it.

    The first route that matches wins, and a regular expression without `$` matches whatever begins as it says.
    """
    found: list[dict[str, Any]] = []
    open_ended: list[tuple[str, Any]] = []
    for route in inner_routes:
        pattern, consumer = (
            getattr(route, "pattern", None),
            getattr(getattr(route, "callback", None), "consumer_class", None),
        )
        text = str(pattern)
        regular = type(pattern).__name__ == "RegexPattern"
        before = next((one for one, other in open_ended if other is not consumer and _extends(text, one)), None)
        literal = type(pattern).__name__ == "RoutePattern" and ("(?P<" in text or text[:1] == "^" or text[-1:] == "$")
        found.append({"literal": True} if literal else {"shadowed": before} if before is not None else {})
        if regular and consumer is not None and not text.endswith(("$", r"\Z")):
            open_ended.append((text, consumer))
    return found


def _extends(text: str, beginning: str) -> bool:
    """Whether every path of the one regular expression begins with a path of the other."""
    text, beginning = text.lstrip("^"), beginning.lstrip("^")
    return text.startswith(beginning) and text[len(beginning) : len(beginning) + 1] not in ("?", "*", "+", "{", "|")


_INNER = ("inner", "application", "app")


def _inner(application: Any) -> Any:
    """What a middleware passes on to: its attribute, or what its function holds; None when that cannot be told."""
    for name in _INNER:
        if hasattr(application, name):
            return getattr(application, name)
    return next((one for one in _held(application) if _leads_on(one)), None)


def _held(application: Any) -> list[Any]:
    if not isinstance(application, types.FunctionType):
        return list(getattr(application, "__dict__", {}).values())
    with suppress(Exception):  # a cell that is still empty
        held = inspect.getclosurevars(application)
        return [*held.nonlocals.values(), *held.globals.values()]
    return []


def _leads_on(one: Any) -> bool:
    """Whether this is an application behind which consumers may stand."""
    if not callable(one) or inspect.isclass(one) or isinstance(one, types.ModuleType):
        return False
    routed = isinstance(getattr(one, "routes", None), (list, tuple))
    return routed or any(hasattr(one, name) for name in ("application_mapping", "consumer_class", *_INNER))


def _protocols(application: Any) -> dict[str, Any]:
    """What ProtocolTypeRouter tells apart, whatever is wrapped around it."""
    for _ in range(MAX_NESTING):
        mapping = getattr(application, "application_mapping", None)
        if isinstance(mapping, dict) or application is None:
            return mapping or {}
        application = _inner(application)
    return {}


def _opaque(application: Any) -> bool:
    """Whether the project's own code decides what becomes of a request; Django's handler takes HTTP alone."""
    for _ in range(MAX_NESTING):
        inner = _inner(application)
        if inner is None:
            return not type(application).__module__.startswith("django.")
        application = inner
    return True


def _listening(application: Any, depth: int) -> Iterator[str]:
    """Handlers of consumers that hold no WebSocket: workers of a named channel, server-sent events."""
    if application is None or depth > MAX_NESTING:
        return
    mapping, inner_routes = getattr(application, "application_mapping", None), getattr(application, "routes", None)
    if isinstance(mapping, dict):
        behind = list(mapping.values())
    elif isinstance(inner_routes, (list, tuple)):
        behind = [one for _, one, _ in _branches(inner_routes)]
    elif hasattr(application, "consumer_class"):
        yield from _handlers(application.consumer_class)
        return
    else:
        behind = [_inner(application)]
    for one in behind:
        yield from _listening(one, depth + 1)


def _middleware(application: Any) -> str:
    """The class, or the function that made this one: `TokenAuth.<locals>.middleware`."""
    if isinstance(application, types.FunctionType):
        return application.__qualname__.partition(".")[0]
    return type(application).__name__


def _cookies(stack: list[Any], names: list[str]) -> bool | None:
    """Whether what stands in front of a consumer reads cookies; None where it may: code of the project's own tells."""
    if any("Session" in name or "Cookie" in name or name == "AuthMiddleware" for name in names):
        return True
    own = [inspect.getmodule(one if inspect.isfunction(one) else type(one)) for one in stack]
    return None if any("cookie" in (_source(module).lower() or "cookie") for module in own) else False


def _route(consumer: Any, path: str, stack: list[Any]) -> dict[str, Any]:
    source, names = _source(consumer), [_middleware(one) for one in stack]
    return {
        "path": path,
        "consumer": values.dotted(consumer),
        "handlers": _handlers(consumer),
        "middleware": names,
        "origin_checked": any("Origin" in name or "Host" in name for name in names),
        "authenticated": any("Auth" in name or "Token" in name or "JWT" in name for name in names),
        "cookies": _cookies(stack, names),
        "uses_user": 'scope["user"]' in source or "scope['user']" in source,
        # Channels itself joins `groups`; code that asks first whether there is a layer needs none.
        "uses_layer": bool(getattr(consumer, "groups", None))
        or ("self.channel_layer." in source and not _ASKS_FIRST.search(source)),
        "looks_up": bool(_LOOKS_UP.search(source)),
        "groups": values.plain(getattr(consumer, "groups", None)),
        "foreign": _foreign(consumer),
        "layer": values.plain(getattr(consumer, "channel_layer_alias", None)),
    }


def _handlers(consumer: Any) -> list[str]:
    """A group message of type "job.event" needs a method job_event."""
    methods = [name for name, _ in inspect.getmembers(consumer, callable) if not name.startswith("_")]
    return sorted(name for name in methods if name not in _ordinary(consumer))


def _ordinary(consumer: Any) -> list[str]:
    """Method names every consumer has from Channels itself."""
    bases = [base for base in consumer.__mro__[1:] if base.__module__.startswith("channels.")]
    return [name for base in bases for name in vars(base)]


def _foreign(consumer: Any) -> bool:
    """Whether some of it comes from an installed package, whose code is not read for groups and events."""
    bases = [base for base in consumer.__mro__ if base.__module__.partition(".")[0] not in _FRAMEWORK]
    files = [str(getattr(sys.modules.get(base.__module__), "__file__", "")) for base in bases]
    return any("site-packages" in file or "dist-packages" in file for file in files)


_FRAMEWORK = ("channels", "builtins", "asgiref")


_ASKS_FIRST = re.compile(r"(\bif|\band|\bnot) self\.channel_layer\b(?!\.)")
_LOOKS_UP = re.compile(r"\.a?get\(\s*\w+=|get_object_or_404\(")


def _source(consumer: Any) -> str:
    try:
        return inspect.getsource(consumer)
    except (OSError, TypeError):
        return ""
