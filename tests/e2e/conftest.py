"""The command line as its users have it: a process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

LABORATORY = Path(__file__).parent / "laboratory"


class Cli:
    """Runs `intelli-ops` in a directory of its own, with the laboratory's checks installed and a clean environment."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def env(self, **extra: str) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if k in {"PATH", "SYSTEMROOT", "COVERAGE_PROCESS_START", "TMPDIR"}}
        home = {"HOME": str(self.directory), "XDG_STATE_HOME": str(self.directory / "state"), "PYTHONUTF8": "1"}
        return {**kept, **home, "PYTHONPATH": str(LABORATORY), **extra}

    def start(self, *args: str, env: dict[str, str] | None = None, **more) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "intelli_ops", *args],
            cwd=self.directory,
            env=self.env(**(env or {})),
            text=True,
            encoding="utf-8",
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more},
        )

    def __call__(self, *args: str, env: dict[str, str] | None = None, **more) -> subprocess.CompletedProcess[str]:
        with self.start(*args, env=env, **more) as process:
            try:
                out, err = process.communicate(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return subprocess.CompletedProcess(args, process.returncode, out, err)


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)
