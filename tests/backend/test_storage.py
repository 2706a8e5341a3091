"""A file is there whole or not at all, also when its writer is killed in the middle."""

import subprocess
import sys
from pathlib import Path

BACKEND = Path(__file__).resolve().parents[2] / "backend"
KILLED_WHILE_WRITING = """
import os, sys
from pathlib import Path
from django.conf import settings
settings.configure(MEDIA_ROOT=sys.argv[1])
from apps.jobs import storage
whole = Path.write_bytes
def write_half(path, content):
    whole(path, content[: len(content) // 2])
    os._exit(9)
Path.write_bytes = write_half
storage.save_artifact(Path(sys.argv[1], "artifacts"), 1, "figure.png", "image/png", b"x" * 1000)
"""


def test_a_writer_killed_in_the_middle_leaves_nothing_by_the_real_name(tmp_path):
    argv = [sys.executable, "-c", KILLED_WHILE_WRITING, str(tmp_path)]
    assert subprocess.run(argv, cwd=BACKEND, timeout=60, check=False).returncode == 9
    (left,) = (tmp_path / "artifacts").iterdir()
    assert left.name.startswith("1-")  # so that the sweep finds it with the rest of the attempt
    assert left.name.endswith(".tmp")
