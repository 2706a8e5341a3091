"""Check Redis, EAGER mode, the workers and their tasks: the same as `intelli-ops check celery redis`."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

try:
    from intelli_ops.cli import run
except ImportError:
    sys.exit(f"intelli-ops is not installed in {sys.executable}: pip install '.[demo]' in {ROOT}")

sys.exit(run(["check", "celery", "redis", "--project", str(ROOT / "backend"), *sys.argv[1:]]))
