"""Pages that are written from the code say what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from intelli_ops import docs, exits

ROOT = Path(__file__).parents[2]


def test_the_pages_of_the_checks_are_fresh():
    stale = docs.stale(ROOT / "docs" / "checks", docs.pages(docs.builtin()))
    assert stale == [], "write them with: python -m intelli_ops.docs"


def test_writing_them_removes_what_belongs_to_no_check(tmp_path: Path):
    (tmp_path / "gone.check.md").write_text("old")
    wanted = docs.pages(docs.builtin())
    assert "gone.check.md" in docs.write(tmp_path, wanted)
    assert docs.stale(tmp_path, wanted) == []
    assert docs.write(tmp_path, wanted) == []


def test_the_table_of_exit_codes_is_the_one_in_the_code():
    table = (ROOT / "docs" / "exit-codes.md").read_text(encoding="utf-8")
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)}
    assert documented == {value for name, value in vars(exits).items() if name.isupper()}


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path):
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
