"""How the project's own code uses Celery and Channels: what its configuration must therefore provide.

Syntax only, and only of files that mention it: nothing is imported. What cannot be told for certain is left out.
"""

from __future__ import annotations

import ast
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import consumers, detect, group_names, receivers

MENTIONS = (
    ".delay(", "apply_async(", "send_task(", "chord(", "AsyncResult(", "group_send", "group_add", ".send(", "Consumer)",
)  # fmt: skip
SECONDS = 0.5
"""Time for a whole project; what lies beyond is not looked at."""
MAX_USES = 300
Found = dict[str, Any]


def scan(interview: Any) -> Iterator[tuple[str, Any]]:
    """Every use worth a judgement: kind, file, line and what was found there."""
    root = Path(interview.known.get("root") or ".")
    deadline = time.monotonic() + SECONDS
    found: list[Found] = []
    for path in _files(root, deadline):
        text = path.read_text(encoding="utf-8", errors="replace")
        if any(mention in text for mention in MENTIONS):
            found += [{"file": str(path), **use} for use in uses(text)]
    yield "usage", found[:MAX_USES]
    yield "usage_complete", len(found) <= MAX_USES and time.monotonic() < deadline


def _files(root: Path, deadline: float) -> Iterator[Path]:
    for folder, names, files in os.walk(str(root)):
        if time.monotonic() > deadline:
            return
        names[:] = sorted(name for name in names if detect.wanted(Path(folder, name)))
        yield from (Path(folder, name) for name in sorted(files) if name.endswith(".py") and "test" not in name)


