"""`intelli-ops workers status | scale | logs`."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer

from intelli_checks.target import Target
from intelli_checks.text import safe
from intelli_ops import exits
from intelli_ops.commands.grouped import Group
from intelli_ops.commands.options import PROJECT, showing
from intelli_ops.say import say, say_json
from intelli_ops.supervisor.logs import Terminal
from intelli_ops.usage import UsageError, no_such
from intelli_ops.workers import running
from intelli_ops.workers.running import request

app = typer.Typer(
    cls=Group,
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    help="See, scale and read the workers started here.",
)

_NONE = "no workers of this project run here: intelli-ops start-workers"
_MOST = 100  # workers of one profile on one machine: a digit too many would take its files, its memory and the others


@app.command()
@showing(*PROJECT)
def status(
    target: Target, *, as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False
) -> int:
    """Show every worker: exits 0 when all are ready, 1 when not or when none runs.

    Workers that `up` or `demo` runs here, and those somebody started by hand, are told as well.
    """
    from intelli_ops.workers import others

    record = running.read(running.state_of(target.directory))
    units = running.units(record)
    beside = list(others.told(target.directory, record))
    if as_json:
        say_json({"ready": bool(record.get("ready")), "workers": units, "others": beside})
    elif not record:
        say(_NONE)
    for line in [] if as_json else [*map(_line, units), *beside]:
        say(line)
    return exits.HEALTHY if record.get("ready") else exits.FAILED


def _line(unit: Any) -> str:
    born = unit.get("create_time")
    age = f"{time.time() - born:.0f} s" if isinstance(born, int | float) else "-"
    again = f", start number {unit['starts']}" if unit.get("starts", 1) > 1 else ""
    pid = unit.get("pid") or "-"
    return f"{unit.get('phase'):<9} {unit.get('name'):<16} pid {pid:<8} {age:>8}  {unit.get('detail')}{again}"


@app.command()
@showing(*PROJECT)
def scale(
    target: Target,
    *,
    sizes: Annotated[
        list[str], typer.Argument(metavar="PROFILE=COUNT...", help="How many workers of each, at most 100.")
    ],
    wait: Annotated[
        float, typer.Option("--wait", metavar="SECONDS", min=0, help="How long to wait until it is so.")
    ] = 120.0,
) -> int:
    """Run more or fewer workers of a profile; those that go finish what they run."""
    state = running.state_of(target.directory)
    record = running.read(state)
    if not record:
        say(_NONE)
        return exits.FAILED
    wanted = dict(_size(size, record["profiles"]) for size in sizes)
    for profile, count in wanted.items():
        request(state, do="scale", profile=profile, count=count)

    def done(now: running.Record) -> bool:
        have = [unit.get("profile") for unit in running.units(now)]
        return bool(now.get("ready")) and all(have.count(profile) == count for profile, count in wanted.items())

    if running.await_(state, running.telling(record, done), wait):
        return exits.HEALTHY
    if not running.read(state):
        say("the workers have ended meanwhile: intelli-ops workers logs")
        return exits.FAILED
    say(f"not so after {wait:g} s: intelli-ops workers status")
    return exits.COULD_NOT_TELL


def _size(text: str, profiles: list[str]) -> tuple[str, int]:
    profile, _, count = text.partition("=")
    if profile not in profiles:
        raise no_such("profile", profile, profiles)
    if not count.isdecimal():
        raise UsageError(f"{text!r}: write PROFILE=COUNT, for example {profile}=2")
    if int(count) > _MOST:
        raise UsageError(f"{text}: at most {_MOST} workers of a profile run on one machine")
    return profile, int(count)


@app.command()
@showing(*PROJECT)
def logs(
    target: Target,
    *,
    names: Annotated[list[str] | None, typer.Argument(metavar="[WORKER]...", help="Only these [all].")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as they are written.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, metavar="N", help="Of the past, per worker.")] = 20,
) -> int:
    """Show what the workers wrote, each line with who wrote it."""
    folder = running.state_of(target.directory).folder("logs")
    known = sorted(file.stem for file in folder.glob("*.log"))
    if not known:
        say(_NONE)
        return exits.FAILED
    for name in names or ():
        if name not in known:
            raise no_such("worker", name, known)
    terminal = Terminal(sys.stdout)
    terminal.width = max(map(len, names or known), default=0)
    tails = [(name, _tail(folder / f"{name}.log", lines)) for name in names or known]
    pause = threading.Event()
    while True:
        for name, tail in tails:
            if text := next(tail):
                terminal.write(name, safe(text.decode("utf-8", "replace").rstrip("\n")))
        if not follow:
            return exits.HEALTHY
        pause.wait(0.25)


def _tail(path: Path, lines: int) -> Iterator[bytes]:
    """The last lines of a file, then whatever was appended since the last time, through its rotations."""
    file = path.open("rb")
    yield b"\n".join(file.read().splitlines()[-lines:] if lines else [])
    while True:
        yield file.read()
        if _rotated(path, file):
            file.close()
            file = path.open("rb")


def _rotated(path: Path, file: BinaryIO) -> bool:
    try:
        return path.stat().st_size < file.tell()
    except FileNotFoundError:
        return False
