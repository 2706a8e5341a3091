"""What is seen of Celery's scheduler, which leaves few traces: no key in Redis, and an answer only since 5.7."""

from __future__ import annotations

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


def gather(fleet: WorkerFleet, directory: Path, project: Survey | None) -> BeatFacts:
    """Look at the mailbox, this machine's processes and the project's directory; never opens the file, a pickle."""
    places = [Path(project.project) if project and project.project else directory]
    homes = {str(place.resolve()) for place in (*places, directory)}
    running = tuple(process for process in processes.celery("beat") if process.directory in homes)
    places += [Path(process.directory) for process in running]
    name = str((project.conf.get("beat_schedule_filename") if project else None) or "celerybeat-schedule")
    files = [path for place in places for path in place.glob(f"{name}*") if path.is_file()]
    newest = max(files, key=lambda path: path.stat().st_mtime, default=None)
    written = max(0.0, time.time() - newest.stat().st_mtime) if newest else None
    return BeatFacts(fleet.others, running, str(newest) if newest else "", written)
