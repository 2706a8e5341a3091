"""Find the two EAGER settings in a settings module, on syntax, not on text.

libcst tells where an assignment stands; the edit itself is a splice on the decoded text, so what is not touched cannot
change. (Offsets of `ast` count bytes of the UTF-8 form: on a latin-1 file they were measured to cut a literal in half.)
"""

from __future__ import annotations

import io
import re
import tokenize
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    import libcst

ALWAYS = "CELERY_TASK_ALWAYS_EAGER"
PROPAGATES = "CELERY_TASK_EAGER_PROPAGATES"
NAMES = (ALWAYS, PROPAGATES)

_SETTERS = {*NAMES, "task_always_eager", "task_eager_propagates"}

Where: TypeAlias = Literal["live", "commented", "absent"]

_COMMENTED = re.compile(rf"#[# \t]*(?P<name>{ALWAYS}|{PROPAGATES})[ \t]*=[ \t]*(?P<value>True|False)[ \t]*(#.*)?$")


class Refusal(Exception):
    """The file says it in a way that cannot be edited with certainty; each reason names its line."""

    def __init__(self, *reasons: str) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


@dataclass(frozen=True, slots=True)
class Source:
    """A module's text with what is needed to give back the very same bytes."""

    text: str
    encoding: str

    @classmethod
    def read(cls, data: bytes) -> Source:
        """Decode as Python would (PEP 263, BOM); raises Refusal for what is not Python text."""
        if b"\0" in data:
            raise Refusal("the file contains NUL bytes: it is not Python source")
        try:
            encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
            return cls(data.decode(encoding), encoding)
        except (SyntaxError, UnicodeDecodeError, LookupError) as error:
            raise Refusal(f"the file cannot be decoded: {error}") from error

    def encode(self) -> bytes:
        return self.text.encode(self.encoding)

    @property
    def newline(self) -> str:
        """The file's own line ending, taken from its first line."""
        found = re.search(r"\r\n|\n|\r", self.text)
        return found[0] if found else "\n"

    def offset(self, line: int, column: int) -> int:
        """The index in `text` of a position as libcst gives it (line from 1, column from 0, in characters)."""
        starts = [0, *(match.end() for match in re.finditer(r"\r\n|\n|\r", self.text))]
        return starts[line - 1] + column


@dataclass(frozen=True, slots=True)
class Spot:
    """Where one of the names stands: character offsets into the text."""

    name: str
    where: Where
    line: int = 0
    value: bool | None = None
    statement: tuple[int, int] = (0, 0)
    """From the first character of the statement (or comment) to the end of its last line, newline excluded."""
    literal: tuple[int, int] = (0, 0)
    alone: bool = False
    """True when the statement is a single line of its own, so that a `#` in front of it comments it out."""


def find(source: Source) -> dict[str, Spot]:
    """One spot per name; raises Refusal when the module cannot be parsed or an assignment is not plain."""
    if not source.text.removeprefix("\ufeff").strip():
        raise Refusal("the file is empty: it is no settings module")
    live = _Finder(source).spots
    commented = _commented(source)
    return {name: live.get(name) or commented.get(name) or Spot(name, "absent") for name in NAMES}


def _commented(source: Source) -> dict[str, Spot]:
    """The last commented-out assignment of each name that stands at the left margin, outside any bracket or string."""
    spots: dict[str, Spot] = {}
    depth = 0
    for token in tokenize.generate_tokens(io.StringIO(source.text, newline="").readline):
        if token.type == tokenize.OP:
            depth += (token.string in "([{") - (token.string in ")]}")
        elif token.type == tokenize.COMMENT and depth == 0 and token.start[1] == 0:
            match = _COMMENTED.match(token.string.rstrip())
            if match:
                begin = source.offset(*token.start)
                span = (begin, begin + len(token.string))
                value = match["value"] == "True"
                spots[match["name"]] = Spot(match["name"], "commented", token.start[0], value, span, alone=True)
    return spots


