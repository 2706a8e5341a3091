"""Which Python a project runs on, told from the files around it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

NAMES = (".venv", "venv", "env", ".env", "virtualenv")


def find_interpreter(
    root: Path, start: Path, environ: Mapping[str, str], platform: str = sys.platform
) -> tuple[str, str]:
    """The interpreter and what told: a virtual environment in or beside the project, the active one, else our own."""
    for folder, origin in (*_beside(root, start), *_pipenv(root, environ), *_active(environ)):
        python = interpreter_of(folder, platform)
        if python.is_file():
            return str(python), f"found in {origin}"
    return sys.executable, "found: the interpreter intelli-ops itself runs on"


def interpreter_of(folder: Path, platform: str = sys.platform) -> Path:
    """Where a virtual environment keeps its interpreter."""
    return folder / "Scripts" / "python.exe" if platform == "win32" else folder / "bin" / "python"


def _beside(root: Path, start: Path) -> Iterator[tuple[Path, str]]:
    for folder in dict.fromkeys((root, start, root.parent)):
        for name in NAMES:
            if (folder / name / "pyvenv.cfg").is_file():
                yield folder / name, str(folder / name)


def _pipenv(root: Path, environ: Mapping[str, str]) -> Iterable[tuple[Path, str]]:
    """Pipenv writes the project's path into the environment it keeps elsewhere."""
    home = environ.get("HOME") or environ.get("USERPROFILE")
    default = Path(home, ".local", "share", "virtualenvs") if home else None
    folder = Path(environ["WORKON_HOME"]) if environ.get("WORKON_HOME") else default
    if folder is None or not folder.is_dir():
        return
    for note in sorted(folder.glob(f"{root.name}-*/.project")):
        if note.read_text(encoding="utf-8").strip() == str(root):
            yield note.parent, str(note.parent)


def _active(environ: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        if environ.get(variable):
            yield Path(environ[variable]), f"environment variable {variable}"
