"""A socket to where the project runs: its interpreter, behind `docker exec`, `kubectl exec` or `ssh`, passes bytes on.

`redis:6379` in a container's settings names nothing on the machine in front of it, and `localhost` names something
else. Dialled from inside, both mean what they mean to the project.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import PurePath

from intelli_checks.target import Place
from intelli_checks.text import safe

# Runs on Python 3.9+, standard library only. Its first line says how connecting went; then it only carries bytes.
RELAY = """
import os, socket, sys, threading
host, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
def say(line):
    os.write(1, line.encode("utf-8", "replace") + b"\\n")
try:
    if host.startswith("/"):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(host)
    else:
        sock = socket.create_connection((host, port), seconds)
except socket.gaierror as error:
    say("resolve %s" % (error.strerror or error))
    sys.exit(0)
except OSError as error:
    say("connect %s" % (error.strerror or error))
    sys.exit(0)
sock.settimeout(None)
say("open %s" % (sock.getsockname(),))
def send():
    while True:
        data = os.read(0, 65536)
        if not data:
            os._exit(0)
        sock.sendall(data)
threading.Thread(target=send, daemon=True).start()
while True:
    data = sock.recv(65536)
    if not data:
        os._exit(0)
    while data:
        data = data[os.write(1, data):]
"""
_SAID_AT_MOST = 500


class RelayError(Exception):
    """Connecting from the other side failed; `step` is `resolve` or `connect`."""

    def __init__(self, step: str, detail: str) -> None:
        super().__init__(detail)
        self.step = step


def connect(place: Place, host: str, port: int, seconds: float) -> socket.socket:
    """A socket whose other end is `host:port` as seen from `place`; back within `seconds`.

    Closing it ends the relay. Raises RelayError when the other side cannot connect, or does not answer.
    """
    process = _start(place, host, port, seconds)
    ours, theirs = socket.socketpair()
    last_words: list[str] = []
    complaints = _thread(_complain, process, last_words)
    _thread(_carry_out, theirs, process)
    _thread(_carry_in, theirs, process)
    try:
        step, _, detail = _first_line(ours, seconds).partition(" ")
    except BaseException:
        ours.close()
        process.kill()
        raise
    if step == "open":
        return ours
    ours.close()
    complaints.join(1.0)
    reason = detail or " ".join(last_words) or "ended without a word"
    raise RelayError("resolve" if step == "resolve" else "connect", reason if detail else f"{place.argv[0]}: {reason}")


def _thread(run: Callable[..., None], *arguments: object) -> threading.Thread:
    thread = threading.Thread(target=run, args=arguments, daemon=True)
    thread.start()
    return thread


def _start(place: Place, host: str, port: int, seconds: float) -> subprocess.Popen[bytes]:
    words = ["-c", RELAY, host, str(port), str(seconds)]
    if PurePath(place.argv[0]).stem == "ssh":  # the other side's shell takes the words apart again
        words = [shlex.quote(word) for word in words]
    try:
        return subprocess.Popen(  # noqa: S603 - an argv list, never a shell of ours
            [*place.argv, *words],
            cwd=place.directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except OSError as error:
        raise RelayError("connect", f"{place.argv[0]}: {error.strerror or error}") from error


def _first_line(ours: socket.socket, seconds: float) -> str:
    said = bytearray()
    ours.settimeout(seconds)
    try:
        while not said.endswith(b"\n") and len(said) < _SAID_AT_MOST:
            byte = ours.recv(1)
            if not byte:
                break
            said += byte
    except TimeoutError as error:
        raise RelayError("connect", "timed out: packets are dropped on the way") from error
    return safe(said.decode("utf-8", "replace").strip())


def _complain(process: subprocess.Popen[bytes], last_words: list[str]) -> None:
    """Keep the last line of standard error: why the prefix itself did not run."""
    with contextlib.suppress(OSError, ValueError):
        for line in process.stderr or ():
            last_words[:] = [safe(line.decode("utf-8", "replace").strip())[:_SAID_AT_MOST]]


def _carry_out(theirs: socket.socket, process: subprocess.Popen[bytes]) -> None:
    """From us to the relay; at our end's close the relay's input ends, and with it the relay."""
    with contextlib.suppress(OSError, ValueError):
        while process.stdin and (data := theirs.recv(65536)):
            process.stdin.write(data)
            process.stdin.flush()
    with contextlib.suppress(OSError, ValueError):
        if process.stdin:
            process.stdin.close()


def _carry_in(theirs: socket.socket, process: subprocess.Popen[bytes]) -> None:
    """From the relay to us, then reap it."""
    with contextlib.suppress(OSError, ValueError), theirs:
        while process.stdout and (data := os.read(process.stdout.fileno(), 65536)):
            theirs.sendall(data)
        theirs.shutdown(socket.SHUT_RDWR)  # closing alone would not wake the thread that reads it
    with contextlib.suppress(OSError, ValueError):
        process.__exit__(None, None, None)  # closes the pipes and waits
