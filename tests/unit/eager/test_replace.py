"""A settings file is replaced whole or not at all."""

from __future__ import annotations

import os
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


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="extended attributes are Linux's")
def test_extended_attributes_survive(settings: Path) -> None:
    try:
        os.setxattr(settings, "user.note", b"kept")
    except OSError as error:
        pytest.skip(f"this file system has none: {error}")
    rewrite(settings, upper, root=settings.parent)
    assert os.getxattr(settings, "user.note") == b"kept"


@POSIX
def test_a_private_file_is_at_no_time_readable_by_others(settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.chmod(0o600)
    seen: list[int] = []
    sync = os.fsync

    def look(descriptor: int) -> None:
        seen.append(os.fstat(descriptor).st_mode & 0o077)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", look)
    before = os.umask(0)
    try:
        rewrite(settings, upper, root=settings.parent)
    finally:
        os.umask(before)
    assert seen[0] == 0


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
    (settings.parent / "null.py").symlink_to("/dev/null")
    (settings.parent / "loop.py").symlink_to("loop.py")
    for name, reason in [
        ("escape.py", "outside"),
        ("../elsewhere.py", "outside|No such"),
        ("null.py", "outside"),
        ("fifo.py", "regular"),
        ("none.py", "No such"),
        ("loop.py", "loop|Too many"),
        (".", "regular"),
    ]:
        with pytest.raises(Unsuitable, match=reason):
            rewrite(settings.parent / name, upper, root=settings.parent)
    with pytest.raises(Unsuitable, match="regular"):
        rewrite(Path("/dev/null"), upper, root=Path("/dev"))
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


EVERY_STEP = """
import os, signal, sys
from pathlib import Path
import filelock, shutil
from intelli_ops.eager.replace import rewrite

file = Path(sys.argv[1])
sides = {b"old = 1\\n" * 4000, b"OLD = 1\\n" * 4000}

def killed_at(step):
    steps = iter(range(1, 1 << 30))
    def watch(frame, event, what):
        if event in {"c_call"} and next(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)
    sys.setprofile(watch)
    rewrite(file, bytes.swapcase, root=file.parent)
    sys.setprofile(None)
    os._exit(0)

step = 0
while True:
    step += 1
    child = os.fork() or killed_at(step)
    status = os.waitpid(child, 0)[1]
    assert file.read_bytes().swapcase() in {side.swapcase() for side in sides}, step
    if status == 0:
        break
print(step)
"""


@POSIX
def test_e8_a_kill_at_any_step_leaves_the_old_file_or_the_new_and_the_next_run_cleans_up(settings: Path) -> None:
    """Each call into C is one step: some hundreds of processes, each killed one step later."""
    settings.write_bytes(b"old = 1\n" * 4000)
    done = subprocess.run(
        [sys.executable, "-c", EVERY_STEP, str(settings)], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100
    assert left_over(settings.parent) == []


@POSIX
@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_e8_a_read_only_folder_is_refused(settings: Path) -> None:
    settings.parent.chmod(0o500)
    try:
        with pytest.raises(Unsuitable, match="Permission"):
            rewrite(settings, upper, root=settings.parent)
    finally:
        settings.parent.chmod(0o700)
    assert settings.read_bytes() == b"old = 1\n"


@pytest.mark.skipif(sys.platform != "linux", reason="a file size limit stands in for a full disk")
def test_e8_a_disk_that_fills_up_leaves_the_old_file(settings: Path) -> None:
    code = """
import resource, signal, sys
from pathlib import Path
from intelli_ops.eager.replace import rewrite
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
file = Path(sys.argv[1])
rewrite(file, lambda data: data * 10_000, root=file.parent)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(settings)], capture_output=True, text=True, check=False, timeout=60
    )
    assert "File too large" in done.stderr
    assert settings.read_bytes() == b"old = 1\n"
    assert left_over(settings.parent) == []
