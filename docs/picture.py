"""Draw coloured terminal output as SVG: `intelli-ops check --color | python docs/picture.py docs/check.svg`."""

from __future__ import annotations

import re
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH = 84
PROMPT = "\x1b[2m$\x1b[0m intelli-ops check\n\n"


def draw(ansi: str) -> str:
    """The SVG of what a terminal would show; no font is fetched from anywhere."""
    console = Console(record=True, width=WIDTH, file=StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.from_ansi(PROMPT + ansi), end="")
    svg = console.export_svg(title="intelli-ops check", unique_id="check")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    return re.sub(r"Fira Code, monospace", "Fira Code, DejaVu Sans Mono, Menlo, Consolas, monospace", svg)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(draw(sys.stdin.read()), encoding="utf-8")
