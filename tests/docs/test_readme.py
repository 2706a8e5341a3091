"""The README promises commands and pages; all of them are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from intelli_ops.cli import SECTIONS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [command for commands in SECTIONS.values() for command in commands]


def table_of_commands() -> set[str]:
    """The commands of the README's table, groups without their subcommands."""
    named: set[str] = set()
    for row in re.findall(r"^\| (`intelli-ops .*?) \|", README.partition("## Commands")[2], re.MULTILINE):
        for words in re.findall(r"`([^`]+)`", row):
            named.add(words.removeprefix("intelli-ops ").split()[0])
    return named


def test_the_table_names_the_commands_there_are():
    assert table_of_commands() == {command.name for command in COMMANDS}


def test_the_table_names_the_subcommands_there_are():
    from importlib import import_module

    import typer

    for group in ("workers", "eager", "jobs", "config"):
        app = import_module(next(command.module for command in COMMANDS if command.name == group)).app
        there = set(typer.main.get_group(app).commands)
        row = re.search(rf"`intelli-ops {group} ([a-z, ]+)[^`]*`", README)
        assert row, f"no row for {group}"
        assert set(row[1].replace(",", " ").split()) == there


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "backend/README.md"])
def test_its_links_lead_somewhere(page: str):
    text = (ROOT / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", text)
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


def test_every_page_of_the_documentation_is_reached_from_the_readme():
    pages = {page.name for page in (ROOT / "docs").glob("*.md")}
    assert {page for page in pages if f"docs/{page}" not in README} == set()


def test_ci_can_run_its_first_two_blocks():
    blocks = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert blocks[0].rstrip().endswith(".venv/bin/intelli-ops demo")
    assert blocks[1].rstrip().endswith(".venv/bin/nox")
    assert all(block.count("\n") == 1 for block in blocks[:2])


def test_no_picture_is_heavy():
    for name in re.findall(r'(?:\]\(|src=")(docs/[^)"]+\.svg)', README):
        assert (ROOT / name).stat().st_size < 60_000


def test_whoever_comes_first_is_told_what_it_takes_and_how_to_install_it():
    """The first line fails on an older Python, and a command on no PATH cannot be typed elsewhere."""
    before = README.partition("## Commands")[0]
    wanted = re.search(r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert wanted
    assert f"Python {wanted[1]} or" in before
    assert "pipx install ." in before


def test_what_the_documentation_imports_can_be_imported():
    from importlib import import_module

    pages = [*(ROOT / "docs").glob("*.md"), ROOT / "CONTRIBUTING.md"]
    imports = re.compile(r"^from (intelli_\S+) import (\w+)$", re.MULTILINE)
    told = {found for page in pages for found in imports.findall(page.read_text("utf-8"))}
    assert ("intelli_ops.bootsteps", "install") in told  # without it, no worker writes the pulse that probes read
    assert [name for module, name in told if not hasattr(import_module(module), name)] == []


def test_no_page_installs_this_project_from_an_index_it_is_not_on():
    pages = [*(ROOT / "docs").rglob("*.md"), ROOT / "CONTRIBUTING.md", ROOT / "README.md"]
    assert [page.name for page in pages if re.search(r"pip install '?intelli-ops", page.read_text("utf-8"))] == []
