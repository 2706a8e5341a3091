"""Every command of docs/setup.md is one that exists: programs, scripts, subcommands, folders and files."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from importlib import import_module, metadata
from pathlib import Path

import pytest

from intelli_ops.cli import run

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "setup.md").read_text(encoding="utf-8")
OF_THE_SYSTEM = {".", "cp", "chmod", "grep", "docker", "docker-compose"}


def commands() -> list[tuple[Path, tuple[str, ...]]]:
    """Each command line of a shell block, with the folder it would run in."""
    found = []
    for block in re.findall(r"^ *```(?:bash|sh)\n(.*?)^ *```", GUIDE, re.MULTILINE | re.DOTALL):
        folder = ROOT
        for line in block.splitlines():
            words = tuple(shlex.split(line, comments=True))
            if words[:1] == ("cd",):
                folder /= words[1]
            elif words:
                found.append((folder, words))
    return found


@pytest.mark.parametrize(
    ("folder", "words"), commands(), ids=lambda value: " ".join(value) if isinstance(value, tuple) else value.name
)
def test_a_command_of_the_guide_exists(folder: Path, words: tuple[str, ...]):
    assert folder.is_dir()
    program, *arguments = words
    if program.startswith("./"):
        assert (folder / program).stat().st_mode & 0o111
    elif program == "python":
        assert (folder / arguments[0]).is_file()
        _management_command(folder, arguments)
    elif program in {"celery", "daphne", "intelli-ops"}:
        _helped(program, arguments)
    else:
        assert program in OF_THE_SYSTEM
    for named in (word for word in arguments if word.startswith(("backend/", "scripts/"))):
        assert (folder / named).exists()


def _management_command(folder: Path, arguments: list[str]) -> None:
    if arguments[0] == "manage.py":
        known = subprocess.run(
            [sys.executable, "manage.py", "help", "--commands"], cwd=folder, capture_output=True, check=True
        )
        assert arguments[1] in known.stdout.decode().split()


def _helped(program: str, arguments: list[str]) -> None:
    """The program is installed; our own accepts these options, which it reads before it obeys `--help`."""
    if program == "intelli-ops":
        own = arguments[: arguments.index("--")] if "--" in arguments else arguments
        assert run([*own, "--help"]) == 0
        return
    (entry,) = metadata.entry_points(group="console_scripts", name=program)
    assert callable(entry.load())
    if program == "celery":
        assert arguments[:2] == ["-A", "config"]
        assert arguments[2] in {"worker", "inspect", "flower"}


def test_everything_the_guide_must_have_is_there():
    lines = {" ".join(words) for _, words in commands()}
    assert {
        "./scripts/start_celery_worker.sh",
        "python scripts/check_celery.py",
        "python scripts/test_websocket.py",
        "celery -A config worker -l info -Q ingestion_io,charts_cpu,ai",
        "celery -A config inspect active",
        "celery -A config flower",
        "docker-compose up -d",
        "docker exec infrastructure-redis-1 redis-cli ping",
        "docker exec infrastructure-redis-1 redis-cli -n 1 ping",
        "grep CELERY_TASK_ALWAYS_EAGER backend/config/settings/development.py",
        "daphne -b 0.0.0.0 -p 8000 config.asgi:application",
        "python manage.py runserver",
    } <= lines


def test_the_table_of_queues_is_the_policy():
    sys.path.insert(0, str(ROOT / "backend"))
    try:
        policies = import_module("config.queues").POLICIES
    finally:
        sys.path.remove(str(ROOT / "backend"))
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (\d+) \| (\w+) \| (\d+)s \|", GUIDE, re.MULTILINE)
    assert rows == [
        (one.name, str(one.concurrency), str(one.prefetch), str(one.acks_late), str(one.time_limit)) for one in policies
    ]


@pytest.mark.parametrize("path", re.findall(r"^\| `([a-z]+/[^`]+)`", GUIDE, re.MULTILINE))
def test_files_it_names_exist(path: str):
    assert (ROOT / path).exists()


def test_the_lines_of_the_environment_are_those_of_the_template():
    wanted = re.search(r"^```env\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    assert wanted
    assert wanted[1] in (ROOT / "backend" / ".env.example").read_text(encoding="utf-8")
