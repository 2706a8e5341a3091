"""Calls of Channels that do nothing, or raise, because code for an event loop and code without one are mixed.

Syntax only. A call is looked at where its value is thrown away, so a coroutine that is kept and awaited later is none.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

Found = dict[str, Any]
LAYER = ("group_send", "group_add", "group_discard", "send")
SAYS = ("accept", "send", "send_json", "close")
CALLED = ("connect", "disconnect", "receive", "receive_json", "websocket_connect", "websocket_receive")
"""Methods that Channels calls itself, besides the handlers of events."""
SYNC = ("WebsocketConsumer", "JsonWebsocketConsumer", "SyncConsumer")
QUERIES = ("get", "create", "get_or_create", "update_or_create", "count", "exists", "first", "last", "bulk_create")


def slips(tree: ast.Module) -> Iterator[Found]:
    """Every such call and method: what is forgotten, and what cannot work where it stands."""
    layers = layer_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and of_layer(node.value, LAYER, layers):
            yield _found("unawaited", node, call=ast.unparse(node.value.func))
        elif isinstance(node, ast.AsyncFunctionDef):
            yield from _in_loop(node)
    kinds = _kinds(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and kinds.get(node.name) is not None:
            yield from _in_class(node, asynchronous=bool(kinds[node.name]))


def layer_names(tree: ast.AST) -> set[str]:
    """Variables that hold a channel layer."""
    given = [node for node in ast.walk(tree) if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)]
    return {
        target.id
        for node in given
        if _last(node.value.func) == "get_channel_layer"  # type: ignore[attr-defined] # a Call: see above
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def of_layer(call: ast.Call, methods: tuple[str, ...], layers: set[str]) -> bool:
    """Whether this calls one of `methods` of a channel layer, not of a message queue that has such a method too."""
    return isinstance(call.func, ast.Attribute) and call.func.attr in methods and is_layer(call.func.value, layers)


def is_layer(owner: ast.AST, layers: set[str]) -> bool:
    if isinstance(owner, ast.Call):
        return _last(owner.func) == "get_channel_layer"
    name = _last(owner).lower()
    return name == "layer" or name.endswith(("channel_layer", "channellayer")) or getattr(owner, "id", "") in layers


def _last(node: ast.AST) -> str:
    return str(getattr(node, "attr", None) or getattr(node, "id", ""))


def _found(kind: str, node: ast.AST, **more: Any) -> Found:
    return {"kind": kind, "line": getattr(node, "lineno", 0), **more}


def _own(function: ast.AST) -> Iterator[ast.AST]:
    """What runs when `function` does: not the body of what it defines."""
    for child in ast.iter_child_nodes(function):
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            yield child
            yield from _own(child)


def _in_loop(function: ast.AsyncFunctionDef) -> Iterator[Found]:
    """What raises, or holds everybody up, inside a running event loop."""
    inside = list(_own(function))
    awaited = {id(node.value) for node in inside if isinstance(node, ast.Await)}
    for node in inside:
        if not isinstance(node, ast.Call) or id(node) in awaited:
            continue
        if isinstance(node.func, ast.Call) and _last(node.func.func) == "async_to_sync":
            yield _found("sync_in_loop", node, function=function.name)
        elif ast.unparse(node.func) == "time.sleep":
            yield _found("blocks", node, call="time.sleep", function=function.name)
        elif isinstance(node.func, ast.Attribute) and node.func.attr in QUERIES and ".objects." in _chain(node.func):
            yield _found("query_in_loop", node, call=_chain(node.func), function=function.name)


def _chain(node: ast.AST) -> str:
    """`Order.objects.filter.get` of Order.objects.filter(...).get."""
    names: list[str] = []
    while isinstance(node, (ast.Attribute, ast.Call)):
        if isinstance(node, ast.Attribute):
            names.append(node.attr)
        node = node.func if isinstance(node, ast.Call) else node.value
    return ".".join([getattr(node, "id", "?"), *reversed(names)])


def _kinds(tree: ast.Module) -> dict[str, Any]:
    """Class -> whether it is an asynchronous consumer; None for what is no consumer as far as this module tells."""
    bases = {
        node.name: [_last(base) for base in node.bases] for node in ast.walk(tree) if isinstance(node, ast.ClassDef)
    }

    def kind(name: str, depth: int) -> Any:
        if name in bases and depth < len(bases):
            told = [found for found in (kind(base, depth + 1) for base in bases[name]) if found is not None]
            return told[0] if told else None
        if name in SYNC:
            return False
        return True if name.startswith("Async") and name.endswith("Consumer") else None

    return {name: kind(name, 0) for name in bases}


def _in_class(node: ast.ClassDef, *, asynchronous: bool) -> Iterator[Found]:
    for method in node.body:
        if isinstance(method, ast.AsyncFunctionDef) and not asynchronous:
            yield _found("async_method", method, name=method.name, consumer=node.name)
        elif isinstance(method, ast.FunctionDef) and asynchronous and not _gives_back(method):
            yield _found("sync_method", method, name=method.name, consumer=node.name)
        if asynchronous and isinstance(method, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from (_found("unawaited", call, call=ast.unparse(call.func)) for call in _said(method))


def _said(method: ast.AST) -> Iterator[ast.Call]:
    """`self.accept()` as a statement."""
    for node in _own(method):
        call = node.value if isinstance(node, ast.Expr) else None
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in SAYS:
            owner = call.func.value
            if getattr(owner, "id", "") == "self" or (isinstance(owner, ast.Call) and _last(owner.func) == "super"):
                yield call


def _gives_back(method: ast.FunctionDef) -> bool:
    """Whether a decorator, or what it returns, may make it something that can be awaited."""
    returned = any(isinstance(node, ast.Return) and node.value is not None for node in _own(method))
    return returned or bool(method.decorator_list)
