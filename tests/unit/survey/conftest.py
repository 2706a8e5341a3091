from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from intelli_checks import Result, Stage, configuration
from intelli_checks.context import Context
from intelli_checks.probes import survey
from intelli_checks.probes.survey import Survey
from intelli_checks.registry import registry
from intelli_checks.runner import diagnose

registry.load()  # families register in the order they are imported: let that be the registry's own
PROJECTS = Path(__file__).parents[2] / "projects"


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the developer's shell happens to export must not decide what a survey finds."""
    for name in ("DJANGO_SETTINGS_MODULE", "CELERY_APP", "CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "VIRTUAL_ENV"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def project(tmp_path: Path) -> Callable[[str], Path]:
    """A copy of one of tests/projects, to be broken."""

    def copy(name: str) -> Path:
        return Path(shutil.copytree(PROJECTS / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__")))

    return copy


@pytest.fixture
def diagnosed() -> Callable[..., dict[str, Result]]:
    """Every declared-configuration check on a real project, by id."""

    def run(folder: Path, **flags: object) -> dict[str, Result]:
        target = configuration.load({"project": folder, "timeout": 40.0, **flags}, os.environ, folder)
        report = diagnose(registry.select(("celery", "channels", "django"), stage=Stage.STATIC), Context(target))
        return {result.check.id: result for result in report.results}

    return run


@pytest.fixture
def ask() -> Callable[..., Survey]:
    """The survey of a project, asked for real in an interpreter of its own."""

    def survey_of(folder: Path, timeout: float = 30.0, **flags: object) -> Survey:
        target = configuration.load({"project": folder, **flags}, os.environ, folder)
        return next(iter(survey.gather(target, timeout).values()))

    return survey_of
