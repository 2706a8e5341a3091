"""What only Windows can show (S12): breaks instead of signals, jobs instead of groups, the launchers in PowerShell."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from intelli_fixtures.processes import until

pytestmark = pytest.mark.skipif(sys.platform != "win32", reason="Windows only")

ROOT = Path(__file__).resolve().parents[2]
DRIVER = ROOT / "tests" / "supervisor" / "driver.py"
NEW_GROUP = 0x00000200  # subprocess.CREATE_NEW_PROCESS_GROUP, which other platforms lack
POLITE = """
import pathlib, signal, sys, time
def end(*_):
    pathlib.Path('ended').touch()
    sys.exit(0)
signal.signal(signal.SIGBREAK, end)
pathlib.Path('here').touch()
while True: time.sleep(0.1)
"""
FAMILY = "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n" + POLITE


@pytest.fixture
def drive(tmp_path):
    """A supervisor in a console group of its own, with one child that runs `code`."""
    started = []

    def start(code):
        spec = {"folder": str(tmp_path), "services": [{"name": "one", "code": code}], "policy": {}}
        with (tmp_path / "output").open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, str(DRIVER), json.dumps(spec)],
                stdout=output,
                stderr=subprocess.STDOUT,
                creationflags=NEW_GROUP,
            )
        started.append(process)
        until((tmp_path / "here").exists, 30, (tmp_path / "output").read_text)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_s12_a_break_stops_the_child_in_order(drive, tmp_path):
    process = drive(POLITE)
    os.kill(process.pid, signal.CTRL_BREAK_EVENT)
    assert process.wait(30) == 0, (tmp_path / "output").read_text()
    assert (tmp_path / "ended").exists()


def test_s12_a_killed_supervisor_leaves_nobody_behind(drive):
    process = drive(FAMILY)
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) >= 2
    process.kill()
    process.wait()
    assert not psutil.wait_procs(family, timeout=5)[1]


@pytest.mark.parametrize("shell", ["powershell", "pwsh"])
@pytest.mark.parametrize("door", ["scripts/start_celery_worker.ps1", "backend/scripts/start_celery_worker.ps1"])
@pytest.mark.parametrize(("arguments", "code"), [(["--help"], 0), (["--no-such-option"], 2)])
def test_the_launchers_pass_arguments_and_exit_codes_on(tmp_path, shell, door, arguments, code):
    found = shutil.which(shell)
    if not found:
        pytest.skip(f"{shell} is not installed")
    checkout = tmp_path / "check out's $HOME"
    for folder in ("scripts", "backend/scripts"):
        shutil.copytree(ROOT / folder, checkout / folder)
    ran = subprocess.run(
        [found, "-NoProfile", "-ExecutionPolicy", "Bypass", "-File", str(checkout / door), *arguments],
        cwd=tmp_path,
        env={**os.environ, "VIRTUAL_ENV": sys.prefix},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == code, ran.stdout + ran.stderr
    assert "start-workers" in ran.stdout + ran.stderr
