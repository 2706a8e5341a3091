"""The laboratories of the faults: one that all share, and private ones for what cannot be undone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from intelli_fixtures import engines
from intelli_fixtures.faults import ALL, HEALTHY, UNDETECTED, Crew, Fault, Healthy, others, table
from intelli_fixtures.lab import Lab, Verdict

ROWS = pytest.StashKey[list[table.Row]]()
ANSWERS = pytest.StashKey[dict[str, dict[str, str]]]()
REMEMBERED = Path(__file__).with_name("comparison.json")
CLINIC = Path(__file__).parents[1] / "projects/clinic"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults", "the fault laboratory")
    group.addoption("--faults-page", type=Path, help="write the table of faults and verdicts to this file")
    group.addoption("--faults-compare", action="store_true", help="ask other tools about each fault, too (slow)")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[ROWS] = []
    config.stash[ANSWERS] = table.remembered(REMEMBERED)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the table; write the page only when every case was run, for a part of it would look like all."""
    rows = config.stash[ROWS]
    for row in rows:
        terminalreporter.write_line("  ".join(row.cells()))
    if config.getoption("faults_compare"):
        table.remember(REMEMBERED, config.stash[ANSWERS])
    page = config.getoption("faults_page")
    if page and config.getoption("faults_compare"):
        page.write_text(table.compared(page.read_text("utf-8"), config.stash[ANSWERS]), encoding="utf-8")
    if page and {row.case.id for row in rows} == {case.id for case in (*ALL, *HEALTHY)}:
        page.write_text(table.render(rows, config.stash[ANSWERS], UNDETECTED), encoding="utf-8")


@pytest.fixture(scope="session")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Lab]:
    """Make a laboratory; the caller enters it."""

    def make(**more: Any) -> Lab:
        return Lab(engines.find("local"), CLINIC, tmp_path_factory.mktemp("lab"), **more)

    return make


@pytest.fixture(scope="session")
def standing(laboratory: Callable[..., Lab]) -> Iterator[Lab]:
    """A healthy laboratory with one worker, for faults that leave both as they found them."""
    with laboratory() as lab:
        lab.worker(name="standing")
        yield lab


@pytest.fixture(scope="session")
def empty(laboratory: Callable[..., Lab]) -> Iterator[Lab]:
    """A healthy laboratory without workers: the injection brings its own."""
    with laboratory() as lab:
        yield lab


@pytest.fixture
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """The laboratory that the test's `case` asks for."""
    case = request.getfixturevalue("case")
    found: Lab = request.getfixturevalue("standing" if case.crew is Crew.STANDING else "empty")
    yield found
    found.redis.command("ACL", "LOG", "RESET")  # whom it refused is no business of the next case
    if case.crew is not Crew.STANDING:
        found.redis.flush()  # the standing worker would lose its bindings


@pytest.fixture
def record(pytestconfig: pytest.Config, lab: Lab) -> Callable[[Fault | Healthy, Verdict], None]:
    """Remember a verdict for the table; with `--faults-compare` ask the other tools as well."""
    compare = pytestconfig.getoption("faults_compare")

    def keep(case: Fault | Healthy, verdict: Verdict) -> None:
        pytestconfig.stash[ROWS].append(table.Row(case, verdict))
        if compare and isinstance(case, Fault):
            answers = {name: table.stable(told) for name, told in others.ask_all(lab).items()}
            pytestconfig.stash[ANSWERS][case.id] = answers

    return keep
