"""Channel layers as declared, and every WebSocket route of the ASGI application with what stands in front of it."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from . import values

Facts = Iterator[tuple[str, Any]]
MAX_NESTING = 30


def layers(interview: Any) -> Facts:
    settings = getattr(interview, "settings", None) or {}
    declared = settings.get("CHANNEL_LAYERS") or {}
    yield "layers", [_layer(alias, config) for alias, config in declared.items()]


def _layer(alias: str, config: dict[str, Any]) -> dict[str, Any]:
    backend = str(config.get("BACKEND") or "")
    given = dict(config.get("CONFIG") or {})
    hosts = given.pop("hosts", None)
    keys = given.pop("symmetric_encryption_keys", None)
    told = {"alias": alias, "backend": backend, "import_error": _import_error(backend), "config": values.plain(given)}
    told["hosts"] = [_host(one) for one in _host_list(hosts)] if backend.startswith("channels_redis") else []
    if isinstance(hosts, (str, bytes)):
        told["hosts_error"] = "a string where channels_redis wants a list of hosts"
    if keys:
        told["config"]["encryption"] = [hashlib.sha256(str(key).encode()).hexdigest()[:12] for key in keys]
    return told


def _import_error(backend: str) -> str | None:
    module, _, name = backend.rpartition(".")
    try:
        getattr(importlib.import_module(module), name)
    except Exception as raised:  # noqa: BLE001 - the backend's module may be anything
        return f"{type(raised).__name__}: {raised}"
    return None


def _host_list(hosts: Any) -> list[Any]:
    if not hosts:
        return ["redis://localhost:6379"]
    return [hosts] if isinstance(hosts, (str, bytes, dict)) else list(hosts)


def _host(entry: Any) -> dict[str, Any]:
    """Any spelling channels_redis takes (URL, pair, dict, sentinels) as one URL and its connection options."""
    if isinstance(entry, (tuple, list)):
        entry = {"host": entry[0], "port": entry[1]}
    elif not isinstance(entry, dict):
        entry = {"address": entry.decode() if isinstance(entry, bytes) else str(entry)}
    options = {name: values.plain(value) for name, value in entry.items() if name in _OPTIONS}
    return {"url": _url(entry), "options": options}


_OPTIONS = ("socket_timeout", "socket_connect_timeout", "socket_keepalive", "health_check_interval", "master_name")


def _url(entry: dict[str, Any]) -> str:
    address = entry.get("address")
    if isinstance(address, (tuple, list)):
        entry = {**entry, "host": address[0], "port": address[1]}
    elif address:
        return _completed(str(address), entry)
    login = _login(entry)
    if entry.get("sentinels"):
        members = ";".join(f"sentinel://{login}{host}:{port}" for host, port in entry["sentinels"])
        return f"{members}/{entry.get('db', 0)}"
    if entry.get("path"):
        return f"unix://{login}{entry['path']}"
    scheme = "rediss" if entry.get("ssl") else "redis"
    return f"{scheme}://{login}{entry.get('host', 'localhost')}:{entry.get('port', 6379)}/{entry.get('db', 0)}"


def _login(entry: dict[str, Any]) -> str:
    password = entry.get("password")
    return f"{quote(str(entry.get('username') or ''), safe='')}:{quote(str(password), safe='')}@" if password else ""


def _completed(address: str, entry: dict[str, Any]) -> str:
    """A URL with the login and database given beside it; as in redis-py, what the URL says itself comes first."""
    try:
        url = urlsplit(address)
    except ValueError:  # an open bracket: the tool says so, not the interview
        return address
    if "@" not in url.netloc and "password=" not in url.query:
        url = url._replace(netloc=_login(entry) + url.netloc)
    if entry.get("db") and "db=" not in url.query:
        if url.scheme == "unix":
            url = url._replace(query="&".join(filter(None, (url.query, f"db={entry['db']}"))))
        elif not url.path.strip("/"):
            url = url._replace(path=f"/{entry['db']}")
    whole = urlunsplit(url)
    return whole if "://" in whole else whole.replace(":", "://", 1)  # urlunsplit drops an empty host


# -- the ASGI application ---------------------------------------------------------------------------------------------


def routes(interview: Any) -> Facts:
    """Import what an ASGI server would serve and walk it down to its consumers."""
    settings = getattr(interview, "settings", None) or {}
    path = settings.get("ASGI_APPLICATION") or _guess(interview)
    if not path:
        return
    module, _, name = str(path).replace(":", ".").rpartition(".")
    application = getattr(importlib.import_module(module), name)
    yield "asgi_application", path
    yield "asgi_protocols", sorted(getattr(application, "application_mapping", {}) or {})
    yield "websocket_routes", list(_walk(application, "", [], 0))


def _guess(interview: Any) -> str | None:
    """Channels is installed in the project but ASGI_APPLICATION is not set: the server was given a path by hand."""
    apps = (interview.known.get("django") or {}).get("INSTALLED_APPS") or []
    files = (interview.known.get("django") or {}).get("asgi_files") or []
    if not files or not any(str(app).startswith(("channels", "daphne")) for app in apps):
        return None
    return str(files[0])[: -len(".py")].replace("/", ".") + ".application"


def _walk(application: Any, prefix: str, stack: list[str], depth: int) -> Iterator[dict[str, Any]]:
    if application is None or depth > MAX_NESTING:
        return
    mapping = getattr(application, "application_mapping", None)
    if isinstance(mapping, dict):
        yield from _walk(mapping.get("websocket"), prefix, stack, depth + 1)
        return
    inner_routes = getattr(application, "routes", None)
    if isinstance(inner_routes, (list, tuple)):
        for route in inner_routes:
            yield from _walk(route.callback, prefix + str(route.pattern), stack, depth + 1)
        return
    if inspect.isclass(application) and hasattr(application, "as_asgi"):
        yield {**_route(application, prefix, stack), "problem": "the consumer class itself: write .as_asgi()"}
        return
    consumer = getattr(application, "consumer_class", None)
    if consumer is not None:
        yield _route(consumer, prefix, stack)
        return
    inner = next((getattr(application, name) for name in _INNER if hasattr(application, name)), None)
    if inner is not None:
        yield from _walk(inner, prefix, [*stack, _middleware(application)], depth + 1)
    elif prefix:
        yield {"path": prefix, "consumer": values.dotted(application), "handlers": None, "middleware": stack}


_INNER = ("inner", "application", "app")


def _middleware(application: Any) -> str:
    return type(application).__name__


def _route(consumer: Any, path: str, stack: list[str]) -> dict[str, Any]:
    source = _source(consumer)
    methods = [name for name, _ in inspect.getmembers(consumer, callable) if not name.startswith("_")]
    return {
        "path": path,
        "consumer": values.dotted(consumer),
        # A group message of type "job.event" needs a method job_event.
        "handlers": sorted(name for name in methods if name not in _ordinary(consumer)),
        "middleware": stack,
        "origin_checked": any("Origin" in name or "Host" in name for name in stack),
        "authenticated": any("Auth" in name or "Token" in name or "JWT" in name for name in stack),
        "uses_user": 'scope["user"]' in source or "scope['user']" in source,
        "uses_layer": "self.channel_layer" in source,
        "looks_up": bool(_LOOKS_UP.search(source)),
        "groups": values.plain(getattr(consumer, "groups", None)),
        "foreign": _foreign(consumer),
        "layer": values.plain(getattr(consumer, "channel_layer_alias", None)),
    }


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


_LOOKS_UP = re.compile(r"\.a?get\(\s*\w+=|get_object_or_404\(")


def _source(consumer: Any) -> str:
    try:
        return inspect.getsource(consumer)
    except (OSError, TypeError):
        return ""
