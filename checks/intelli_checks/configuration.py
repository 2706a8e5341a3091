"""The target, from flags, environment, configuration file and detection, in this order; and where each value came from."""

from __future__ import annotations

import difflib
import os
import shlex
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from intelli_checks.dsn import Dsn
from intelli_checks.interpreters import find_interpreter
from intelli_checks.probes.inside.detect import SETTINGS, Project, find_project
from intelli_checks.target import Place, Target
from intelli_checks.text import safe

FILE = "intelli-ops.toml"
VALUES = (
    "project", "settings", "app", "python", "via", "broker", "results", "layer", "web", "websocket", "origin", "timeout",
)  # fmt: skip
TABLES = ("workers", "flow", "mute", "plugins", "thresholds", "supervisor", "infrastructure")
"""Read by those they belong to, from `Configuration.tables`."""
PREFIX = "INTELLI_OPS_"


class UsageError(Exception):
    """What was asked for cannot be meant: a name nobody knows, a folder that is not there. Exit code 2."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """One configuration file, read and checked."""

    path: Path | None = None
    values: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: MappingProxyType({}))


def resolve(
    flags: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    platform: str = sys.platform,
) -> Target:
    """The target meant by `flags` here and now; raises UsageError, naming what is wrong and what would be right."""
    environ = os.environ if environ is None else environ
    cwd = cwd or Path.cwd()
    configuration = read(cwd)
    given, origins = _layers(flags or {}, environ, configuration)
    start = _folder(given.get("project"), cwd)
    bare = "broker" in given and not {"project", "settings", "app", "via", "python"} & given.keys()
    project = find_project(start)
    if not (project.found or {"settings", "app", "via"} & given.keys()):
        project, places = Project(start), ()
    else:
        places = tuple(_places(given, project, start, environ, platform, origins))
    if bare and not project.found:
        places = ()
    settings = _settings(given, project, environ, origins)
    return Target(
        directory=project.root,
        places=places,
        settings=settings,
        app=_app(given, project, environ, origins),
        broker=_dsn(given, "broker"),
        results=_dsn(given, "results"),
        layer=_dsn(given, "layer"),
        web=given.get("web"),
        websocket=given.get("websocket"),
        origin=given.get("origin"),
        workers=configuration.tables.get("workers", MappingProxyType({})),
        flow=configuration.tables.get("flow", MappingProxyType({})),
        timeout=_seconds(given.get("timeout", 10.0), origins.get("timeout", "")),
        origins=MappingProxyType({"project": "found on disk", **origins}),
    )


# -- the configuration file -------------------------------------------------------------------------------------------


def read(folder: Path) -> Configuration:
    """`intelli-ops.toml`, else `[tool.intelli-ops]` of pyproject.toml, in `folder` or the nearest one above it."""
    for place in (folder, *folder.parents):
        for path, table in ((place / FILE, ()), (place / "pyproject.toml", ("tool", "intelli-ops"))):
            if path.is_file() and (content := _content(path, table)) is not None:
                return _checked(path, content)
        if (place / ".git").exists():
            break
    return Configuration()


def _content(path: Path, table: Iterable[str]) -> dict[str, Any] | None:
    try:
        content: Any = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path}: {error}") from error
    for name in table:
        content = content.get(name)
        if content is None:
            return None
    return dict(content)


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
        if name not in VALUES:
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


def _dsn(given: Mapping[str, Any], name: str) -> Dsn | None:
    if name not in given:
        return None
    url = str(given[name])
    if "://" not in url:
        raise UsageError(f"{name} wants a URL such as redis://127.0.0.1:6379/0, not {safe(url)!r}")
    return Dsn(url)


def _seconds(value: Any, origin: str) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = 0.0
    if not 0.0 < seconds < float("inf"):
        raise UsageError(f"timeout wants seconds above 0, not {value!r} ({origin})")
    return seconds


# -- places -----------------------------------------------------------------------------------------------------------


def _places(
    given: Mapping[str, Any],
    project: Project,
    start: Path,
    environ: Mapping[str, str],
    platform: str,
    origins: dict[str, str],
) -> Iterable[Place]:
    if "via" in given:
        yield from _vias(given["via"], start, platform)
        return
    if "python" in given:
        python = _command(str(given["python"]), start)
    else:
        python, origins["python"] = find_interpreter(project.root, start, environ, platform)
    yield Place("here", (python,), project.root)


def _command(python: str, start: Path) -> str:
    import shutil

    path = Path(python).expanduser()
    if found := shutil.which(str(path)) or shutil.which(str(start / path)):
        return found
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