class _Finder:
    """Walks the syntax tree once, collecting plain assignments and reasons to refuse."""

    def __init__(self, source: Source) -> None:
        import libcst
        from libcst import metadata

        self.source = source
        self.spots: dict[str, Spot] = {}
        self.reasons: list[str] = []
        # libcst wants no BOM and is told nothing of the encoding: positions are characters of the decoded text.
        try:
            wrapper = metadata.MetadataWrapper(libcst.parse_module(source.text.removeprefix("\ufeff")))
        except libcst.ParserSyntaxError as error:
            raise Refusal(f"line {error.raw_line}: syntax error") from error
        self.positions = wrapper.resolve(metadata.PositionProvider)
        contexts = wrapper.resolve(metadata.ExpressionContextProvider)
        self.contexts = {node: context.name for node, context in contexts.items() if context}
        for statement in wrapper.module.body:
            self._statement(statement)
        if self.reasons:
            raise Refusal(*self.reasons)

    def _statement(self, statement: libcst.BaseStatement) -> None:
        import libcst

        if not isinstance(statement, libcst.SimpleStatementLine):
            self._suspect(statement, "inside a block, a function or a class: its effect depends on what runs")
            return
        for part in statement.body:
            if isinstance(part, libcst.Expr) and isinstance(
                part.value, libcst.SimpleString | libcst.ConcatenatedString
            ):
                continue  # a docstring may name the settings
            if not (isinstance(part, libcst.Assign) and self._plain(part, statement, alone=len(statement.body) == 1)):
                self._suspect(part, "not by a plain `NAME = True` or `NAME = False`")

    def _plain(self, assign: libcst.Assign, statement: libcst.BaseStatement, *, alone: bool) -> bool:
        """Record `NAME = True|False`; False when it is anything else."""
        import libcst

        target = assign.targets[0].target
        value = assign.value
        if len(assign.targets) != 1 or not isinstance(target, libcst.Name) or target.value not in NAMES:
            return False
        if not isinstance(value, libcst.Name) or value.value not in {"True", "False"}:
            return False
        line = self.positions[assign].start.line
        if target.value in self.spots:
            first = self.spots[target.value].line
            self.reasons.append(f"line {line}: {target.value} is assigned a second time (first on line {first})")
            return True
        self.spots[target.value] = self._spot(target.value, value, statement, alone=alone)
        return True

    def _spot(self, name: str, value: libcst.Name, statement: libcst.BaseStatement, *, alone: bool) -> Spot:
        at, literal = self.positions[statement], self.positions[value]
        begin = self.source.offset(at.start.line, at.start.column)
        end_of_line = re.compile(r"[^\r\n]*").match(self.source.text, self.source.offset(at.end.line, at.end.column))
        return Spot(
            name,
            "live",
            at.start.line,
            value.value == "True",
            (begin, end_of_line.end() if end_of_line else begin),
            (
                self.source.offset(literal.start.line, literal.start.column),
                self.source.offset(literal.end.line, literal.end.column),
            ),
            alone and at.start.line == at.end.line,
        )

    def _suspect(self, node: libcst.CSTNode, why: str) -> None:
        """Refuse for every way in `node` to set a value that nobody can edit with certainty; reading it is fine."""
        import libcst
        from libcst import matchers

        kinds = (
            matchers.Name() | matchers.Attribute() | matchers.Arg() | matchers.SimpleString() | matchers.ImportAlias()
        )
        for found in matchers.findall(node, kinds):
            match found:
                case libcst.Attribute(attr=libcst.Name(value=word)) if self.contexts.get(found) in {"STORE", "DEL"}:
                    pass
                case libcst.ImportAlias(asname=None, name=libcst.Name(value=word)):
                    pass
                case libcst.Name(value=word) if self.contexts.get(found) in {"STORE", "DEL"}:
                    pass
                case libcst.Arg(keyword=libcst.Name(value=word)):
                    pass
                case libcst.SimpleString(evaluated_value=str(word)):
                    pass
                case _:
                    continue
            if word in _SETTERS:
                self.reasons.append(f"line {self.positions[found].start.line}: {word} is set, but {why}")
