"""Running the decoder: in a fork of a nursery where the system can fork, else in an interpreter of its own."""

import atexit
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

NURSERY = Path(__file__).with_name("nursery.py")
# The child needs no settings and must not have the worker's secrets: only what loaders need to find shared libraries.
PASSED_ON = ("SYSTEMROOT", "WINDIR", "TEMP", "TMP", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


def run(decoder: Path, order: bytes, seconds: float) -> tuple[int, bytes]:
    """Give one order to the decoder; return its exit code and what it wrote.

    Raises:
        TimeoutError: no end within the time, start included; the child is gone.
    """
    if not hasattr(os, "fork"):
        return _alone(decoder, order, seconds)
    with _borrowed(decoder) as nursery:
        return nursery.ask(order, seconds)


def _isolated(*argv: Path) -> list[str]:
    return [sys.executable, "-I", "-X", "utf8", *map(str, argv)]


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ}


def _alone(decoder: Path, order: bytes, seconds: float) -> tuple[int, bytes]:
    try:
        child = subprocess.run(  # noqa: S603  # our interpreter, our file, our JSON
            _isolated(decoder),
            input=order,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # decoders write what strangers make them write
            env=_environment(),
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    return child.returncode, child.stdout


class _Nursery:
    """One started `nursery.py`; its children share its process group, so that one signal ends them all."""

    def __init__(self, decoder: Path) -> None:
        self._process = subprocess.Popen(  # noqa: S603  # as above
            _isolated(NURSERY, decoder),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
            cwd="/",
            start_new_session=True,
            bufsize=0,
        )

    def ask(self, order: bytes, seconds: float) -> tuple[int, bytes]:
        assert self._process.stdin is not None  # noqa: S101  for the type checker
        self._process.stdin.write(order + b"\n")
        answer = json.loads(self._line(time.monotonic() + seconds))
        return int(answer["exit"]), str(answer["said"]).encode()

    def _line(self, deadline: float) -> bytes:
        assert self._process.stdout is not None  # noqa: S101  as above
        line = b""
        while not line.endswith(b"\n"):
            if not select.select([self._process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError
            piece = os.read(self._process.stdout.fileno(), 65536)
            if not piece:
                raise EOFError("the nursery ended")
            line += piece
        return line

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()


_idle: dict[tuple[int, Path], list[_Nursery]] = {}  # by process: a fork has its parent's objects but not its children


@atexit.register
def _send_home() -> None:
    """At the end of this process; where it is killed instead, its nurseries read the end of their orders and end."""
    for (pid, _), nurseries in _idle.items():
        for nursery in nurseries if pid == os.getpid() else ():
            nursery.kill()


@contextlib.contextmanager
def _borrowed(decoder: Path) -> Iterator[_Nursery]:
    """A nursery for this caller alone. One that was left in the middle of an order is never used again."""
    idle = _idle.setdefault((os.getpid(), decoder), [])
    nursery = idle.pop() if idle else _Nursery(decoder)
    try:
        yield nursery
    except BaseException:
        nursery.kill()
        raise
    idle.append(nursery)
