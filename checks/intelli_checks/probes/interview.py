"""Pipe the survey's source into an interpreter and collect what it tells, within a total deadline."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from queue import Empty, Queue
from typing import IO, Any

from intelli_checks.probes.inside import values
from intelli_checks.target import Place
from intelli_checks.text import safe

MAX_ANSWER = 32 * 1024 * 1024
"""Bytes: a project with 10,000 tasks tells about 4 MB."""
MAX_STDERR = 64 * 1024
INSIDE = Path(values.__file__).parent
MODULES = (
    "values", "detect", "sources", "names", "bindings", "calls", "celery_side", "django_side", "channels_side",
    "applications", "layer_side", "group_names", "consumers", "receivers", "usage", "control_side", "main",
)  # fmt: skip
"""In import order: each imports only those before it at its top level."""


@dataclass(slots=True)
class Answer:
    """What one interpreter told before it ended, or before its time was up."""

    facts: dict[str, Any] = field(default_factory=dict)
    errors: list[dict[str, Any]] = field(default_factory=list)
    stages: list[str] = field(default_factory=list)
    """Stages begun; the last one is where it hung, if it did."""
    ended: bool = False
    stderr: str = ""
    returncode: int | None = None
    seconds: float = 0.0
    share: float | None = None
    """Of one core, what it used or waited for in the later part of its time; None where it was not seen then."""

    def take(self, record: Mapping[str, Any]) -> None:
        """Add one record of the wire format: `{"begin"}`, `{"stage", "facts", "error"?}` or `{"end"}`."""
        if "begin" in record:
            self.stages.append(str(record["begin"]))
        self.facts.update(record.get("facts", {}))
        if error := record.get("error"):
            self.errors.append(dict(error))
        self.ended = self.ended or "end" in record


@dataclass(frozen=True, slots=True)
class Hang:
    """Where an interpreter stood still: the innermost frame, and the innermost of the project's own."""

    file: str
    line: int
    function: str
    inside: str
    """`file:line in function` of what the project's line was waiting in; empty when that line itself was."""


def ask(place: Place, request: Mapping[str, Any], timeout: float, environ: Mapping[str, str] | None = None) -> Answer:
    """Hold the interview at `place`; back within `timeout` seconds whatever the project does.

    `environ` is the environment to ask in, where that is not our own.

    Raises OSError (FileNotFoundError, PermissionError) when the first word of the prefix cannot be started.
    """
    started = time.monotonic()
    deadline = started + timeout
    marker = secrets.token_hex(16) + " "
    # The interpreter ends itself a little earlier, after telling where it stood; through `docker exec`, killing our
    # side would leave it running.
    grace = min(1.0, 0.15 * timeout) if place.remote else min(0.4, 0.1 * timeout)
    limits = {"seconds": max(0.1, timeout - grace)}
    if not place.remote:  # one clock for both: what the interpreter's start costs a busy machine is not added
        limits["ends"] = time.time() + limits["seconds"]
    program = source({**request, "marker": marker, **limits}, piped=place.remote)
    process = _start(place, os.environ if environ is None else environ)
    pulse = _Pulse(process.pid, timeout)
    if not place.remote:  # of one elsewhere only the line to it runs here
        pulse.start()
    try:
        answer = _listen(process, program, marker, deadline)
    finally:
        pulse.over.set()
        _end(process, patience=0.1 if time.monotonic() < deadline else 0.0)
    answer.returncode = process.returncode
    answer.seconds = time.monotonic() - started
    answer.share = pulse.share
    return answer


class _Pulse(threading.Thread):
    """Whether an interpreter that is late still works: a large project on a busy machine does, one that hangs does not.

    Looks at the second half alone: what was imported before it came to stand still counts for nothing.
    """

    def __init__(self, pid: int, timeout: float) -> None:
        super().__init__(name="pulse", daemon=True)
        self.pid, self.timeout = pid, timeout
        self.over = threading.Event()
        self.share: float | None = None

    def run(self) -> None:
        if self.over.wait(self.timeout * 0.5):
            return
        before, began = _wanted(self.pid), time.monotonic()
        if not self.over.wait(self.timeout * 0.3):
            self.share = (_wanted(self.pid) - before) / (time.monotonic() - began)


def _wanted(pid: int) -> float:
    """Seconds in which a process and what it started used a processor, or had to wait for one; 0 where it is gone."""
    import psutil

    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        return sum(sum(one.cpu_times()[:2]) + _queued(one.pid) for one in family)
    except psutil.Error:
        return 0.0


def _queued(pid: int) -> float:
    """Seconds the main thread was ready to run on a machine that had no time for it; 0 where nobody counts them.

    Source: Documentation/scheduler/sched-stats.rst of Linux, /proc/PID/schedstat.
    """
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def _start(place: Place, environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - an argv list, never a shell
        [*place.argv, "-"],
        cwd=place.directory,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**environ, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONIOENCODING": "utf-8"},
        start_new_session=True,  # ignored on Windows
    )


