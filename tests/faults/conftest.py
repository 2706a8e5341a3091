"""The laboratories of the faults: one that all share, and private ones for what cannot be undone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from intelli_fixtures import engines
from intelli_fixtures.faults import Crew
from intelli_fixtures.lab import Lab

CLINIC = Path(__file__).parents[1] / "projects/clinic"


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
    if case.crew is not Crew.STANDING:
        found.redis.flush()  # the standing worker would lose its bindings


@pytest.fixture
def record() -> Callable[..., None]:
    """Remember a verdict for the table."""
    return lambda case, verdict: None
