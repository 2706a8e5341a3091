"""The command line before any command runs."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest
import typer

from intelli_ops.cli import COMMON, SECTIONS, hoist, run
from intelli_ops.commands import options
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
