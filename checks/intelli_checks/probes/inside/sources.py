"""Where a setting gets its value: module and line in the project's source, and the environment variable it reads.

Told from the syntax of the modules that were really loaded, followed through `from .base import *`, because at run time
a setting no longer knows who wrote it.
"""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from . import values
from .detect import parse

Place = dict[str, Any]
MAX_CHAIN = 30


def find_setting(interview: Any, spellings: Sequence[str]) -> Place | None:
    """The last place that gives a value to one of `spellings` (`X`, `CELERY_X` too)."""
    names = set(spellings)
    for name in spellings:
        names |= {name.upper(), "CELERY_" + name.upper()}
    found = None
    for file in _files(interview):
        for node, value in _bindings(file, names):
            found = _place(interview, file, node, value)
    return found


def environment_read(interview: Any) -> list[str]:
    """Every name by which the settings may ask for an environment variable, wherever in their modules that is."""
    chain: list[str] = []
    _follow(interview.known.get("settings_module") or "", chain)
    trees = [tree for file in chain if (tree := parse(Path(file)))]
    return sorted({name for tree in trees for name in _variables(tree)})[: values.MAX_ITEMS]


def _files(interview: Any) -> list[str]:
    """In order of application: settings from the base up, then the modules that change `app.conf`."""
    from .celery_side import search_paths

    chain: list[str] = []
    settings = interview.known.get("settings_module")
    if settings:
        _follow(settings, chain)
    return chain + [file for file in search_paths(interview) if file not in chain]


def _follow(module: str, chain: list[str]) -> None:
    """Append the files of `module`, what it star-imports first."""
    file = values.module_file(module)
    if file is None or file in chain or len(chain) > MAX_CHAIN:
        return
    tree = parse(Path(file))
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.ImportFrom):
            source = _absolute(node, module)
            for name in [source, *(f"{source}.{alias.name}" for alias in node.names)]:
                if values.is_project_file(values.module_file(name) or "<none>"):
                    _follow(name, chain)
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "include":  # django-split-settings
            chain += [path for path in _included(node, file) if path not in chain]
    chain.append(file)


def _absolute(node: ast.ImportFrom, module: str) -> str:
    if not node.level:
        return node.module or ""
    package = module.split(".")
    if not getattr(sys.modules.get(module), "__path__", None):
        package.pop()
    base = package[: len(package) - node.level + 1]
    return ".".join(base + ([node.module] if node.module else []))


def _included(node: ast.Call, file: str) -> Iterator[str]:
    for argument in node.args:
        for constant in ast.walk(argument):
            if isinstance(constant, ast.Constant) and isinstance(constant.value, str):
                yield from (str(path) for path in sorted(Path(file).parent.glob(constant.value)))


def _bindings(file: str, names: set[str]) -> Iterator[tuple[ast.AST, ast.expr]]:
    """Every `NAME = v`, `conf.name = v`, `conf["name"] = v`, `update(name=v)` and `{"name": v}` in `file`, in order."""
    tree = parse(Path(file))
    found = [pair for node in ast.walk(tree) for pair in _bound(node, names)] if tree else []
    yield from sorted(found, key=lambda pair: getattr(pair[0], "lineno", 0))


def _bound(node: ast.AST, names: set[str]) -> Iterator[tuple[ast.AST, ast.expr]]:
    if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            if _name_of(target) in names:
                yield node, node.value
    elif isinstance(node, ast.keyword) and node.arg in names:
        yield node.value, node.value
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values):
            if isinstance(key, ast.Constant) and key.value in names:
                yield key, value


def _name_of(target: ast.expr) -> str | None:
    if isinstance(target, ast.Subscript):
        index = target.slice
        return index.value if isinstance(index, ast.Constant) and isinstance(index.value, str) else None
    return getattr(target, "id", None) or getattr(target, "attr", None)


def _place(interview: Any, file: str, node: ast.AST, value: ast.expr) -> Place:
    line = getattr(node, "lineno", 0)
    place: Place = {"file": file, "line": line, "value": _literal(value), "variables": [], "yes": _yes(value)}
    for name in _variables(value):
        place["variables"].append({"name": name, **_variable(interview, name)})
    return place


def _literal(value: ast.expr) -> str | None:
    """The expression as written, when it is a constant: anything longer may hold a secret."""
    return repr(value.value) if isinstance(value, ast.Constant) else None


YES = ["1", "true", "yes", "on", "t", "y"]
_TURNS = (ast.Not, ast.NotEq, ast.NotIn, ast.And, ast.IfExp)


def _yes(value: ast.expr) -> list[str]:
    """What a variable must say, in lower case, for the expression to be true; empty where more than that decides."""
    nodes = list(ast.walk(value))
    if any(isinstance(node, _TURNS) for node in nodes):
        return []
    compared = [part for node in nodes if isinstance(node, ast.Compare) for part in node.comparators]
    words = [one for part in compared for one in ast.walk(part) if isinstance(one, ast.Constant)]
    return [str(word.value).lower() for word in words] if compared else YES


def _variables(value: ast.AST) -> list[str]:
    """Environment variables an expression reads: `os.environ["X"]`, `env.bool("X")`, `config("X")`."""
    names = []
    for node in ast.walk(value):
        first: ast.AST | None = None
        if isinstance(node, ast.Call) and node.args:
            first = node.args[0]
        elif isinstance(node, ast.Subscript):
            first = node.slice
        if isinstance(first, ast.Constant) and re.fullmatch(r"[A-Z][A-Z0-9_]+", str(first.value)):
            names.append(str(first.value))
    return names


def _variable(interview: Any, name: str) -> dict[str, Any]:
    """Whether the variable is set, and whether it came with the process or from a file the project loaded itself."""
    if name not in os.environ:
        return {"set": False, "origin": None}
    if name in interview.environ:
        return {"set": True, "origin": "environment"}
    return {"set": True, "origin": _dotenv_line(interview, name) or "loaded by the project"}


def _dotenv_line(interview: Any, name: str) -> str | None:
    root = Path(interview.known.get("root") or ".")
    pattern = re.compile(rf"\s*(?:export\s+)?{name}\s*=")
    for folder in (root, root.parent):
        for path in sorted(folder.glob(".env*")):
            if path.is_file():
                lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
                for number, line in enumerate(lines, 1):
                    if pattern.match(line):
                        return f"{path}:{number}"
    return None
