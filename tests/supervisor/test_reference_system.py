"""`up`, `jobs` and `down` on a copy of the reference system."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(sys.platform == "win32", reason="needs a Redis that Windows runners do not have"),
]


class Copy:
    """A checkout of its own, so that a developer's running system is not in the way."""

    def __init__(self, folder):
        self.folder = folder / "check out"
        shutil.copytree(ROOT / "backend", self.folder / "backend", ignore=shutil.ignore_patterns("media", "*.sqlite3*"))
        skipped = ("CELERY_", "REDIS_URL", "DATABASE_URL", "MEDIA_ROOT", "INTELLI_", "DJANGO_")
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith(skipped)}

    def popen(self, *argv):
        with (self.folder / "output").open("w") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "intelli_ops", *argv],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def run(self, *argv):
        return subprocess.run(
            [sys.executable, "-m", "intelli_ops", *map(str, argv)],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    @property
    def output(self):
        return (self.folder / "output").read_text()


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    copy = Copy(tmp_path_factory.mktemp("reference"))
    copy.process = copy.popen("up", "--quiet")
    deadline = time.monotonic() + 120
    while "The system is up" not in copy.output:
        if copy.process.poll() is not None or time.monotonic() > deadline:
            copy.process.kill()
            pytest.fail(copy.output)
        threading.Event().wait(0.1)
    yield copy
    if copy.process.poll() is None:
        copy.process.kill()
    copy.process.wait()


@pytest.fixture(scope="module")
def photograph(tmp_path_factory):
    from intelli_ops.demo.samples import make

    return {path.name: path for path in make(tmp_path_factory.mktemp("samples"))}


def family(process):
    return [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]


def test_every_part_is_named_with_its_address(up):
    for part in ("redis", "migrate", "web", "ingestion_io", "charts_cpu", "ai", "sweeper"):
        assert any(line.split()[1:2] == [part] for line in up.output.splitlines()), part
    assert "charts_cpu@" in up.output
    assert "http://127.0.0.1:" in up.output


def test_t18_it_listens_on_loopback_only(up):
    listening = [
        connection.laddr.ip
        for process in family(up.process)
        for connection in process.net_connections()
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 2
    assert set(listening) == {"127.0.0.1"}


def test_t1_the_password_is_in_no_command_line_and_no_output(up):
    record = json.loads((up.folder / ".intelli-ops" / "up" / "system.json").read_text())
    password = record["broker"].split("@")[0].rpartition(":")[2]
    assert len(password) >= 24
    assert password not in up.output
    assert password not in " ".join(word for process in family(up.process) for word in process.cmdline())
    assert (up.folder / ".intelli-ops" / "up" / "system.json").stat().st_mode & 0o777 == 0o600


def test_a_job_is_submitted_watched_listed_and_fetched(up, photograph):
    submitted = up.run(
        "jobs", "submit", photograph["on-its-side.jpg"], photograph["palette.gif"],
        "-a", "histogram", "-a", "describe", "--watch", "--json",
    )  # fmt: skip
    assert submitted.returncode == 0, submitted.stderr
    job = json.loads(submitted.stdout)
    assert (job["status"], job["progress"]) == ("succeeded", {"total": 6, "finished": 6})

    listed = json.loads(up.run("jobs", "list", "--json").stdout)["jobs"]
    assert job["id"] in {one["id"] for one in listed}

    fetched = up.run("jobs", "artifacts", job["id"], "--out", up.folder / "out", "--json")
    files = json.loads(fetched.stdout)["artifacts"].values()
    assert sorted(Path(file).name for file in files) == [
        "on-its-side-describe.json",
        "on-its-side-histogram.json",
        "on-its-side-histogram.png",
        "palette-describe.json",
        "palette-histogram.json",
        "palette-histogram.png",
    ]
    assert (up.folder / "out" / "palette-histogram.png").read_bytes().startswith(b"\x89PNG")


def test_watching_a_job_that_has_ended_ends_at_once(up, photograph):
    job = json.loads(up.run("jobs", "submit", photograph["narrow.png"], "-a", "describe", "-w", "--json").stdout)
    again = up.run("jobs", "watch", job["id"], "--json")
    assert again.returncode == 0
    assert json.loads(again.stdout)["status"] == "succeeded"


def test_the_same_key_is_the_same_job(up, photograph):
    arguments = ("jobs", "submit", photograph["narrow.png"], "-a", "describe", "--key", "once", "--json")
    first, second = (json.loads(up.run(*arguments).stdout)["id"] for _ in range(2))
    assert first == second


def test_a_file_that_is_no_image_is_refused_in_words(up, tmp_path):
    (tmp_path / "note.png").write_text("no image")
    refused = up.run("jobs", "submit", tmp_path / "note.png", "-a", "histogram")
    assert refused.returncode == 1
    assert "answered 4" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_an_id_nobody_gave_is_refused(up):
    assert up.run("jobs", "watch", "../../admin").returncode == 1
    unknown = up.run("jobs", "watch", "00000000-0000-4000-8000-000000000000")
    assert unknown.returncode == 3
    assert "is the id right?" in unknown.stderr


def test_a_second_start_says_who_runs(up):
    again = up.run("up")
    assert again.returncode == 3
    assert f"pid {up.process.pid}" in again.stdout


def test_down_stops_everything(up, gone):
    everyone = family(up.process)
    down = up.run("down")
    assert down.returncode == 0, down.stdout
    assert up.process.wait(5) == 0
    assert gone([process.pid for process in everyone], timeout=2)
    assert "nothing runs here" in up.run("down").stdout
    nobody = up.run("jobs", "list")
    assert nobody.returncode == 3
    assert "intelli-ops up" in nobody.stderr


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="POSIX")
def test_the_demonstration_insists_on_everything(tmp_path):
    copy = Copy(tmp_path)
    demo = copy.run("demo")
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "Everything was right." in demo.stdout
    assert len(list((copy.folder / ".intelli-ops" / "demo" / "artifacts").glob("*/*"))) == 78
    assert "78 artifacts of 6 images: " in demo.stdout
    assert "They stay in .intelli-ops" in demo.stdout
