"""The pages under docs/checks, written from the checks themselves: `python -m intelli_ops.docs [DIRECTORY]`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from intelli_checks.model import Check
from intelli_checks.registry import registry

_INDEX = "README.md"


def pages(checks: Iterable[Check]) -> dict[str, str]:
    """File name -> content, the index among them."""
    checks = list(checks)
    return {_INDEX: _index(checks), **{f"{check.id}.md": _page(check) for check in checks}}


def stale(directory: Path, wanted: dict[str, str]) -> list[str]:
    """The files of `directory` that are missing, differ from `wanted`, or belong to no check any more."""
    found = {path.name: path.read_text(encoding="utf-8") for path in directory.glob("*.md")}
    return sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))


def write(directory: Path, wanted: dict[str, str]) -> list[str]:
    """Make `directory` hold exactly `wanted`; the names of what had to change."""
    directory.mkdir(parents=True, exist_ok=True)
    changed = stale(directory, wanted)
    for name in changed:
        if name in wanted:
            (directory / name).write_text(wanted[name], encoding="utf-8", newline="\n")
        else:
            (directory / name).unlink()
    return changed


def builtin() -> list[Check]:
    """The checks of this project, without those that plugins on this machine add."""
    registry.load()
    return [check for check in registry if check.run.__module__.startswith("intelli_checks.")]


_INTRODUCTION = """\
# Checks

One question each. `intelli-ops explain ID` shows the same pages without a browser.

Stages: **static** reads declared configuration only, **live** asks whether it answers, **ready** reads the running
state, **deep** runs real work. A plain `intelli-ops check` goes up to ready."""

_PAGE = """\
# {id}: {title}

{about}

{explanation}

## Ask

```sh
intelli-ops check {id}
```

## Live with it for a while

```sh
intelli-ops check --mute "{id}=why@7d"
```

Or for everybody, in `intelli-ops.toml`:

```toml
[mute]
"{id}" = {{ reason = "why", until = 2027-01-31 }}
```

A mute no longer counts once it has expired or the problem is worse than when it was muted.

{origin}
"""


def _index(checks: list[Check]) -> str:
    parts = [_INTRODUCTION]
    for family, group in groupby(checks, key=lambda check: check.family):
        rows = [f"| [{c.id}]({c.id}.md) | {c.stage.name.lower()} | {_cell(c.title)} |" for c in group]
        table = ["| check | stage | what holds when it passes |", "| --- | --- | --- |", *rows]
        parts += [f"## {family}", "\n".join(table)]
    return "\n\n".join([*parts, _origin("the docstrings of the checks")]) + "\n"


def _page(check: Check) -> str:
    needs = ", ".join(f"[{need}]({need}.md)" for need in check.needs)
    about = [f"**Stage** {check.stage.name.lower()}", f"**limit** {check.timeout:g} s"]
    about += [f"**needs** {needs}; while that fails, this is skipped"] if needs else []
    source = f"the docstring of `{inspect.unwrap(check.run).__name__}` in `{check.run.__module__}`"
    return _PAGE.format(
        id=check.id,
        title=check.title,
        about=" · ".join(about),
        explanation=check.explanation,
        origin=_origin(source),
    )


def _origin(source: str) -> str:
    return f"<sub>Written from {source} by `python -m intelli_ops.docs`.</sub>"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/checks")
    sys.stdout.writelines(f"{folder / name}\n" for name in write(folder, pages(builtin())))
