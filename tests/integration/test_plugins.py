"""Executables as checks: every way they may end, and that nothing of them stays behind."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from intelli_checks.context import Context
from intelli_checks.plugins import checks
from intelli_checks.runner import diagnose
from intelli_checks.target import Target
from intelli_fixtures.processes import until

pytestmark = pytest.mark.skipif(os.name == "nt", reason="process groups are POSIX")


def ran(tmp_path: Path, code: str, **more: object):
    entry = {"command": [sys.executable, "-c", code], **more}
    return diagnose(checks({"mine": entry}), Context(Target(tmp_path, timeout=5.0))).results[0]


@pytest.mark.parametrize(
    ("code", "outcome", "said"),
    [
        ("print('OK - fine | free=7;;')", "passed", "OK - fine"),
        ("print('WARNING - low'); exit(1)", "warned", "WARNING - low"),
        ("print('CRITICAL - full'); exit(2)", "failed", "CRITICAL - full"),
        ("exit(2)", "failed", "exit code 2 and no word"),
    ],
)
def test_the_contract(tmp_path: Path, code: str, outcome: str, said: str):
    result = ran(tmp_path, code)
    assert (result.outcome.value, result.findings[0].message) == (outcome, said)
    assert (result.findings[0].hint == "") is (outcome == "passed")


def test_performance_data_are_facts(tmp_path: Path):
    assert ran(tmp_path, "print('OK | free=7;;')").findings[0].facts == {"perfdata": "free=7;;"}


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("print('UNKNOWN - no idea'); exit(3)", "no idea"),
        ("exit(42)", "exit code 42"),
        ("import os; os.kill(os.getpid(), 11)", "exit code -11"),
        ("raise ValueError", "warned"),
    ],
)
def test_anything_else_could_not_tell(tmp_path: Path, code: str, reason: str):
    result = ran(tmp_path, code)
    if reason == "warned":  # Python's own exit code 1 is a WARNING by the contract
        assert result.outcome.value == "warned"
    else:
        assert result.outcome.value == "errored"
        assert reason in str(result.reason)


def test_an_executable_that_is_not_there_could_not_tell(tmp_path: Path):
    result = diagnose(checks({"mine": "/nonexistent/check"}), Context(Target(tmp_path))).results[0]
    assert result.outcome.value == "errored"
    assert "/nonexistent/check" in str(result.reason)


def test_a_plugin_that_hangs_is_killed_with_its_children(tmp_path: Path):
    code = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open({str(tmp_path / "pid")!r}, "w").write(str(child.pid))
time.sleep(60)
"""
    began = time.monotonic()
    result = ran(tmp_path, code, timeout=1.5)
    assert time.monotonic() - began < 4
    assert (result.outcome.value, "killed" in str(result.reason)) == ("errored", True)
    child = int((tmp_path / "pid").read_text())
    until(lambda: not _alive(child), 5, "the plugin's child to end")


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_rubbish_without_end_is_cut(tmp_path: Path):
    began = time.monotonic()
    result = ran(tmp_path, "while True: print('\\x1b[2J' * 1000)")
    assert time.monotonic() - began < 4
    assert result.outcome.value == "errored"
    assert "\x1b" not in str(result.reason)


@pytest.mark.parametrize(
    "entries",
    [
        {"a": 7},
        {"a": []},
        {"a": {}},
        {"a": {"comand": "x"}},
        {"a b": "x"},
        {"a": {"command": "x", "timeout": "soon"}},
        {"a": {"command": ["x", 1]}},
        {"a": '"unclosed'},
    ],
)
def test_an_entry_nobody_understands_is_refused(entries: dict[str, object]):
    with pytest.raises(ValueError, match=r"\[plugins\]"):
        checks(entries)
