"""The backend's door to scripts/test_websocket.py, where its documentation looks for it."""

import runpy
from pathlib import Path

runpy.run_path(str(Path(__file__).resolve().parents[2] / "scripts" / "test_websocket.py"), run_name="__main__")
