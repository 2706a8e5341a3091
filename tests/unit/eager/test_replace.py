"""A settings file is replaced whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from intelli_ops.eager.replace import Busy, Unsuitable, rewrite

POSIX = pytest.mark.skipif(os.name == "nt", reason="POSIX file modes and links")


def upper(data: bytes) -> bytes:
    return data.upper()


def same(data: bytes) -> bytes:
    return data


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    file = tmp_path / "settings.py"
    file.write_bytes(b"old = 1\n")
    return file


def left_over(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.endswith(".intelli-ops") and path.is_file()]


def test_an_unchanged_file_is_not_touched(settings: Path) -> None:
    before = settings.stat()
    assert rewrite(settings, same, root=settings.parent) is False
    after = settings.stat()
    assert (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino)


@POSIX
def test_mode_survives_and_the_time_is_new(settings: Path) -> None:
    settings.chmod(0o640)
    os.utime(settings, (1, 1))
    assert rewrite(settings, upper, root=settings.parent) is True
    assert settings.read_bytes() == b"OLD = 1\n"
    assert settings.stat().st_mode & 0o777 == 0o640
    assert settings.stat().st_mtime > 1000


@POSIX
def test_a_symbolic_link_stays_a_link(settings: Path) -> None:
    link = settings.parent / "link.py"
    link.symlink_to(settings)
    rewrite(link, upper, root=settings.parent)
    assert link.is_symlink()
    assert settings.read_bytes() == b"OLD = 1\n"


@POSIX
def test_only_regular_files_inside_the_project_are_edited(
    settings: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("elsewhere") / "settings.py"
    outside.write_bytes(b"x")
    (settings.parent / "escape.py").symlink_to(outside)
    os.mkfifo(settings.parent / "fifo.py")
    for name, reason in [("escape.py", "outside"), ("fifo.py", "regular"), ("none.py", "No such"), (".", "regular")]:
        with pytest.raises(Unsuitable, match=reason):
            rewrite(settings.parent / name, upper, root=settings.parent)
    assert outside.read_bytes() == b"x"


def test_an_editor_saving_in_between_wins(settings: Path) -> None:
    def change(data: bytes) -> bytes:
        settings.write_bytes(b"saved by an editor\n")
        return data.upper()

    with pytest.raises(Busy, match="changed while"):
        rewrite(settings, change, root=settings.parent)
    assert settings.read_bytes() == b"saved by an editor\n"
    assert left_over(settings.parent) == []


def test_two_runs_at_once_never_mix(settings: Path) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def slow(data: bytes) -> bytes:
        inside.set()
        go_on.wait(10)
        return data.upper()

    first = threading.Thread(target=rewrite, args=(settings, slow), kwargs={"root": settings.parent})
    first.start()
    assert inside.wait(10)
    with pytest.raises(Busy, match="another run"):
        rewrite(settings, lambda data: data + b"# second\n", root=settings.parent)
    go_on.set()
    first.join(10)
    assert settings.read_bytes() == b"OLD = 1\n"


def test_a_failing_change_leaves_the_file_and_no_litter(settings: Path) -> None:
    def full(data: bytes) -> bytes:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        rewrite(settings, full, root=settings.parent)
    assert settings.read_bytes() == b"old = 1\n"
    assert left_over(settings.parent) == []


KILLED_AT = ["write", "fsync", "replace"]

CRASH = """
import os, signal, sys
from pathlib import Path
from intelli_ops.eager import replace
at, file = sys.argv[1], Path(sys.argv[2])
die = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)
if at == "write": replace._write_beside = die
if at == "fsync": os.fsync = die
if at == "replace": Path.replace = die
replace.rewrite(file, bytes.upper, root=file.parent)
"""


@POSIX
@pytest.mark.parametrize("at", KILLED_AT)
def test_a_kill_at_any_step_leaves_the_old_file_and_the_next_run_cleans_up(settings: Path, at: str) -> None:
    done = subprocess.run([sys.executable, "-c", CRASH, at, str(settings)], check=False, timeout=30)
    assert done.returncode == -signal.SIGKILL
    assert settings.read_bytes() == b"old = 1\n"
    assert rewrite(settings, upper, root=settings.parent) is True
    assert settings.read_bytes() == b"OLD = 1\n"
    assert left_over(settings.parent) == []
