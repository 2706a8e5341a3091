"""Tasks that a receiver of `post_save` or `m2m_changed` sends at once: before the commit, inside a transaction.

Syntax only. Whatever stands in a function or lambda inside the receiver runs when somebody calls it, after the commit
where `on_commit` does; a countdown usually outlasts the transaction; and a task that is told nothing of what was saved
may need no row. None of these is told.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

Found = dict[str, Any]
SIGNALS = {f"django.db.models.signals.{name}": name for name in ("post_save", "m2m_changed")}
DECORATORS = ("django.dispatch.receiver", "django.dispatch.dispatcher.receiver")
SENDERS = ("delay", "apply_async")
LATER = ("countdown", "eta")
ABOUT = ("sender", "signal", "created", "raw", "using", "update_fields", "action", "model", "reverse")
"""What a signal tells besides the rows themselves."""
_DEFERRED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


def sends(tree: ast.Module) -> Iterator[Found]:
    """Every call in a receiver that sends a task about what was saved: its line, the signal and the task."""
    imported = _imported(tree)
    connected = _connected(tree, imported)
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not _deferred(node):
            signal = _decorated(node, imported) or connected.get(node.name)
            for call in _calls(node.body) if signal else ():
                if _sends(call) and _names(_told(call)) & _about_rows(node):
                    line = call.lineno
                    yield {"kind": "sent_in_receiver", "line": line, "signal": signal, "task": task_of(call)}


def task_of(call: ast.Call) -> str | None:
    """The name a task is sent by: `thumbnail` of `tasks.thumbnail.delay(...)`; None where that is an expression."""
    node: Any = call.func.value if isinstance(call.func, ast.Attribute) and call.func.attr in SENDERS else None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):  # of a signature: thumbnail.si(...)
        node = node.func.value
    return getattr(node, "attr", getattr(node, "id", None))


def _imported(tree: ast.Module) -> dict[str, str]:
    """Name in this module -> what was imported under it, with its module."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level:
            found.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
    return found


def _full(node: ast.AST, imported: dict[str, str]) -> str:
    """`signals.post_save` with the module it comes from; mongoengine has signals of the same names."""
    if isinstance(node, ast.Attribute):
        return f"{_full(node.value, imported)}.{node.attr}"
    return imported.get(node.id, "") if isinstance(node, ast.Name) else ""


def _decorated(function: Any, imported: dict[str, str]) -> str | None:
    for node in function.decorator_list:
        if isinstance(node, ast.Call) and node.args and _full(node.func, imported) in DECORATORS:
            first = node.args[0]
            named = first.elts if isinstance(first, (ast.List, ast.Tuple)) else [first]
            told = [SIGNALS.get(_full(one, imported)) for one in named]
            return next((signal for signal in told if signal), None)
    return None


def _connected(tree: ast.Module, imported: dict[str, str]) -> dict[str, str]:
    """Function -> the signal of `post_save.connect(function)`."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "connect":
            signal = SIGNALS.get(_full(node.func.value, imported))
            given = node.args[:1] or [keyword.value for keyword in node.keywords if keyword.arg == "receiver"]
            found.update({one.id: signal for one in given if signal and isinstance(one, ast.Name)})
    return found


def _deferred(function: Any) -> bool:
    """Whether a decorator of the project's own makes the whole receiver wait."""
    return any("commit" in ast.unparse(decorator) for decorator in function.decorator_list)


def _calls(nodes: list[Any]) -> Iterator[ast.Call]:
    """Calls that are made when the receiver runs, in the order of its lines."""
    for node in nodes:
        if not isinstance(node, _DEFERRED):
            if isinstance(node, ast.Call):
                yield node
            yield from _calls(list(ast.iter_child_nodes(node)))


def _sends(call: ast.Call) -> bool:
    method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    named = bool(call.args) and isinstance(call.args[0], ast.Constant)
    return (method in SENDERS or (method == "send_task" and named)) and not any(
        keyword.arg in LATER for keyword in call.keywords
    )


def _told(call: ast.Call) -> list[ast.expr]:
    """What a task is given, by the call or by the signature that is sent: `task.s(pk).delay()`."""
    told: list[ast.expr] = []
    node: ast.expr = call
    while isinstance(node, (ast.Call, ast.Attribute)):
        if isinstance(node, ast.Call):
            told += [*node.args, *(keyword.value for keyword in node.keywords)]
            node = node.func
        else:
            node = node.value
    return told


def _names(nodes: list[ast.expr]) -> set[str]:
    return {part.id for node in nodes for part in ast.walk(node) if isinstance(part, ast.Name)}


def _about_rows(function: Any) -> set[str]:
    """Names that may hold something of what was saved: parameters, and whatever the receiver assigns."""
    named = {node.arg for node in ast.walk(function.args) if isinstance(node, ast.arg)}
    stored = {node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return (named - set(ABOUT)) | stored
