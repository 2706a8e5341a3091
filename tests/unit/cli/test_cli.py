"""The command line before any command runs."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from contextlib import nullcontext
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer

from intelli_ops.cli import COMMON, SECTIONS, hoist, run
from intelli_ops.commands import options
from intelli_ops.files import refusal
from intelli_ops.jobs.api import _problem
from intelli_ops.jobs.display import jobs_table, print_table
from intelli_ops.version import VERSION

COMMANDS = [command for commands in SECTIONS.values() for command in commands]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("check redis", "check redis"),
        ("--broker U check redis", "check redis --broker U"),
        ("--broker=U check", "check --broker=U"),
        ("-t 3 --broker A check redis --broker B", "check redis -t 3 --broker A --broker B"),
        ("--broker U config show --origin", "config show --broker U --origin"),
        ("--help", "--help"),
        ("--broker", "--broker"),
        ("--broker U", "--broker U"),
        ("--unknown U check", "--unknown U check"),
    ],
)
def test_common_options_before_the_command_belong_to_it(typed: str, meant: str):
    assert hoist(typed.split()) == meant.split()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_the_help_of_each_command_is_what_the_list_says(command):
    built = typer.main.get_command(import_module(command.module).app)
    assert (built.help or "").splitlines()[0] == command.help


def test_the_common_options_are_those_that_may_stand_before():
    declared = {name for option in options.COMMON.values() for name in option.__metadata__[0].param_decls}
    declared |= {option.__metadata__[0].default for option in options.COMMON.values()}
    assert {name for name in declared if isinstance(name, str)} == COMMON


def test_the_version_in_reports_is_the_one_that_is_installed():
    assert version("intelli-ops") == VERSION


@pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")
def test_a_closed_stdout_is_no_error():
    done = subprocess.run(
        ["sh", "-c", '"$0" -m intelli_ops checks >&-', sys.executable],  # only a shell can start it without one
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("words", [["up"], ["demo"], ["down"], ["jobs", "list"]])
def test_a_folder_without_the_reference_system_is_wrong_usage(words, tmp_path, capsys):
    assert run([*words, "--project", str(tmp_path)]) == 2
    assert "no backend/manage.py" in capsys.readouterr().err


def test_a_url_that_is_none_is_wrong_usage(capsys):
    assert run(["jobs", "list", "--url", "nonsense"]) == 2
    assert "--url wants a URL" in capsys.readouterr().err


@pytest.mark.parametrize("command", [one for one in COMMANDS if one.name != "probe"], ids=lambda command: command.name)
def test_no_help_shows_how_its_options_are_typed_in_python(command, capsys):
    run([command.name, "--help"])
    assert not re.search(r"<(str|int|float|path|directory|file)\b", capsys.readouterr().out)


def test_tasks_without_a_subcommand_is_its_list(tmp_path, capsys):
    place = ["--broker", "redis://127.0.0.1:1", "--project", str(tmp_path)]
    assert [run(["tasks", *place]), run(["tasks", "list", *place])] == [3, 3]
    assert capsys.readouterr().err.count("127.0.0.1:1/0: refused") == 2


@pytest.mark.parametrize(
    "words", [["start-workers"], ["start-workers", "--dry-run"], ["workers", "status"], ["stop-workers"]]
)
def test_a_folder_that_cannot_be_written_is_named_and_no_fault_of_the_tool(words, tmp_path, monkeypatch, capsys):
    def refuse(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    (tmp_path / "shop.py").write_text("from celery import Celery\napp = Celery('shop')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Path, "mkdir", refuse)
    assert run(words) == 2
    assert capsys.readouterr().err == f"intelli-ops: {tmp_path}/.intelli-ops cannot be used: Read-only file system\n"


@pytest.mark.parametrize("command", ["config", "eager", "jobs", "tasks", "workers"])
def test_a_group_lists_its_commands_with_a_whole_sentence_each(command, capsys):
    run([command, "--help"])
    listed = capsys.readouterr().out.partition("Commands:")[2]
    assert listed
    assert "..." not in listed


def test_what_can_be_chosen_is_told_on_one_line(capsys):
    assert run(["render"]) == 2
    told = capsys.readouterr().err
    assert "systemd, compose, k8s" in told
    assert len(told.splitlines()) == 2


def test_a_level_that_no_worker_takes_is_refused_before_one_is_started(tmp_path, monkeypatch, capsys):
    (tmp_path / "shop.py").write_text("from celery import Celery\napp = Celery('shop', broker='redis://127.0.0.1:1')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    assert run(["start-workers", "--dry-run", "-l", "loud"]) == 2
    assert "'loud' is not one of" in capsys.readouterr().err
    assert run(["start-workers", "--dry-run", "-l", "WARNING"]) == 0
    assert " -l warning " in capsys.readouterr().out


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
@pytest.mark.parametrize(("script", "code"), [("exit 7", 7), ("kill -9 $$", 137)])
def test_eager_run_exits_as_a_shell_would(script, code, tmp_path):
    place = ["--project", str(tmp_path), "--settings", "shop.settings"]
    assert run(["eager", "run", *place, "--", "sh", "-c", script]) == code


def test_a_server_that_is_down_is_told_without_the_clients_own_words(capsys):
    assert run(["jobs", "list", "--url", "http://127.0.0.1:1"]) == 3
    told = capsys.readouterr().err
    assert "does not answer: Connection refused; is it up?" in told


def test_a_refusal_is_told_once():
    body = b'{"title": "Invalid", "detail": "give one", "errors": [{"message": "give one"}, {"message": "no image"}]}'
    assert _problem(body) == "give one; no image"


def test_a_zip_is_no_recording(tmp_path, capsys):
    (tmp_path / "bundle.zip").write_bytes(b"PK\x03\x04\xc4\xff")
    assert run(["check", "--from", str(tmp_path / "bundle.zip")]) == 2
    assert "not a recording made by --save: it is no text" in capsys.readouterr().err


def test_a_word_that_no_task_has_is_answered(monkeypatch, capsys):
    monkeypatch.setattr("intelli_ops.commands.tasks.table", lambda _: [])
    monkeypatch.setattr("intelli_ops.commands.tasks.asking", lambda *_: nullcontext(SimpleNamespace(redis_broker=None)))
    assert run(["tasks", "nope", "--broker", "redis://127.0.0.1:1"]) == 0
    assert capsys.readouterr().err == "no task has nope in its name\n"


@pytest.mark.parametrize("option", ["--output", "--save", "--plot"])
@pytest.mark.parametrize("path", ["nowhere/report", "."])
def test_a_file_that_cannot_be_written_is_told_before_anybody_waits(option, path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("intelli_ops.commands.check.selected", lambda *_: pytest.fail("the run had begun"))
    assert run(["check", "--broker", "redis://127.0.0.1:1", option, path]) == 2
    assert f"cannot write {path}: " in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="no /dev")
def test_a_device_can_be_written_whoever_owns_its_folder(tmp_path):
    assert refusal(Path("/dev/null")) is None
    assert refusal(tmp_path / "new") is None


@pytest.mark.parametrize("name", ["top", "flower", "report", "doctor"])
def test_a_command_other_tools_have_is_answered_with_what_there_is_here(name, capsys):
    assert run([name]) == 2
    told = capsys.readouterr().err
    assert f"no such command: {name}; " in told
    words = {line.split()[0] for line in re.findall(r"`([^`]+)`", told)}
    assert words <= {command.name for command in COMMANDS}


def test_a_table_for_a_file_ends_its_lines_with_what_they_say(capsys):
    print_table(jobs_table([{"id": "1", "status": "failed"}, {"id": "2", "status": "succeeded", "created_at": "now"}]))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines == [line.rstrip() for line in lines]


@pytest.mark.parametrize(
    ("words", "shown"), [(["check"], True), (["stop-workers"], False), (["workers", "scale"], False)]
)
def test_help_shows_the_common_options_that_have_a_say_and_every_command_takes_all(words, shown, capsys, tmp_path):
    assert run([*words, "--help"]) == 0
    told = capsys.readouterr().out
    assert ("--websocket" in told) == shown
    assert "--project" in told
    asked = run(["--websocket", "/ws/", *words, "--project", str(tmp_path / "nowhere")])
    assert asked != 0
    assert "No such option" not in capsys.readouterr().err
