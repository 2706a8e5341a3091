"""The state folder: private, locked by the kernel, never led astray (S8, S9, T25)."""

import json
import os
import subprocess
import sys

import psutil
import pytest

from intelli_ops.supervisor import leftovers
from intelli_ops.supervisor.state import Busy, State, StateError, find, identity

HOLD = """
import sys
from pathlib import Path
from intelli_ops.supervisor.state import Busy, State
try:
    with State(Path(sys.argv[1]), "up").lock("system"):
        print("won", flush=True)
        sys.stdin.read()
except Busy:
    print("busy", flush=True)
"""


def test_folder_and_files_are_private(tmp_path):
    state = State(tmp_path, "up")
    state.write("system.json", {"a": 1})
    assert state.read("system.json") == {"a": 1}
    assert state.root.stat().st_mode & 0o777 == 0o700
    assert (state.root / "system.json").stat().st_mode & 0o777 == 0o600


def test_a_folder_that_others_could_read_is_closed_to_them(tmp_path):
    (tmp_path / ".intelli-ops").mkdir()
    (tmp_path / ".intelli-ops").chmod(0o755)
    assert State(tmp_path).root.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_is_a_link_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".intelli-ops").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateError, match="is not a folder"):
        State(tmp_path)
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("name", ["system.json", "system.lock"])
def test_a_planted_link_is_not_followed(tmp_path, name):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    state = State(tmp_path)
    (state.root / name).symlink_to(victim)
    if name.endswith("lock"):
        with pytest.raises(OSError, match="symbolic"), state.lock("system"):
            pass
    else:
        assert state.read(name) == {}
        state.write(name, {"a": 1})
        assert state.read(name) == {"a": 1}
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("content", ["", "garbage", "[1]", '{"supervisor": '])
def test_s8_a_record_nobody_understands_is_no_record(tmp_path, content):
    state = State(tmp_path)
    (state.root / "system.json").write_text(content)
    assert state.read("system.json") == {}


def test_s8_a_reused_pid_is_somebody_else():
    stranger = {"pid": os.getppid(), "create_time": psutil.Process(os.getppid()).create_time() - 100}
    assert find(stranger) is None


def test_s8_a_dead_pid_is_nobody():
    process = subprocess.Popen([sys.executable, "-c", ""])
    recorded = identity(process.pid)
    process.wait()
    assert find(recorded) is None


def test_s8_leftovers_end_and_strangers_do_not():
    left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    said = []
    record = {"units": [identity(left.pid), {**identity(stranger.pid), "create_time": 1.0}, {"pid": "x"}, {}]}
    try:
        assert leftovers.sweep(record, said.append) == 1
        assert left.wait(5) is not None
        assert stranger.poll() is None
        assert f"pid {left.pid}" in said[0]
    finally:
        stranger.kill()
        stranger.wait()


def test_s9_of_twenty_starts_at_once_exactly_one_wins(tmp_path):
    starts = [
        subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(20)
    ]
    said = [start.stdout.readline().strip() for start in starts]
    for start in starts:
        start.communicate()
    assert sorted(said) == ["busy"] * 19 + ["won"]


def test_a_lock_ends_with_its_holder(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "won\n"
    with pytest.raises(Busy), State(tmp_path, "up").lock("system"):
        pass
    holder.kill()
    holder.communicate()
    with State(tmp_path, "up").lock("system"):
        pass


def test_a_write_is_whole_or_not_at_all(tmp_path):
    state = State(tmp_path)
    state.write("system.json", {"a": 1})
    with pytest.raises(ValueError, match="Circular"):
        state.write("system.json", _circular())
    assert json.loads((state.root / "system.json").read_text()) == {"a": 1}


def _circular():
    value = {}
    value["self"] = value
    return value
