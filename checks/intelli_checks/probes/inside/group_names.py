"""Names of channel layer groups as the code writes them, with `*` for what only a running program knows."""

from __future__ import annotations

import ast
import re
from typing import Any

Known = dict[str, Any]


def assigned(tree: ast.Module) -> Known:
    """Name -> the one text it stands for in this module; names that may stand for several are left out."""
    found: dict[str, set[Any]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            found.setdefault(node.arg, set()).add(None)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                found.setdefault(_name(target), set()).add(text(node.value, {}))
        elif isinstance(node, (ast.AnnAssign, ast.AugAssign, ast.For)):
            found.setdefault(_name(node.target), set()).add(None)
    return {name: next(iter(texts)) for name, texts in found.items() if name and len(texts) == 1}


def text(node: ast.AST, known: Known) -> Any:
    """`order_*` for f"order_{number}"; None where nothing is known of the name."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        left = text(node.left, known)
        return re.sub(r"%(\(\w+\))?[sdr]", "*", left) if left else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        sides = [text(side, known) or "*" for side in (node.left, node.right)]
        return "".join(sides) if sides != ["*", "*"] else None
    if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "format":
        left = text(node.func.value, known)  # type: ignore[attr-defined] # an Attribute: it has `attr`
        return re.sub(r"\{[^{}]*\}", "*", left) if left else None
    return known.get(_name(node))


def _name(node: ast.AST) -> str:
    """`self.group` and `group` are two names."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    return getattr(node, "id", "")
