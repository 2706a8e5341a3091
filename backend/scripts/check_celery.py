"""The backend's door to scripts/check_celery.py, where its documentation looks for it."""

import runpy
from pathlib import Path

runpy.run_path(str(Path(__file__).resolve().parents[2] / "scripts" / "check_celery.py"), run_name="__main__")
