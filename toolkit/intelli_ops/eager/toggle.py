"""Switch EAGER on and off in the text of a settings module, so that off undoes on to the byte.

The guide's two commented lines are uncommented and commented again. Whatever that round trip could not restore (a value
that was `False`, a comment in another style, lines that did not exist) is written down beside the line, in a comment
that `off` reads back.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace

from intelli_ops.eager.syntax import ALWAYS, NAMES, PROPAGATES, Refusal, Source, Spot, find

_NOTE = "# intelli-ops eager: "
_WAS = re.compile(rf"[ \t]*{_NOTE}was (?P<text>\".*\")[ \t]*$")
_ADDED = re.compile(rf"{_NOTE}added(?P<bare> after a last line without newline)?[ \t]*$")


def is_on(data: bytes) -> bool:
    """Whether the module, as written, switches EAGER mode on; raises Refusal when that cannot be told."""
    spot = find(Source.read(data))[ALWAYS]
    return spot.where == "live" and spot.value is True


def switch(data: bytes, *, on: bool) -> bytes:
    """The module with EAGER switched; the same bytes when it already is. Raises Refusal when it cannot be sure."""
    source = Source.read(data)
    if not on:
        return _verified(_off(source), on=False).encode()
    if all(spot.value is True and spot.where == "live" for spot in find(source).values()):
        return data
    plain = _on(source, note=False)
    if _restores(plain, source):
        return _verified(plain, on=True).encode()
    return _verified(_on(source, note=True), on=True).encode()


def _restores(changed: Source, original: Source) -> bool:
    try:
        return _off(changed) == original
    except Refusal:
        return False


def _verified(source: Source, *, on: bool) -> Source:
    """The edit read back as Python reads it: the last line of defence against a splice in the wrong place."""
    spot = find(source)[ALWAYS]
    if (spot.where == "live" and spot.value is True) != on:
        raise Refusal(f"line {spot.line}: the edit would not have the effect asked for")
    return source


def _on(source: Source, *, note: bool) -> Source:
    spots = find(source)
    edits = [_enable(source.text, spot, note=note) for spot in spots.values() if spot.where != "absent"]
    changed = _splice(source, edits)
    missing = [name for name, spot in spots.items() if spot.where == "absent"]
    return _append(changed, missing) if missing else changed


def _enable(text: str, spot: Spot, *, note: bool) -> tuple[int, int, str]:
    begin, end = spot.statement
    old = text[begin:end]
    if spot.where == "commented":
        new = re.sub(r"^#[# \t]*", "", old)
        new = re.sub(r"=([ \t]*)False", r"=\1True", new, count=1)
    else:
        first, last = (offset - begin for offset in spot.literal)
        new = f"{old[:first]}True{old[last:]}"
    if note:
        new = f"{new}  {_NOTE}was {json.dumps(old)}"
    return begin, end, new


def _append(source: Source, names: list[str]) -> Source:
    text, newline = source.text, source.newline
    bare = bool(text.removeprefix("\ufeff")) and not text.endswith(("\n", "\r"))
    notes = [f"{_NOTE}added", f"{_NOTE}added after a last line without newline" if bare else f"{_NOTE}added"]
    lines = [f"{name} = True  {notes[name == names[0]]}" for name in names]
    return replace(source, text=text + (newline if bare else "") + newline.join(lines) + newline)


def _off(source: Source) -> Source:
    edits = []
    for name in NAMES:
        spot = find(source)[name]
        if spot.where == "live" and (name == PROPAGATES or spot.value):
            edits.append(_disable(source.text, spot))
    if find(source)[ALWAYS].value is not True and not any(_noted(source.text, find(source)[n]) for n in NAMES):
        return source
    return _splice(source, edits)


def _noted(text: str, spot: Spot) -> bool:
    statement = text[slice(*spot.statement)]
    return spot.where == "live" and bool(_WAS.search(statement) or _ADDED.search(statement))


def _disable(text: str, spot: Spot) -> tuple[int, int, str]:
    begin, end = spot.statement
    statement = text[begin:end]
    if was := _WAS.search(statement):
        return begin, end, str(json.loads(was["text"]))
    if added := _ADDED.search(statement):
        return _without_line(text, begin, end, bare=bool(added["bare"]))
    if spot.alone:
        return begin, begin, "# "
    return *spot.literal, "False"


def _without_line(text: str, begin: int, end: int, *, bare: bool) -> tuple[int, int, str]:
    after = re.compile(r"\r\n|\n|\r").match(text, end)
    before = re.search(r"(\r\n|\n|\r)$", text[:begin])
    return begin - (len(before[0]) if bare and before else 0), after.end() if after else end, ""


def _splice(source: Source, edits: list[tuple[int, int, str]]) -> Source:
    text = source.text
    for begin, end, new in sorted(edits, reverse=True):
        text = text[:begin] + new + text[end:]
    return replace(source, text=text)
