"""Who uses the channel layer's Redis database besides this project: another environment would share its groups.

Redis tells connections by address only. Those of this machine lead to a process, whose folder and variables tell which
environment it belongs to; of other machines there is only which broker they use. Values of variables stay here: facts
carry their names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from intelli_checks.dsn import Dsn
from intelli_checks.model import Skip, Unavailable
from intelli_checks.probes import clients
from intelli_checks.probes.redis import Endpoint
from intelli_checks.probes.resp import Connection, DialError, ReplyError
from intelli_checks.probes.survey import Survey
from intelli_checks.target import Target
from intelli_checks.text import remember_environment, safe

STORE = re.compile(r"DATABASE|POSTGRES|MYSQL|MARIADB|SQLITE|BROKER|(^|_)(DB|PG)(_|$|NAME|HOST|UR[IL]|PATH|FILE)")
"""Names of variables that say where rows and tasks are kept."""
_NO_STORE = re.compile(r"PASS|USER|PORT|POOL|TIME|AGE|MAX|MIN|SSL|ECHO|LOG|DEBUG|SECRET|OPTION")
_PREFIX = re.compile(r"^PREFIX$|(CHANNEL|LAYER|REDIS|ASGI|GROUP)S?_.*PREFIX$")


@dataclass(frozen=True, slots=True)
class LayerUser:
    """A process of this machine, or another machine, that uses the layer's database."""

    pid: int = 0
    """0 for another machine."""
    name: str = ""
    """The program, or the other machine's address."""
    directory: str = ""
    here: bool = False
    """It runs in the project's own folder."""
    reads: bool = False
    """It waits for messages: it holds sockets."""
    same_code: bool = False
    """Its folder has the very settings module of this project."""
    at_home: bool = False
    """It is connected to the project's own broker."""
    consumed: int | None = None
    """The database of another broker on this Redis that it is connected to, from which somebody takes tasks."""
    own_file: str = ""
    """A SQLite file of its own where the project keeps one in its folder, too."""
    differs: tuple[str, ...] = ()
    """Variables that say where its rows or tasks are, and say something else for the project."""
    added: tuple[str, ...] = ()
    """Such variables that are set for it and not for the project."""
    agrees: bool = False
    """Some such variables are set, and none differs."""
    prefixed: bool = False
    """A variable named like a prefix differs: it may keep its groups apart."""


@dataclass(frozen=True, slots=True)
class _Ours:
    """What processes are compared with."""

    directory: Path
    variables: Mapping[str, str]
    settings: Path | None
    """The settings module, below `directory`."""
    database: Path | None
    """The SQLite file, below `directory`."""
    layer: Dsn
    broker: int | None
    """The broker's database, where it is on the layer's Redis."""

    @property
    def of_layer(self) -> tuple[str, ...]:
        """Variables that name the layer."""
        return tuple(name for name, value in self.variables.items() if _same(value, self.layer))


def gather(target: Target, survey: Survey, endpoint: Endpoint, timeout: float) -> tuple[LayerUser, ...]:
    """Everybody connected to the layer's database, and workers that are configured for it; raises Skip or Unavailable.

    Reads CLIENT LIST, and of this machine's processes their folder and environment as far as they are shown to us.
    """
    if endpoint.via is not None or all(place.remote for place in target.places):
        raise Skip("the processes run on another machine")
    try:
        with Connection.open(endpoint.dsn, timeout, tls=endpoint.tls) as connection:
            listed = clients.listing(connection)
    except (DialError, ReplyError) as error:
        hint = "intelli-ops check redis.channels"
        raise Unavailable(f"CLIENT LIST ended with {safe(error)}", hint=hint, subject=endpoint.subject) from error
    if listed is None:
        raise Skip("CLIENT LIST is not allowed")
    ours, owners = _ours(target, survey, endpoint.dsn), _owners(endpoint.dsn.port)
    of_pid: dict[int, list[clients.Client]] = {}
    of_host: dict[str, list[clients.Client]] = {}
    for client in listed:
        pid = owners.get(client.address)
        (of_pid.setdefault(pid, []) if pid else of_host.setdefault(client.host, [])).append(client)
    consumed = {client.database for client in listed if client.consumes} - {ours.broker}
    found = [_process(pid, held, ours, consumed) for pid, held in sorted(of_pid.items())]
    found += [_machine(host, held, ours, consumed) for host, held in sorted(of_host.items())]
    return tuple(user for user in found if user)


def _ours(target: Target, survey: Survey, layer: Dsn) -> _Ours:
    directory = Path(survey.project or target.directory).resolve()
    place = next(place for place in target.places if not place.remote)
    given = dict(word.split("=", 1) for word in place.argv if "=" in word) if place.argv[0] == "env" else {}
    name = str(((survey.django.get("DATABASES") or {}).get("default") or {}).get("NAME") or "")
    broker = survey.broker
    return _Ours(
        directory,
        {**dotenv(directory), **os.environ, **given},
        _below(directory, survey.extra.get("settings_file")),
        _below(directory, name) if name.startswith("/") else None,
        layer,
        broker.database if broker and broker.is_redis and broker.server == layer.server else None,
    )


def _below(directory: Path, file: object) -> Path | None:
    """`file` as seen from `directory`; None where it lies elsewhere."""
    path = Path(str(file)).resolve() if file else None
    return path.relative_to(directory) if path and path.is_relative_to(directory) else None


