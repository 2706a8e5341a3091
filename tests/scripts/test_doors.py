"""The launchers: thin, quoted, run from anywhere, exit codes passed on (T23, T24)."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHELL = sorted(ROOT.glob("scripts/*.sh")) + sorted(ROOT.glob("backend/scripts/*.sh"))
POWERSHELL = sorted(ROOT.glob("scripts/*.ps1")) + sorted(ROOT.glob("backend/scripts/*.ps1"))
HOSTILE = ["a b", "$(touch owned)", "quote'\"", "-rf", "new\nline", "*", "--", ""]
SPY = '#!/bin/sh\nif [ "$1" = -c ]; then exit 0; fi\nfor word in "$@"; do printf "%s\\0" "$word"; done\nexit 7\n'

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX shell")


def named(path):
    return str(path.relative_to(ROOT))


@posix
@pytest.mark.parametrize("script", SHELL, ids=named)
def test_shellcheck_is_content(script):
    shellcheck = shutil.which("shellcheck") or Path(sys.executable).with_name("shellcheck")
    assert subprocess.run([shellcheck, "--severity=style", script], check=False).returncode == 0


@pytest.fixture
def checkout(tmp_path):
    """A copy of the launchers in a folder nobody would quote by accident, with a spy where the interpreter is."""
    home = tmp_path / "check out's $HOME"
    shutil.copytree(ROOT / "scripts", home / "scripts")
    shutil.copytree(ROOT / "backend" / "scripts", home / "backend" / "scripts")
    python = home / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(SPY)
    python.chmod(0o755)
    return home


def run(script, arguments, cwd):
    environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    return subprocess.run([script, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False)


@posix
@pytest.mark.parametrize("door", ["scripts/start_celery_worker.sh", "backend/scripts/start_celery_worker.sh"])
def test_arguments_and_exit_code_pass_through_untouched(checkout, tmp_path, door):
    ran = run(checkout / door, HOSTILE, tmp_path)
    assert ran.returncode == 7, ran.stderr
    words = ran.stdout.split("\0")[:-1]
    assert words == ["-m", "intelli_ops", "start-workers", "--project", str(checkout / "backend"), *HOSTILE]
    assert not (tmp_path / "owned").exists()


@posix
def test_it_finds_home_through_links(checkout, tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "second").symlink_to("../first")
    (tmp_path / "first").symlink_to(checkout / "scripts" / "start_celery_worker.sh")
    ran = run(tmp_path / "bin" / "second", [], tmp_path / "bin")
    assert str(checkout / "backend") in ran.stdout.split("\0")


@posix
def test_the_active_environment_comes_first(checkout, tmp_path):
    active = tmp_path / "active" / "bin" / "python"
    active.parent.mkdir(parents=True)
    active.write_text(SPY.replace("exit 7", "exit 8"))
    active.chmod(0o755)
    ran = subprocess.run(
        [checkout / "scripts" / "start_celery_worker.sh"],
        env={**os.environ, "VIRTUAL_ENV": str(tmp_path / "active")},
        capture_output=True,
        check=False,
    )
    assert ran.returncode == 8


@posix
def test_without_the_tool_it_says_what_to_install(checkout):
    (checkout / ".venv" / "bin" / "python").unlink()
    ran = subprocess.run(
        [checkout / "scripts" / "start_celery_worker.sh"],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 127
    assert "pip install '.[demo]'" in ran.stderr


def walk(node):
    yield node
    for child in node.children:
        yield from walk(child)


@pytest.fixture(scope="module")
def parse():
    import tree_sitter
    import tree_sitter_powershell

    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_powershell.language()))
    return lambda text: parser.parse(text.encode()).root_node


def commands(tree):
    """The name of every command that is called."""
    names = [node for node in walk(tree) if node.type in {"command_name", "command_name_expr"}]
    return {node.text.decode().lower() for node in names}


@pytest.mark.parametrize("script", POWERSHELL, ids=named)
def test_powershell_parses_and_keeps_the_rules(parse, script):
    source = script.read_bytes()
    assert source.isascii()
    tree = parse(source.decode())
    assert not tree.has_error
    # Start-Process joins its arguments with blanks and quotes none; Invoke-Expression runs what it is given.
    assert not commands(tree) & {"invoke-expression", "iex", "start-process", "saps", "start"}
    text = source.decode()
    assert text.count("@args") == text.count("& ")
    assert text.rstrip().splitlines()[-1].startswith("exit ")


def test_the_powershell_rules_can_fail(parse):
    assert parse("if ($x { }").has_error
    assert "invoke-expression" in commands(parse("Invoke-Expression $args"))


def test_both_launchers_start_the_same_command():
    for script in (ROOT / "scripts" / "start_celery_worker.sh", ROOT / "scripts" / "start_celery_worker.ps1"):
        assert "-m intelli_ops start-workers --project" in script.read_text()
    assert "Set-StrictMode" in (ROOT / "scripts" / "start_celery_worker.ps1").read_text()


@pytest.mark.parametrize("door", ["scripts/check_celery.py", "backend/scripts/check_celery.py"])
def test_check_celery_is_the_check_command(tmp_path, door):
    ran = subprocess.run(
        [sys.executable, ROOT / door, "--stage", "static", "--format", "json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert '"schema_version": 1' in ran.stdout, ran.stderr
    assert '"id": "celery.' in ran.stdout
    assert str(ROOT / "backend") in ran.stdout
