"""A job on the terminal: bars while it runs, a table of what it made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from intelli_checks.text import safe
from intelli_ops.jobs.api import artifacts
from intelli_ops.jobs.follow import ENDED, Follower
from intelli_ops.say import complain, say

_WIDE = 240
_SYMBOLS = {"succeeded": "✓", "failed": "✗", "cancelled": "-"}


def watch(follower: Follower, timeout: float, *, show: bool = True) -> dict[str, Any]:
    """Follow a job to its end, with one bar for each kind of work; the job as it ended.

    Bars go to stderr, and only to a terminal: stdout belongs to results.
    """
    console = Console(stderr=True)
    bars = _Bars(console) if show and console.is_terminal else None
    with bars or nullcontext():
        if bars:
            bars.update(follower.tasks)
        for message in follower.follow(timeout):
            if bars:
                bars.update(follower.tasks)
            elif show and str(message.get("name", "")).startswith(("task.succeeded", "task.failed", "job.")):
                _line(follower, message)
    return follower.job


class _Bars(AbstractContextManager["_Bars"]):
    def __init__(self, console: Console) -> None:
        columns = (
            TextColumn("{task.description:<16}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        self.progress = Progress(*columns, console=console)
        self.rows: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def update(self, tasks: Iterable[Mapping[str, Any]]) -> None:
        total: Counter[str] = Counter()
        done: Counter[str] = Counter()
        for task in tasks:
            for row in ("all", work(task)):
                total[row] += 1
                done[row] += task.get("status") in ENDED
        for row, count in total.items():
            if row not in self.rows:
                self.rows[row] = self.progress.add_task(safe(row))
            self.progress.update(self.rows[row], total=count, completed=done[row])


def _line(follower: Follower, message: Mapping[str, Any]) -> None:
    progress = follower.job.get("progress", {})
    task = (message.get("data") or {}).get("task") or {}
    counted = f"{progress.get('finished', '?')}/{progress.get('total', '?')}"
    complain(f"[{counted:>7}] {message.get('name')} {work(task) if task else ''}".rstrip())


def work(task: Mapping[str, Any]) -> str:
    """What a task does: its algorithm, or its kind where it runs none."""
    return str(task.get("algorithm") or task.get("kind") or "task")


def jobs_table(jobs: Iterable[Mapping[str, Any]]) -> Table:
    """One row per job."""
    table = Table("job", "status", "tasks", "created", box=None, pad_edge=False)
    for job in jobs:
        progress = job.get("progress", {})
        counted = f"{progress.get('finished', '?')}/{progress.get('total', '?')}"
        table.add_row(*map(_text, (job.get("id"), status(job), counted, job.get("created_at", ""))))
    return table


def artifacts_table(job: Mapping[str, Any], places: Mapping[str, str]) -> Table:
    """One row per artifact; `places` tells where each is, by id."""
    names = {image["id"]: image.get("name", "") for image in job.get("images", ())}
    table = Table("image", "algorithm", "artifact", "bytes", "path", box=None, pad_edge=False)
    for task, artifact in artifacts(job):
        place = places.get(str(artifact["id"]), str(artifact["url"]))
        row = (names.get(task.get("image"), ""), work(task), artifact["name"], artifact["size"], place)
        table.add_row(*map(_text, row))
    table.columns[3].justify = "right"
    table.columns[4].overflow = "fold"
    return table


def print_table(table: Table) -> None:
    """To stdout; where that is no terminal, as wide as the table needs: whoever reads it there cuts it himself."""
    console = Console()
    if console.is_terminal:
        console.print(table)
        return
    console = Console(width=_WIDE)
    with console.capture() as capture:
        console.print(table)
    say("\n".join(line.rstrip() for line in capture.get().splitlines()))


def problems(job: Mapping[str, Any]) -> list[str]:
    """A line for each task that failed."""
    failed = [task for task in job.get("tasks", ()) if task.get("status") == "failed"]
    return [
        safe(f"{work(task)} failed: {(task.get('error') or {}).get('message', 'no reason given')}") for task in failed
    ]


def status(job: Mapping[str, Any]) -> str:
    """Symbol and word, so that neither colour nor font decides what is understood."""
    word = str(job.get("status", "unknown"))
    return f"{_SYMBOLS.get(word, '…')} {word}"


def _text(value: object) -> Text:
    return Text(safe(value))
