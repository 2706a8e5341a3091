"""The command line on a real terminal: colours, progress, and nothing obeyed that came from outside."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import suppress

import pytest

if os.name == "nt":
    pytest.skip("pseudo-terminals are POSIX", allow_module_level=True)

import pty

from intelli_ops.supervisor.state import State

SGR = re.compile(r"\x1b\[[\d;]*m")
OURS = re.compile(r"\x1b\[([\d;]*m|\?25[hl]|1A|2K)")
"""Colours, and what a spinner needs: hide and show the cursor, one line up, clear the line."""


def on_terminal(cli, *args: str, **env: str) -> tuple[int, str]:
    """Exit code and everything the terminal received, both streams."""
    master, slave = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "intelli_ops", *args],
        cwd=cli.directory,
        env=cli.env(**{"TERM": "xterm-256color", **env}),
        stdin=slave,
        stdout=slave,
        stderr=slave,
    ) as process:
        os.close(slave)
        shown = b""
        with suppress(OSError):  # EIO is how a pseudo-terminal says that the other side has gone
            while chunk := os.read(master, 65536):
                shown += chunk
        os.close(master)
    return process.returncode, shown.decode()


def test_a_terminal_gets_colours_unless_it_has_none(cli):
    assert SGR.search(on_terminal(cli, "check", "lab.queues")[1])
    for env in ({"TERM": "dumb"}, {"NO_COLOR": "1"}):
        code, shown = on_terminal(cli, "check", "lab.queues", **env)
        assert (code, "\x1b" in shown) == (1, False)


def test_a_hostile_name_reaches_no_terminal(cli):
    logs = State(cli.directory, "workers").folder("logs")
    (logs / "mail.log").write_text("done \x1b]0;title\x07 \x9b2J \u202egnp.exe\n", encoding="utf-8")
    for command in (
        ["check", "lab.hostile", "-v"],
        ["check", "\x1b[2J"],
        ["explain", "\x1b]0;title\x07"],
        ["config", "show", "--settings", "\x1b[2J\x9b2J"],
        ["probe", "live", "--heartbeat", "\x1b[2J"],
        ["jobs", "watch", "\x1b[2J"],
        ["workers", "logs"],
    ):
        code, shown = on_terminal(cli, *command)
        assert code in {0, 1, 2}
        assert shown.strip()
        assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202e]", OURS.sub("", shown))


def test_somebody_who_waits_is_told_for_what(cli):
    code, shown = on_terminal(cli, "check", "lab.hangs", "--timeout", "2.5")
    assert code == 3
    assert "waiting for lab.hangs" in shown
    assert SGR.sub("", shown).rstrip().endswith("start with lab.hangs")


def test_a_quick_run_shows_no_progress(cli):
    assert "waiting" not in on_terminal(cli, "check", "lab.passes")[1]
