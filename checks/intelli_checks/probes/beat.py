"""What is seen of Celery's scheduler, which leaves few traces: no key in Redis, and an answer only since 5.7."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

from intelli_checks.probes import processes
from intelli_checks.probes.processes import Process
from intelli_checks.probes.survey import Survey
from intelli_checks.probes.workers import WorkerFleet


@dataclass(frozen=True, slots=True)
class BeatFacts:
    """Traces of a scheduler."""

    answering: tuple[str, ...] = ()
    """Nodes that answer ping and nothing else; Celery's beat keeps silent when it has stopped ticking."""
    processes: tuple[Process, ...] = ()
    """Beat processes of this project on this machine, workers with `-B` among them."""
    schedule: str = ""
    """The schedule file in the project's directory."""
    written: float | None = None
    """Seconds since it was written; the scheduler does so every three minutes and when it stops."""
    no_folder: str = ""
    """The folder it is to be kept in, where that does not exist: the scheduler ends when it comes up."""


def gather(fleet: WorkerFleet, directory: Path, project: Survey | None) -> BeatFacts:
    """Look at the mailbox, this machine's processes and the project's directory; never opens the file, a pickle."""
    places = [Path(project.project) if project and project.project else directory]
    homes = {str(place.resolve()) for place in (*places, directory)}
    running = tuple(process for process in processes.celery("beat") if process.directory in homes)
    name = str((project.conf.get("beat_schedule_filename") if project else None) or "celerybeat-schedule")
    told = [Path(process.directory, _told(process.command) or name) for process in running]
    files = [path for schedule in (*(place / name for place in places), *told) for path in _written(schedule)]
    newest = max(files, key=lambda path: path.stat().st_mtime, default=None)
    written = max(0.0, time.time() - newest.stat().st_mtime) if newest else None
    folder = (places[0] / name).parent
    no_folder = "" if folder.is_dir() else str(folder)
    return BeatFacts(fleet.others, running, str(newest) if newest else "", written, no_folder)


def _told(command: str) -> str:
    """The schedule file that a command line names."""
    found = re.search(r"\s(?:-s|--schedule)[= ]?(\S+)", command)
    return found[1] if found else ""


def _written(schedule: Path) -> list[Path]:
    """The files of a schedule: `dbm` adds a suffix of its own, or two."""
    try:
        beside = list(schedule.parent.iterdir())
    except OSError:  # no such folder, or none of ours
        return []
    return [path for path in beside if path.name.startswith(schedule.name) and path.is_file()]
