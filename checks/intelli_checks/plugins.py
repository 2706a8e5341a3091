"""Checks written in any language: executables that keep to the contract of monitoring plugins.

The contract (Monitoring Plugins Development Guidelines): one line on standard output, performance data after a `|`, and
an exit code of 0 OK, 1 WARNING, 2 CRITICAL or 3 UNKNOWN. They are named in the configuration, never found by searching:

    [plugins]
    disk = "check_disk -w 20% -c 10% -p /"
    mail = { command = ["/opt/checks/mail", "--fast"], timeout = 3, hint = "systemctl status postfix" }
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from intelli_checks.context import Context
from intelli_checks.model import Check, Finding, Stage, fail, info, warn
from intelli_checks.text import safe

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_KEYS = frozenset({"command", "timeout", "hint", "title"})
_LIMIT = 16_384
"""Bytes of output that are read; the contract asks for less than 4 KB."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a plugin said and how it ended."""

    code: int
    """Its exit code; negative for the signal that ended it."""
    text: str
    perfdata: str = ""


def checks(entries: Mapping[str, object]) -> list[Check]:
    """The checks of a `[plugins]` table; raises ValueError, naming the entry, for one that makes no sense."""
    return [_check(name, entry) for name, entry in entries.items()]


def ask(argv: Iterable[str], directory: Path, timeout: float) -> Answer:
    """Run a plugin for at most `timeout` seconds, with all it starts; raises TimeoutError, or OSError if it cannot."""
    late = threading.Event()
    with subprocess.Popen(  # noqa: S603 - named in the project's own configuration, and no shell is involved
        list(argv),
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:

        def give_up() -> None:
            late.set()
            _end(process)

        timer = threading.Timer(timeout, give_up)
        timer.daemon = True
        timer.start()
        try:
            output = process.stdout.read(_LIMIT) if process.stdout else b""
            if len(output) < _LIMIT:
                _until_ended(process)  # beyond the limit it is rubbish without end: what matters was in the first line
        finally:
            timer.cancel()
            _end(process)
            code = process.wait()
    if late.is_set():
        raise TimeoutError(f"no answer within {timeout:.1f} s; it was killed")
    return _read(code, output)


def judge(answer: Answer, hint: str) -> Iterable[Finding]:
    """The finding an answer amounts to; raises RuntimeError for UNKNOWN and for anything outside the contract."""
    facts = {"perfdata": answer.perfdata} if answer.perfdata else {}
    text = answer.text or f"exit code {answer.code} and no word"
    match answer.code:
        case 0:
            return [info(text, **facts)]
        case 1:
            return [warn(text, hint=hint, **facts)]
        case 2:
            return [fail(text, hint=hint, **facts)]
    raise RuntimeError(text if answer.code == 3 and answer.text else f"exit code {answer.code}: {text}")


def _check(name: str, entry: object) -> Check:
    table = entry if isinstance(entry, Mapping) else {"command": entry}
    if unknown := sorted(set(table) - _KEYS):
        raise ValueError(f"[plugins] {name}: unknown key {unknown[0]!r}; known are {', '.join(sorted(_KEYS))}")
    if not _NAME.fullmatch(name):
        raise ValueError(f"[plugins] {safe(name)!r}: a name is made of letters, digits, - and _")
    argv = _argv(name, table.get("command"))
    timeout = table.get("timeout", 10.0)
    if not isinstance(timeout, int | float) or timeout <= 0:
        raise ValueError(f"[plugins] {name}: timeout is a number of seconds, not {timeout!r}")
    hint = str(table.get("hint") or f"run it by hand: {shlex.join(argv)}")

    def run(ctx: Context) -> Iterable[Finding]:
        return judge(ask(argv, ctx.target.directory, ctx.budget(float(timeout))), hint)

    title = table.get("title") or f"The plugin {name} is content"
    run.__doc__ = f"{title}.\n\nAn executable of your own, named in [plugins]: {shlex.join(argv)}"
    return Check(f"plugin.{name}", run, Stage.READY, float(timeout) + 0.5)


def _argv(name: str, command: object) -> tuple[str, ...]:
    try:
        argv = shlex.split(command) if isinstance(command, str) else command
    except ValueError as error:
        raise ValueError(f"[plugins] {name}: {error}") from error
    if not isinstance(argv, list) or not argv or not all(isinstance(word, str) for word in argv):
        raise ValueError(f'[plugins] {name}: write {name} = "check_disk -w 20%" or {{ command = ["...", "..."] }}')
    return tuple(argv)


def _read(code: int, output: bytes) -> Answer:
    first = output.decode("utf-8", "replace").strip().partition("\n")[0]
    text, _, perfdata = first.partition("|")
    return Answer(code, safe(text.strip()), safe(perfdata.strip()))


def _until_ended(process: subprocess.Popen[bytes]) -> None:
    """Wait without reaping: as long as the leader is a zombie, its number and its group are nobody else's."""
    if sys.platform != "win32" and hasattr(os, "waitid"):  # on macOS only since Python 3.13
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    else:
        process.wait()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the plugin and whatever it started and left behind."""
    try:
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # all gone; macOS says EPERM of a group of zombies
        return