def _listen(process: subprocess.Popen[bytes], program: bytes, marker: str, deadline: float) -> Answer:
    """Read until the interview's end, the end of the pipe, or the deadline.

    Reading happens on daemon threads: a grandchild that inherited the pipe keeps it open after the interpreter is gone,
    and nothing may wait for that.
    """
    # With an end: a project that prints without pause must wait for us and not fill our memory.
    chunks: Queue[tuple[str, bytes]] = Queue(maxsize=64)
    threading.Thread(target=_write, args=(process.stdin, program), daemon=True).start()
    for name, stream in (("out", process.stdout), ("err", process.stderr)):
        threading.Thread(target=_read, args=(name, stream, chunks), daemon=True).start()
    answer, out, err, open_streams = Answer(), bytearray(), bytearray(), {"out", "err"}
    while open_streams and not answer.ended and len(out) < MAX_ANSWER:
        try:
            name, chunk = chunks.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            break
        if not chunk:
            open_streams.discard(name)
        elif name == "out":
            out += chunk
            if b"\n" in chunk:
                _take_lines(answer, out, marker)
        else:
            err = (err + chunk)[-MAX_STDERR:]
    answer.stderr = err.decode("utf-8", "replace")
    return answer


def _take_lines(answer: Answer, out: bytearray, marker: str) -> None:
    *lines, rest = bytes(out).split(b"\n")
    out[:] = rest
    for line in lines:
        _, found, record = line.decode("utf-8", "replace").partition(marker)
        if not found:
            continue
        try:
            answer.take(json.loads(record))
        except (ValueError, TypeError, AttributeError, RecursionError):
            answer.errors.append(_garbled(answer))


def _garbled(answer: Answer) -> dict[str, Any]:
    step = answer.stages[-1] if answer.stages else "interpreter"
    message = "the project wrote to standard output in the middle of an answer, which is lost"
    return {"step": step, "type": "Garbled", "message": message, "file": None, "line": None, "module": None}


def _write(stream: IO[bytes], program: bytes) -> None:
    try:
        with stream:
            stream.write(program)
    except OSError:  # it ended before it had read us: its stderr and return code say why
        return


def _read(name: str, stream: IO[bytes], chunks: Queue[tuple[str, bytes]]) -> None:
    with stream:
        while chunk := os.read(stream.fileno(), 65536):
            chunks.put((name, chunk))
    chunks.put((name, b""))


def _end(process: subprocess.Popen[bytes], patience: float) -> None:
    """Collect the interpreter, after `patience` seconds by force, and take what it started with it."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(patience)
    _kill(process)
    try:
        process.wait(1.0)
    except subprocess.TimeoutExpired:  # in an uninterruptible wait (a dead network mount): leave it to init
        return


def _kill(process: subprocess.Popen[bytes]) -> None:
    if sys.platform == "win32":
        process.kill()
        return
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # all gone; macOS says the latter of zombies
        return


# -- what is piped ----------------------------------------------------------------------------------------------------

_BOOTSTRAP = """\
import json, sys, types
package = types.ModuleType("intelli_inside")
package.__path__ = {path!a}
sys.modules["intelli_inside"] = package
for name, text in json.loads({sources!r}).items():
    module = types.ModuleType("intelli_inside." + name)
    module.__package__ = "intelli_inside"
    sys.modules[module.__name__] = module
    setattr(package, name, module)
    exec(compile(text, "<intelli-ops " + name + ">", "exec"), module.__dict__)
from intelli_inside.main import run
run(json.loads({request!r}))
"""


def source(request: Mapping[str, Any], *, piped: bool = True) -> bytes:
    """The program that asks `request`: the modules of `inside` and a few lines that make them a package.

    An interpreter on this machine need not have them piped: it finds them, mostly compiled already, where we do.
    """
    path, sources = ([], _sources()) if piped else ([str(INSIDE)], "{}")
    return _BOOTSTRAP.format(path=path, sources=sources, request=json.dumps(request)).encode("ascii")


@cache
def _sources() -> str:
    return json.dumps({name: (INSIDE / f"{name}.py").read_text(encoding="utf-8") for name in MODULES})


# -- where it hung ----------------------------------------------------------------------------------------------------

TIMEOUT = "Timeout ("
"""How faulthandler begins to tell that the time is over."""

_FRAME = re.compile(r'^  File "(?P<file>.*)", line (?P<line>\d+) in (?P<function>.*)$', re.MULTILINE)


def hang(stderr: str) -> Hang | None:
    """Read faulthandler's dump: where the main thread stood, as far as the project's own code is concerned."""
    _, dumped, dump = stderr.rpartition(TIMEOUT)
    if not dumped:
        return None
    main_thread = dump.split("Thread 0x")[-1]  # faulthandler prints the main thread last
    frames = [(safe(m["file"]), int(m["line"]), safe(m["function"])) for m in _FRAME.finditer(main_thread)]
    if not frames:
        return None
    own = next((frame for frame in frames if values.is_project_file(frame[0]) and "<" not in frame[0]), frames[0])
    inner = frames[0]
    return Hang(*own, inside="" if own == inner else f"{inner[0]}:{inner[1]} in {inner[2]}")