def uses(text: str) -> list[Found]:
    """What one module does; empty for one that does not parse."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return []
    received = receivers.sends(tree) if any(signal in text for signal in receivers.SIGNALS.values()) else ()
    return sorted([*_Reader().read(tree), *consumers.slips(tree), *received], key=lambda use: use["line"])


class _Reader(ast.NodeVisitor):
    """Walks one module, knowing whether it stands inside a transaction and which names hold pending results."""

    def __init__(self) -> None:
        self.found: list[Found] = []
        self.atomic = 0
        self.pending: set[str] = set()
        self.texts: group_names.Known = {}
        self.messages: dict[str, ast.Dict] = {}
        self.layers: set[str] = set()
        self.functions: list[str] = [""]

    def read(self, tree: ast.Module) -> list[Found]:
        self.texts = group_names.assigned(tree)
        self.messages = _messages(tree)
        self.layers = consumers.layer_names(tree)
        self.visit(tree)
        return self.found

    def add(self, kind: str, node: ast.AST, **more: Any) -> None:
        self.found.append({"kind": kind, "line": getattr(node, "lineno", 0), **more})

    def visit_FunctionDef(self, node: Any) -> None:
        """A function runs where it is called, which is not where it is written."""
        outer, self.atomic = self.atomic, sum(_is_atomic(decorator) for decorator in node.decorator_list)
        self.functions.append(node.name)
        self.generic_visit(node)
        self.functions.pop()
        self.atomic = outer

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        if any(
            str(getattr(base, "attr", getattr(base, "id", ""))).endswith("WebsocketConsumer") for base in node.bases
        ):
            self.add("consumer", node, name=node.name)
        self.generic_visit(node)

    def visit_With(self, node: ast.With) -> None:
        self._inside(sum(_is_atomic(item.context_expr) for item in node.items), node)

    def _inside(self, atomic: int, node: ast.AST) -> None:
        self.atomic += atomic
        self.generic_visit(node)
        self.atomic -= atomic

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """`on_commit(lambda: task.delay())` runs later, outside the transaction."""
        outer, self.atomic = self.atomic, 0
        self.generic_visit(node)
        self.atomic = outer

    def visit_Assign(self, node: ast.Assign) -> None:
        if isinstance(node.value, ast.Call) and _called(node.value) in (*receivers.SENDERS, "AsyncResult"):
            self.pending |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        called = _called(node)
        if called in receivers.SENDERS and isinstance(node.func, ast.Attribute):
            self._sent(node)
        elif called == "chord":
            self.add("chord", node)
        elif called in ("get", "join") and self._waits(node):
            self.add("get", node, function=self.functions[-1])
        elif called == "group_send" or (called == "send" and consumers.is_layer(_owner(node), self.layers)):
            self._event(called, node)
        elif called == "receive" and consumers.is_layer(_owner(node), self.layers):
            self.add("receives", node)
        if called in ("group_send", "group_add") and node.args:
            self.add(called, node, group=group_names.text(node.args[0], self.texts))
        self.generic_visit(node)

    def _sent(self, node: ast.Call) -> None:
        if self.atomic:
            self.add("sent_in_transaction", node, task=receivers.task_of(node))
        for keyword in node.keywords:
            seconds = _number(keyword.value)
            if keyword.arg == "countdown" and seconds is not None:
                self.add("countdown", node, seconds=seconds)

    def _waits(self, node: ast.Call) -> bool:
        owner = node.func.value if isinstance(node.func, ast.Attribute) else None
        if isinstance(owner, ast.Call):
            return _called(owner) in (*receivers.SENDERS, "AsyncResult")
        return isinstance(owner, ast.Name) and owner.id in self.pending

    def _event(self, called: str, node: ast.Call) -> None:
        named = [keyword.value for keyword in node.keywords if keyword.arg == "message"]
        for argument in node.args[1:2] or named:
            message = self.messages.get(argument.id) if isinstance(argument, ast.Name) else argument
            kind = _dict_value(message, "type", self.texts)
            if self.atomic and called == "group_send":
                self.add("event_in_transaction", node)
            if kind and (called == "group_send" or "." in kind):
                self.add("event", node, type=kind)
            elif called == "group_send" and _lacks_type(argument):
                self.add("untyped", node)


def _is_atomic(node: ast.AST) -> bool:
    function = node.func if isinstance(node, ast.Call) else node
    return getattr(function, "attr", getattr(function, "id", "")) == "atomic"


def _called(node: ast.Call) -> str:
    """The name that is called, through `async_to_sync(...)` too."""
    if isinstance(node.func, ast.Call) and _called(node.func) == "async_to_sync" and node.func.args:
        return str(getattr(node.func.args[0], "attr", ""))
    return str(getattr(node.func, "attr", None) or getattr(node.func, "id", ""))


def _owner(node: ast.Call) -> ast.AST:
    """Whose method is called, through `async_to_sync(...)` too."""
    method = node.func.args[0] if isinstance(node.func, ast.Call) and node.func.args else node.func
    return method.value if isinstance(method, ast.Attribute) else method


def _lacks_type(message: ast.AST) -> bool:
    """A dictionary that is written out here, all of it, and has no type."""
    keys = message.keys if isinstance(message, ast.Dict) else [None]
    return not any(key is None or not isinstance(key, ast.Constant) or key.value == "type" for key in keys)


def _number(node: ast.AST) -> float | None:
    """A constant, or a product of constants such as `60 * 60 * 2`."""
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        return float(node.value)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        left, right = _number(node.left), _number(node.right)
        return left * right if left is not None and right is not None else None
    return None


def _dict_value(node: ast.AST | None, name: str, texts: dict[str, Any]) -> str | None:
    """The text under a key of a dictionary that is written out; None where only the running program knows it."""
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values):
            if isinstance(key, ast.Constant) and key.value == name:
                found = group_names.text(value, texts)
                return found if found and "*" not in found else None
    return None


def _messages(tree: ast.Module) -> dict[str, ast.Dict]:
    """Name -> the one dictionary it stands for in this module; what is a parameter as well is left out."""
    given: dict[str, list[ast.AST]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            given.setdefault(node.arg, []).append(node)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    given.setdefault(target.id, []).append(node.value)
                elif isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name):
                    given.setdefault(target.value.id, []).append(node)  # its type may be what is changed
    return {name: found[0] for name, found in given.items() if len(found) == 1 and isinstance(found[0], ast.Dict)}
