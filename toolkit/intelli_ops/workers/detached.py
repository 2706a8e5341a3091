"""Run a command line that arrives on standard input: in argv every user of the machine could read its passwords."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from intelli_ops.supervisor.platforms import Platform


def launch(argv: list[str], log: Path, platform: Platform) -> subprocess.Popen[bytes]:
    """Start `intelli-ops ARGV` so that it outlives this terminal, its output going to `log`."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
    with os.fdopen(os.open(log, flags, 0o600), "ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "intelli_ops.workers.detached"],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            **platform.detach_options(),
        )
    assert process.stdin is not None  # noqa: S101 - PIPE above
    with process.stdin as told:
        told.write(json.dumps(argv).encode())
    return process


if __name__ == "__main__":
    from intelli_ops.cli import run

    sys.exit(run(json.load(sys.stdin)))
