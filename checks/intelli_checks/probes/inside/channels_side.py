"""Channel layers as declared."""

from __future__ import annotations

import hashlib
import importlib
import inspect
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from . import values

Facts = Iterator[tuple[str, Any]]


def layers(interview: Any) -> Facts:
    settings = getattr(interview, "settings", None) or {}
    declared = settings.get("CHANNEL_LAYERS") or {}
    if not isinstance(declared, dict):  # JSON from a variable that nobody parsed
        wrong = f"CHANNEL_LAYERS is {type(declared).__name__}, not dict"
        yield "layers", [{"alias": "default", "backend": "", "hosts": [], "config": {}, "hosts_error": wrong}]
        return
    yield "layers", [_layer(alias, config) for alias, config in declared.items()]


def _layer(alias: str, config: dict[str, Any]) -> dict[str, Any]:
    backend = str(config.get("BACKEND") or "")
    given = dict(config.get("CONFIG") or {})
    hosts = given.pop("hosts", None)
    keys = given.pop("symmetric_encryption_keys", None)
    told = {"alias": alias, "backend": backend, "import_error": _import_error(backend), "config": values.plain(given)}
    entries = _host_list(hosts) if backend.startswith("channels_redis") else []
    refused = [_refusal(one) for one in entries]
    told["hosts"] = [_host(one) for one, why in zip(entries, refused) if why is None]
    if any(_unset(one) for one in _host_list(hosts)):
        told["hosts_error"] = "an entry of hosts is None: is the variable set that it is read from?"
    else:
        wrong = _misspelt(hosts) or _misplaced(backend, config) or next(filter(None, refused), None)
        if wrong := wrong or _construction_error(backend, config):
            told["hosts_error"] = wrong
    if keys:
        told["config"]["encryption"] = [hashlib.sha256(str(key).encode()).hexdigest()[:12] for key in keys]
    return told


def _misplaced(backend: str, config: dict[str, Any]) -> str | None:
    """What the layer does not take, and what stands beside CONFIG, where nobody reads it."""
    module, _, name = backend.rpartition(".")
    try:
        takes = inspect.signature(getattr(importlib.import_module(module), name)).parameters
    except Exception:  # noqa: BLE001 - told by the import
        return None
    given = config.get("CONFIG") or {}
    others = set(takes) if "hosts" in given or "hosts" not in takes else set(config) - _READ
    if beside := sorted(set(config) & others):
        return f"{beside[0]} stands beside CONFIG, where nobody reads it"
    open_ended = any(one.kind is one.VAR_KEYWORD for one in takes.values())
    unknown = [] if open_ended else sorted(set(given) - set(takes))
    return f"{name} takes no {unknown[0]!r} in CONFIG, only {', '.join(takes)}" if unknown else None


_READ = frozenset({"BACKEND", "CONFIG", "TEST_CONFIG", "ROUTING"})
"""What Channels itself knows of a layer (channels.layers, ChannelLayerManager)."""


def _misspelt(hosts: Any) -> str | None:
    if isinstance(hosts, (str, bytes, dict)):
        kind = "a table" if isinstance(hosts, dict) else "a string"
        return f"{kind} where channels_redis wants a list of hosts"
    pair = isinstance(hosts, (tuple, list)) and len(hosts) == 2
    if pair and isinstance(hosts[0], str) and "://" not in hosts[0] and str(hosts[1]).isdigit():
        return "hosts is one address where channels_redis wants a list of them"
    return None


def _refusal(entry: Any) -> str | None:
    """Why channels_redis and redis-py make no connection of this entry, before anything is dialled.

    A URL that does not parse is left to whoever dials it: he says which of its characters is in the way.
    """
    try:
        utils = importlib.import_module("channels_redis.utils")
        decode_hosts, create_pool = utils.decode_hosts, utils.create_pool
    except (ImportError, AttributeError):  # channels_redis before 4.1
        return None
    try:
        create_pool(decode_hosts([entry])[0]).make_connection()
    except RuntimeError:  # releases of redis-py that need a running loop
        return None
    except Exception as raised:  # noqa: BLE001 - a TypeError of an option, an IndexError of a pair that is none
        text = str(entry.get("address") if isinstance(entry, dict) else entry)
        if isinstance(raised, ValueError) and text.startswith(("redis://", "rediss://", "unix://")):
            return None
        return f"an entry of hosts is none that redis-py takes: {_one_line(raised)}"
    return None


def _construction_error(backend: str, config: dict[str, Any]) -> str | None:
    """What the layer raises when the first process asks for it; one of channels_redis dials nobody for that."""
    if not backend.startswith("channels_redis"):
        return None
    module, _, name = backend.rpartition(".")
    try:
        getattr(importlib.import_module(module), name)(**(config.get("CONFIG") or {}))
    except RuntimeError:
        return None
    except Exception as raised:  # noqa: BLE001 - this is what is told
        return _one_line(raised)
    return None


def _one_line(raised: Exception) -> str:
    return " ".join(f"{type(raised).__name__}: {raised}".split())


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


def _unset(entry: Any) -> bool:
    if isinstance(entry, dict):
        return any(name in entry and entry[name] is None for name in ("address", "host", "sentinels"))
    return entry is None or (isinstance(entry, (tuple, list)) and entry[0] is None)


def _host(entry: Any) -> dict[str, Any]:
    """Any spelling channels_redis takes (URL, pair, dict, sentinels) as one URL and its connection options."""
    if isinstance(entry, (tuple, list)):
        entry = {"host": entry[0], "port": entry[1]}
    elif not isinstance(entry, dict):
        entry = {"address": entry.decode() if isinstance(entry, bytes) else str(entry)}
    options = {name: values.plain(value) for name, value in entry.items() if name in _OPTIONS}
    return {"url": _url(entry), "options": options}


_OPTIONS = (
    "socket_timeout",
    "socket_connect_timeout",
    "socket_keepalive",
    "health_check_interval",
    "master_name",
    "max_connections",
)


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
