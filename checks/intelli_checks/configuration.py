"""The target, from flags, environment, configuration file and detection, in this order; and who gave each value."""

from __future__ import annotations

import difflib
import shlex
import shutil
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from intelli_checks.dsn import UNPARSEABLE, Dsn
from intelli_checks.interpreters import find_interpreter
from intelli_checks.probes.inside.detect import SETTINGS, Project, find_project
from intelli_checks.target import Place, Target
from intelli_checks.text import safe

FILE = "intelli-ops.toml"
VALUES = (
    "project", "settings", "app", "python", "via",
    "broker", "results", "layer", "web", "websocket", "origin", "timeout",
)  # fmt: skip
TABLES = {"workers": "workers", "flow": "flow", "mute": "mutes", "plugins": "plugins"}
"""Tables of the file, and what the Target calls them."""
PREFIX = "INTELLI_OPS_"
LONGEST = 86400.0
"""Seconds a run may take; far more overflows what locks and selects understand."""


class UsageError(Exception):
    """What was asked for cannot be meant: a name nobody knows, a folder that is not there. Exit code 2."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """One configuration file, read and checked."""

    path: Path | None = None
    values: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: MappingProxyType({}))


def load(flags: Mapping[str, Any], environ: Mapping[str, str], cwd: Path, platform: str = sys.platform) -> Target:
    """The target these mean; raises UsageError, naming what is wrong and what would be right."""
    named_file = flags.get("config") or environ.get(f"{PREFIX}CONFIG")
    if named_file:
        configuration = read_file(cwd / named_file)
    else:  # of the project that is meant: the one we stand in may be another's
        configuration = read(_folder(flags.get("project") or environ.get(f"{PREFIX}PROJECT"), cwd))
    given, origins = _layers(flags, environ, configuration)
    start = _folder(given.get("project"), cwd)
    named = bool({"settings", "app", "via"} & given.keys()) or _named_by_environment(given, environ)
    project = find_project(start)
    if named and not project.manage:
        project = project._replace(root=start)
    places: tuple[Place, ...] = ()
    if "via" in given:
        places = tuple(_vias(given["via"], start, platform))
    elif named or project.found:
        python, found = _interpreter(given, project, start, environ, platform)
        origins.setdefault("python", found)
        places = (Place("here", (python,), project.root),)
    broker = _dsn(given, "broker")
    if broker and not broker.is_redis and not places:
        raise UsageError(
            f"{safe(broker.transport)}:// is asked by a project's own app, and there is none in {safe(start)}: "
            "change to its folder, or name it with --project"
        )
    return Target(
        directory=project.home,
        places=places,
        settings=_settings(given, project, environ, origins),
        app=_app(given, project, environ, origins),
        broker=broker,
        results=_dsn(given, "results"),
        layer=_dsn(given, "layer"),
        web=_page(given),
        websocket=given.get("websocket"),
        origin=given.get("origin"),
        timeout=_seconds(given.get("timeout", 30.0), origins.get("timeout", "")),
        origins=_all_origins(origins, configuration),
        **{name: configuration.tables[key] for key, name in TABLES.items() if key in configuration.tables},
    )


def _all_origins(origins: Mapping[str, str], configuration: Configuration) -> Mapping[str, str]:
    """Also under the names the Target gives them, which is how `config show --origin` asks."""
    told = {"directory": origins.get("project", "found on disk")}
    if {"via", "python"} & origins.keys():
        told["places"] = origins.get("via") or origins["python"]
    told.update({TABLES[key]: str(configuration.path) for key in configuration.tables})
    return MappingProxyType({**told, **origins})


# -- the configuration file -------------------------------------------------------------------------------------------


def read(folder: Path) -> Configuration:
    """`intelli-ops.toml`, else `[tool.intelli-ops]` of pyproject.toml, in `folder` or the nearest one above it."""
    for place in (folder, *folder.parents):
        for name in (FILE, "pyproject.toml"):
            if (place / name).is_file() and (found := read_file(place / name)).path:
                return found
        if (place / ".git").exists():
            break
    return Configuration()


def read_file(path: Path) -> Configuration:
    """The configuration in `path`; empty for a pyproject.toml that has no `[tool.intelli-ops]`. Raises UsageError."""
    try:
        content: Any = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path}: not TOML: {error}") from error
    if path.name == "pyproject.toml":
        content = content.get("tool", {}).get("intelli-ops")
    return Configuration() if content is None else _checked(path, content)


def _checked(path: Path, content: Mapping[str, Any]) -> Configuration:
    for key in content:
        if key not in VALUES and key not in TABLES:
            raise UsageError(f"{path}: unknown key {key!r}{_did_you_mean(key, (*VALUES, *TABLES))}")
    for key in TABLES:
        if not isinstance(content.get(key, {}), Mapping):
            raise UsageError(f"{path}: {key} is a table: write [{key}]")
    return Configuration(
        path,
        {key: value for key, value in content.items() if key in VALUES},
        {key: value for key, value in content.items() if key in TABLES},
    )


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(sorted(known))}"


# -- precedence -------------------------------------------------------------------------------------------------------


def _layers(
    flags: Mapping[str, Any], environ: Mapping[str, str], configuration: Configuration
) -> tuple[dict[str, Any], dict[str, str]]:
    """What was given for each name by the first that gives it, and by whom."""
    for name in flags:
        if name not in VALUES and name != "config":
            raise UsageError(f"unknown option {name!r}{_did_you_mean(name, VALUES)}")
    given: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for name in VALUES:
        variable = PREFIX + name.upper()
        if flags.get(name) not in (None, "", (), []):
            given[name], origins[name] = flags[name], f"--{name}"
        elif environ.get(variable):
            given[name], origins[name] = environ[variable], f"environment variable {variable}"
        elif name in configuration.values:
            value = configuration.values[name]
            given[name], origins[name] = _from_file(name, value, configuration), str(configuration.path)
    return given, origins


def _from_file(name: str, value: Any, configuration: Configuration) -> Any:
    """A value of the file, checked; paths in it are relative to it, wherever the tool was started."""
    many = name == "via" and isinstance(value, (list, Mapping))
    if not many and not isinstance(value, (int, float) if name == "timeout" else str):
        raise UsageError(f"{configuration.path}: {name} cannot be {value!r}")
    relative = name == "project" or (name == "python" and ("/" in str(value) or "\\" in str(value)))
    return str(configuration.path.parent / value) if relative and configuration.path else value


def _folder(given: Any, cwd: Path) -> Path:
    folder = (cwd / str(given)).resolve() if given else cwd.resolve()
    if not folder.is_dir():
        raise UsageError(f"there is no folder {safe(folder)}; name the project's with --project")
    return folder


def _settings(
    given: Mapping[str, Any], project: Project, environ: Mapping[str, str], origins: dict[str, str]
) -> str | None:
    if "settings" in given:
        return str(given["settings"])
    if environ.get(SETTINGS):
        origins["settings"] = f"found: environment variable {SETTINGS}"
        return environ[SETTINGS]
    if project.settings:
        origins["settings"] = f"found in {project.settings_from}"
    return project.settings


def _app(given: Mapping[str, Any], project: Project, environ: Mapping[str, str], origins: dict[str, str]) -> str | None:
    if "app" in given:
        return str(given["app"])
    if environ.get("CELERY_APP"):
        origins["app"] = "found: environment variable CELERY_APP"
        return environ["CELERY_APP"]
    if project.app:
        origins["app"] = f"found in {project.app_from}"
    return project.app


def _named_by_environment(given: Mapping[str, Any], environ: Mapping[str, str]) -> bool:
    """Whether Django's or Celery's own variable names a project, as for an application that pip installed.

    Where a URL was named, that is what is meant, and the variable may be a shell's memory of something else.
    """
    urls = {"broker", "results", "layer", "web", "websocket"} & given.keys()
    return not urls and bool(environ.get(SETTINGS) or environ.get("CELERY_APP"))


def _dsn(given: Mapping[str, Any], name: str) -> Dsn | None:
    if name not in given:
        return None
    dsn = Dsn(str(given[name]))
    if dsn.unencoded and dsn.is_redis:
        raise UsageError(f"the password in {name} {safe(dsn)} holds a /, ? or #: write %2F, %3F or %23 (and %40 for @)")
    if "://" not in dsn.raw or not dsn.scheme or dsn.scheme in {"http", "https"}:
        raise UsageError(f"{name} wants a URL such as redis://127.0.0.1:6379/0{_instead(dsn)}")
    return dsn


def _instead(dsn: Dsn) -> str:
    """What was given, as it was given; of what nobody can take apart nothing: it may hold a password."""
    if str(dsn) == UNPARSEABLE:
        return "; the host or port of this one cannot be read"
    secretive = set("@?") & set(dsn.raw)
    return f", not {safe(dsn if secretive else dsn.raw)!r}"


def _page(given: Mapping[str, Any]) -> str | None:
    """The web server's address; raises UsageError for what no browser would open."""
    url = given.get("web")
    if url is None:
        return None
    try:
        parts = urlsplit(str(url))
        right = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        right = False
    if not right:
        raise UsageError(f"web wants a URL such as http://127.0.0.1:8000, not {safe(url)!r}")
    return str(url)


