"""`intelli-ops render` on real projects: one worker for every queue, nothing secret in any file."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
OVERLAY = ROOT / "tests" / "projects" / "overlay"
SECRET = "0verlay-s3cret"  # the project's broker URL carries it


def render(project, *arguments):
    argv = [sys.executable, "-m", "intelli_ops", "render", *arguments]
    return subprocess.run(argv, cwd=project, env=os.environ, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("kind", ["systemd", "compose", "k8s"])
def test_every_queue_gets_a_worker_and_no_file_a_password(kind, tmp_path):
    done = render(OVERLAY, kind, "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    written = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert sorted(done.stdout.split()) == sorted(map(str, tmp_path.iterdir()))
    everything = "\n".join([*written, *written.values()])
    assert "overlay-celery" in everything
    assert "overlay-shipping" in everything
    assert SECRET not in everything


def test_the_policy_of_the_reference_system_sets_its_grace():
    done = render(ROOT / "backend", "compose", "--name", "intelli")
    services = yaml.safe_load(done.stdout)["services"]
    grace = {name: service["stop_grace_period"] for name, service in services.items()}
    assert grace == {"intelli-ingestion-io": "75s", "intelli-charts-cpu": "135s", "intelli-ai": "75s"}


def test_without_a_project_the_message_says_what_to_type(tmp_path):
    done = render(tmp_path, "systemd")
    assert (done.returncode, done.stdout) == (2, "")
    assert "project" in done.stderr
