"""Workers that run another checkout of the project: what they import is what lies in their working directory.

Celery puts that directory before everything else when it loads the app (celery.utils.imports, `cwd_in_path`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from filecmp import cmp
from pathlib import Path
from typing import TYPE_CHECKING

from intelli_checks.probes import processes

if TYPE_CHECKING:
    from intelli_checks.probes.processes import Process
    from intelli_checks.probes.survey import Survey


@dataclass(frozen=True, slots=True)
class Copy:
    """Where a worker has its code from, and where we read it."""

    theirs: str
    ours: str
    file: str
    """The first file in which the two differ, as each calls it."""


def gather(survey: Survey, workers: Mapping[int, Process]) -> dict[int, Copy]:
    """By pid; a checkout in which no file differs is as good as ours and left out."""
    app = _file(Path(survey.project), survey.celery_app) if survey.project else None
    if app is None:
        return {}
    ours = Path(survey.project).resolve()
    folders = {pid: Path(worker.directory) for pid, worker in workers.items() if worker.directory}
    apart = {folder: _differs(folder, ours) for folder in set(folders.values()) if _has_its_own(folder, ours, app)}
    return {
        pid: Copy(str(folder.resolve()), str(ours), str(apart[folder]))
        for pid, folder in folders.items()
        if apart.get(folder)
    }


def _file(root: Path, app: str | None) -> Path | None:
    """The file of the app's module, relative to the project's folder; None where it is not below it."""
    return next((path for path in _spelt(app or "") if (root / path).is_file()), None)


def _spelt(app: str) -> Iterator[Path]:
    module = app.partition(":")[0]
    for folder in (Path(), Path("src")) if module else ():
        below = folder.joinpath(*module.split("."))
        yield from (below.with_suffix(".py"), below / "__init__.py")


def _has_its_own(folder: Path, ours: Path, app: Path) -> bool:
    """Whether the app's module there is a file of its own, whatever links and mounts lead to it."""
    try:
        return (folder / app).is_file() and not (folder / app).samefile(ours / app)
    except OSError:
        return False


def _differs(theirs: Path, ours: Path) -> Path | None:
    """The first of our files that is another one there, or none."""
    for path in processes.sources(str(ours)):
        name = path.relative_to(ours)
        try:
            if not (theirs / name).is_file() or not cmp(path, theirs / name, shallow=False):
                return name
        except OSError:
            continue
    return None
