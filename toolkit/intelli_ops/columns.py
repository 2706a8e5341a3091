"""Tables for people: aligned columns, nothing folded, so that a row stays one line of `grep`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from intelli_checks.text import safe


def columns(head: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    """The lines of a table; columns that hold only numbers, or a dash for none, are set flush right."""
    cells = [[safe(cell) for cell in row] for row in (head, *rows)]
    wide = [max(map(len, column)) for column in zip(*cells, strict=True)]
    right = [all(isinstance(row[at], int) or row[at] == "-" for row in rows) for at in range(len(head))]
    for row in cells:
        parts = [f"{cell:>{w}}" if r else f"{cell:<{w}}" for cell, w, r in zip(row, wide, right, strict=True)]
        yield "  ".join(parts).rstrip()