def _seconds(value: Any, origin: str) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = 0.0
    if not 0.0 < seconds <= LONGEST:
        raise UsageError(f"timeout wants seconds above 0 and at most {LONGEST:.0f}, a day, not {value!r} ({origin})")
    return seconds


# -- places -----------------------------------------------------------------------------------------------------------


def _interpreter(
    given: Mapping[str, Any], project: Project, start: Path, environ: Mapping[str, str], platform: str
) -> tuple[str, str]:
    if "python" not in given:
        return find_interpreter(project.root, start, environ, platform)
    python = Path(str(given["python"])).expanduser()
    if found := shutil.which(str(python)) or shutil.which(str(start / python)):
        return str(
            Path(found).absolute()
        ), "--python"  # it is started in the project's folder; links stay, as venvs need
    raise UsageError(f"there is no interpreter {safe(python)}; --python wants the project's python, or its path")


def _vias(via: Any, start: Path, platform: str) -> Iterable[Place]:
    """`--via PREFIX` or `--via name=PREFIX`, several of them, or a table name -> prefix in the file."""
    given = [f"{name}={prefix}" for name, prefix in via.items()] if isinstance(via, Mapping) else via
    given = [given] if isinstance(given, str) else list(given)
    names: set[str] = set()
    for number, text in enumerate(given, 1):
        place = parse_via(text, start, platform=platform, default="there" if len(given) == 1 else f"there-{number}")
        if place.name in names:
            raise UsageError(f"two places are called {place.name!r}: write --via web=... --via worker=...")
        names.add(place.name)
        yield place


def parse_via(text: str, start: Path, *, platform: str = sys.platform, default: str = "there") -> Place:
    """`docker compose exec -T web` or `worker=ssh host` as a place; `python` is added where no interpreter ends it."""
    name, equals, prefix = text.partition("=")
    if not (equals and name.replace("-", "").replace("_", "").isalnum() and " " not in name):
        name, prefix = default, text
    try:
        argv = shlex.split(prefix, posix=platform != "win32")
    except ValueError as error:
        raise UsageError(f"--via {safe(text)}: {error}") from error
    if not argv:
        raise UsageError(f"--via {safe(text)!r} names no command")
    if not _is_python(argv[-1]):
        argv.append("python")
    local = len(argv) == 1
    return Place(name, tuple(argv), start, remote=not local)


def _is_python(word: str) -> bool:
    name = word.replace("\\", "/").rpartition("/")[2].lower().removesuffix(".exe")
    return name == "py" or name.rstrip("0123456789.") in {"python", "pypy"}
