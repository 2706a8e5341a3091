"""Gathered facts as a file, so that a run can be judged again elsewhere, later, by other checks, with no network.

Facts are dataclasses of this package with unions and open mappings in them; each value therefore carries its type, and
only types of `intelli_checks` are ever rebuilt: a recording cannot make the reader import or call anything else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import fields, is_dataclass
from enum import Enum
from importlib import import_module
from pathlib import Path, PurePath
from typing import Any

from intelli_checks.context import Context, fact
from intelli_checks.dsn import Dsn
from intelli_checks.model import Skip, Unavailable
from intelli_checks.probes.layout import Layout
from intelli_checks.target import Target
from intelli_checks.text import scrub

VERSION = 1
_KIND, _VALUE = "$", "value"


def dump(ctx: Context) -> str:
    """Target and facts of `ctx` as JSON, errors included, secrets masked; facts still being gathered are left out."""
    known = {name: future for name, future in ctx.gathered.items() if future.done() and name in _names(type(ctx))}
    facts = {name: _encode(future.exception() or future.result()) for name, future in known.items()}
    return json.dumps({"recording": VERSION, "target": _encode(ctx.target), "facts": facts}, indent=1) + "\n"


def load(text: str) -> Callable[[float], Context]:
    """What makes a context with the recorded facts, given its deadline (monotonic); raises ValueError if malformed.

    Reading a fact that was not recorded raises Skip: nothing is gathered from the system the recording came from.
    """
    document: Any = None
    try:
        document = json.loads(text)
        version, target, facts = document["recording"], _decode(document["target"]), _decode(document["facts"])
    except (AttributeError, KeyError, TypeError, ImportError, RecursionError, ValueError) as error:
        raise ValueError(f"not a recording made by --save: {_instead(document, error)}") from error
    if version != VERSION or not isinstance(target, Target):
        raise ValueError(f"not a recording of version {VERSION} made by --save")
    return lambda deadline: _replay(target, facts, deadline)


def _instead(document: object, error: Exception) -> str:
    """What a text is that is not a recording."""
    if isinstance(error, json.JSONDecodeError):
        return "it is no JSON"
    if isinstance(document, dict) and "checks" in document:
        return "it is a report, which holds verdicts and no facts"
    if isinstance(error, KeyError):
        return f"it has no {error}"
    return str(error)


def _replay(target: Target, facts: Mapping[str, object], deadline: float) -> Context:
    ctx = Context(target, deadline=deadline)
    for name in _names(Context):
        future: Future[Any] = Future()
        value = facts.get(name, Skip("not in the recording"))
        if isinstance(value, Exception):
            future.set_exception(value)
        else:
            future.set_result(value)
        ctx.gathered[name] = future
    return ctx


def _names(owner: type) -> set[str]:
    return {name for base in owner.__mro__ for name, value in vars(base).items() if isinstance(value, fact)}


def _encode(value: object) -> Any:
    if value is None or type(value) in {bool, int, float}:
        return value
    if type(value) is str:
        return scrub(value)
    if isinstance(value, list):
        return [_encode(item) for item in value]
    for kind, owner, parts in _TAGGED:
        if isinstance(value, owner):
            return _tagged(kind, parts(value))
    return _encode_ours(value)


def _encode_ours(value: object) -> Any:
    owner = type(value)
    if owner.__module__.partition(".")[0] == __package__:
        kind = f"{owner.__module__}:{owner.__qualname__}"
        if isinstance(value, Enum):
            return _tagged(kind, value.name)
        if is_dataclass(value):
            return _tagged(kind, {part.name: _encode(getattr(value, part.name)) for part in fields(value) if part.init})
    return scrub(str(value))


def _items(value: Iterable[object]) -> list[Any]:
    return [_encode(item) for item in value]


# What JSON does not know: the tag, the type, and what of the value is written down. The first match counts.
_TAGGED: tuple[tuple[str, Any, Callable[[Any], Any]], ...] = (
    ("tuple", tuple, _items),
    ("set", set | frozenset, lambda value: _items(sorted(value, key=str))),
    ("map", Mapping, lambda value: [[_encode(name), _encode(item)] for name, item in value.items()]),
    ("dsn", Dsn, str),
    ("layout", Layout, lambda value: {name: _encode(part) for name, part in vars(value).items()}),
    ("path", PurePath, str),
    ("unavailable", Unavailable, lambda error: _items([str(error), error.hint, error.subject, error.facts])),
    ("skip", Skip, lambda error: _items([str(error), error.because])),
    ("error", BaseException, lambda error: scrub(f"{type(error).__name__}: {error}")),
)


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if _KIND not in value:
        return {name: _decode(item) for name, item in value.items()}
    kind, content = value[_KIND], _decode(value[_VALUE])
    return _PLAIN[kind](content) if kind in _PLAIN else _rebuild(kind, content)


def _unavailable(parts: list[Any]) -> Unavailable:
    message, hint, subject, facts = parts
    return Unavailable(message, hint=hint, subject=subject, **facts)


_PLAIN: dict[str, Callable[[Any], Any]] = {
    "tuple": tuple,
    "set": frozenset,
    "map": dict,
    "dsn": Dsn,
    "layout": lambda parts: Layout(**parts),
    "path": Path,
    "unavailable": _unavailable,
    "skip": lambda parts: Skip(parts[0], because=parts[1]),
    "error": RuntimeError,
}


def _rebuild(kind: str, content: Any) -> Any:
    module, _, name = kind.partition(":")
    if module.partition(".")[0] != __package__:
        raise ValueError(f"{kind} is not a type of {__package__}")
    owner = getattr(import_module(module), name)
    if isinstance(owner, type) and owner.__module__ == module:
        if issubclass(owner, Enum):
            return owner[content]
        if is_dataclass(owner):
            return owner(**content)
    raise ValueError(f"{kind} is not a fact")


def _tagged(kind: str, value: object) -> dict[str, Any]:
    return {_KIND: kind, _VALUE: value}
