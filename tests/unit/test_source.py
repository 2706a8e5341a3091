"""T26 and T30: no shell, no unchecked code, and no version that nobody chose."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ["toolkit", "checks", "fixtures", "backend", "scripts"]
SOURCES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
FORBIDDEN = {"eval", "exec", "os.system", "os.popen", "pickle.loads", "pickle.load", "marshal.loads", "yaml.load"}
ALLOWED = {("backend/apps/jobs/imaging/nursery.py", "exec")}
"""The decoder, compiled once from our own file and run in each forked child."""


def calls(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_t26_no_shell_and_nothing_that_runs_text(path):
    for name, call in calls(path):
        allowed = (path.relative_to(ROOT).as_posix(), name) in ALLOWED
        assert allowed or name not in FORBIDDEN, f"{path}:{call.lineno} {name}"
        shell = [keyword.value for keyword in call.keywords if keyword.arg == "shell"]
        assert all(ast.unparse(value) == "False" for value in shell), f"{path}:{call.lineno} shell="


def test_t26_the_linter_says_so_too():
    argv = [sys.executable, "-m", "ruff", "check", "--select", "S602,S604,S605,S301,S307", *FOLDERS]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_t26_every_exception_from_the_rules_has_its_reason(path):
    for line in path.read_text(encoding="utf-8").splitlines():
        _, said, after = line.partition("# noqa:")
        if said and " S" in after:
            assert re.match(r"[A-Z0-9, ]+\W+\w+", after.strip()), f"{path}: {line.strip()}"


def test_t30_every_dependency_is_pinned_to_one_version():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert len(pins) > 50
    for pin in pins:
        requirement = pin.partition(";")[0].strip()
        name, equals, version = requirement.partition("==")
        assert (bool(name), equals, bool(version)) == (True, "==", True), pin
        assert "://" not in pin
