"""Check the channel layer, the WebSocket routes and their events: `intelli-ops check websocket channels`."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

try:
    from intelli_ops.cli import run
except ImportError:
    sys.exit(f"intelli-ops is not installed in {sys.executable}: pip install '.[demo]' in {ROOT}")

sys.exit(run(["check", "websocket", "channels", "--project", str(ROOT / "backend"), *sys.argv[1:]]))