def _owners(port: int) -> dict[str, int]:
    """Local address -> pid, of this machine's connections to that port; empty where they are not shown to us."""
    import psutil

    try:
        found = psutil.net_connections("tcp")
    except (psutil.Error, OSError):
        return {}
    return {
        f"[{one.laddr.ip}]:{one.laddr.port}" if ":" in one.laddr.ip else f"{one.laddr.ip}:{one.laddr.port}": one.pid
        for one in found
        if one.pid and one.laddr and one.raddr and one.raddr.port == port
    }


def _process(pid: int, held: Iterable[clients.Client], ours: _Ours, consumed: set[int]) -> LayerUser | None:
    import psutil

    try:
        process = psutil.Process(pid)
        words, directory, environ = process.cmdline(), Path(process.cwd()), process.environ()
        asked_by_us = os.getpid() in {pid, *(parent.pid for parent in process.parents())}
    except (psutil.Error, OSError):  # somebody else's, or gone
        return None
    remember_environment(environ)
    variables = {**dotenv(directory), **environ}
    databases = {client.database for client in held}
    works = any(client.consumes for client in held)
    same_code = _same_file(ours, directory)
    connected = ours.layer.database in databases
    if (
        asked_by_us
        or words[-1:] == ["-"]
        or not (connected or (works and _named(ours, variables, same_code=same_code)))
    ):
        return None  # a program from standard input is an interview, ours or another run's
    return LayerUser(
        pid,
        program(words),
        safe(directory),
        here=directory.is_relative_to(ours.directory),
        reads=any(client.command == "bzpopmin" and client.database == ours.layer.database for client in held),
        same_code=same_code,
        at_home=ours.broker in databases,
        consumed=min(databases & consumed, default=None),
        own_file=_own_file(ours, directory),
        **_compared(ours.variables, variables),
    )


def _machine(host: str, held: list[clients.Client], ours: _Ours, consumed: set[int]) -> LayerUser | None:
    """Connections whose owner nobody shows us: only worth a word when they use both this layer and another broker."""
    databases = {client.database for client in held}
    foreign = databases & consumed
    reads = any(client.command == "bzpopmin" and client.database == ours.layer.database for client in held)
    if ours.broker is None or not reads or not foreign:
        return None
    return LayerUser(0, safe(host), reads=reads, at_home=ours.broker in databases, consumed=min(foreign))


def _named(ours: _Ours, variables: Mapping[str, str], *, same_code: bool) -> bool:
    """Whether a worker that sends nothing now is configured for our layer: by our variable, or by our own settings."""
    names = ours.of_layer
    return all(_same(variables.get(name, ""), ours.layer) for name in names) if names else same_code


def _same_file(ours: _Ours, directory: Path) -> bool:
    if ours.settings is None:
        return False
    try:
        return (directory / ours.settings).read_bytes() == (ours.directory / ours.settings).read_bytes()
    except OSError:
        return False


def _own_file(ours: _Ours, directory: Path) -> str:
    if ours.database is None or directory.is_relative_to(ours.directory):
        return ""
    file, of_ours = directory / ours.database, ours.directory / ours.database
    return safe(file) if file.is_file() and of_ours.is_file() and not file.samefile(of_ours) else ""


def _compared(ours: Mapping[str, str], theirs: Mapping[str, str]) -> dict[str, Any]:
    names = sorted(name for name in theirs if STORE.search(name.upper()) and not _NO_STORE.search(name.upper()))
    shared = [name for name in names if name in ours]
    differs = tuple(safe(name) for name in shared if _place(ours[name]) != _place(theirs[name]))
    return {
        "differs": differs,
        "added": tuple(safe(name) for name in names if name not in ours),
        "agrees": bool(shared) and not differs,
        "prefixed": any(_PREFIX.search(name.upper()) and ours.get(name) != theirs[name] for name in theirs),
    }


def _place(value: str) -> str:
    """A URL without login and options, anything else as it is."""
    if "://" not in value:
        return value
    url = Dsn(value)
    return f"{url.server}/{value.partition('://')[2].partition('/')[2].partition('?')[0]}"


def _same(value: str, layer: Dsn) -> bool:
    url = Dsn(value) if "://" in value else None
    return bool(url and url.is_redis and (url.server, url.database) == (layer.server, layer.database))


def dotenv(directory: Path) -> dict[str, str]:
    """Variables of `.env` in the folder or the one above, where most projects read it from."""
    for folder in (directory, directory.parent):
        try:
            return dict(_assignments((folder / ".env").read_text("utf-8").splitlines()))
        except (OSError, UnicodeDecodeError):
            continue
    return {}


def _assignments(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        name, given, value = line.strip().removeprefix("export ").partition("=")
        if given and not name.startswith("#"):
            yield name.strip(), value.strip().strip("'\"")


def program(words: list[str]) -> str:
    """What a command line runs, without the interpreter: `daphne`, `uvicorn`, `celery`."""
    names = [word.replace("\\", "/").rpartition("/")[2].removesuffix(".exe") for word in words]
    chosen = [name for name in names if name and not name.startswith(("-", "python"))]
    return safe(chosen[0]) if chosen else "a process"
