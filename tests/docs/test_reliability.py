"""The tables of promises name tests that exist, and leave no number out."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "docs" / "reliability.md", ROOT / "docs" / "threat-model.md"]
NUMBERS = {"J": 25, "S": 13, "C": 13, "E": 12, "T": 30}
ROW = re.compile(r"^\| ([JSCET]\d+) \| ([^|]+) \|([^|]*)\| ([^|]+) \|$", re.MULTILINE)


def rows():
    return [match.groups() for page in PAGES for match in ROW.finditer(page.read_text(encoding="utf-8"))]


@cache
def defined_in(path):
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, functions) and node.name.startswith("test_")}


def test_every_number_has_its_row():
    assert [row[0] for row in rows()] == [f"{kind}{n}" for kind, last in NUMBERS.items() for n in range(1, last + 1)]


@pytest.mark.parametrize(("number", "tests", "state"), [(row[0], row[2].split(), row[3].strip()) for row in rows()])
def test_the_tests_of_a_promise_exist(number, tests, state):
    assert bool(tests) == (state != "not yet")
    assert state.startswith(("seen", "written", "part: ", "Windows only", "not yet"))
    for test in tests:
        path, _, name = test.partition("::")
        assert name in defined_in(path), test
