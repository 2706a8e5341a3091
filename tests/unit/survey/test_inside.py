"""What is piped into the target keeps the rules that let it run there."""

from __future__ import annotations

import ast
import sys

import pytest

from intelli_checks.probes import interview

SOURCES = {name: (interview.INSIDE / f"{name}.py").read_text() for name in interview.MODULES}


def imports(tree: ast.Module, *, level: int) -> set[str]:
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == level:
            found |= {alias.name for alias in node.names} if level else {node.module or ""}
    return found if level or not found else {name.partition(".")[0] for name in found}


@pytest.mark.parametrize("name", SOURCES)
def test_it_is_python_3_9(name):
    tree = ast.parse(SOURCES[name], feature_version=(3, 9))
    assert ast.get_docstring(tree)
    assert "from __future__ import annotations" in SOURCES[name]


@pytest.mark.parametrize("name", SOURCES)
def test_it_imports_the_standard_library_alone(name):
    assert imports(ast.parse(SOURCES[name]), level=0) <= sys.stdlib_module_names


def test_each_module_imports_only_those_before_it():
    for position, name in enumerate(interview.MODULES):
        ours = imports(ast.parse(SOURCES[name]), level=1) & set(interview.MODULES)
        assert ours <= set(interview.MODULES[:position]), name


def test_every_module_is_piped():
    there = {path.stem for path in interview.INSIDE.glob("*.py")} - {"__init__"}
    assert there == set(interview.MODULES)
