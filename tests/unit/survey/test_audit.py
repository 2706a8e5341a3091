"""Django's own checks and migrations, asked of a real project."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from intelli_checks import Outcome, Stage, configuration
from intelli_checks.context import Context
from intelli_checks.registry import registry
from intelli_checks.runner import diagnose

SETTINGS = "backend/portal/settings.py"


@pytest.fixture
def portal(project) -> Path:
    """The Channels project, with one migration of its own."""
    folder = project("live")
    (folder / "backend/feed/models.py").write_text(
        "from django.db import models\n\n\nclass Item(models.Model):\n    text = models.TextField()\n"
    )
    manage(folder, "makemigrations", "feed")
    return folder


def manage(folder: Path, *arguments: str) -> None:
    command = [sys.executable, "manage.py", *arguments]
    subprocess.run(command, cwd=folder / "backend", check=True, capture_output=True, timeout=60)


def asked(folder: Path, *ids: str):
    target = configuration.load({"project": folder, "timeout": 40.0}, os.environ, folder)
    report = diagnose(registry.select(ids, stage=Stage.READY), Context(target))
    return {result.check.id: result for result in report.results}


def test_a_migration_that_is_not_applied_is_named(portal):
    (portal / "backend/db.sqlite3").write_bytes(b"")
    results = asked(portal, "django.migrations")
    assert results["django.database"].outcome is Outcome.PASSED
    (finding,) = results["django.migrations"].findings
    assert "migrations are not applied to default" in finding.message
    assert finding.hint == "python manage.py migrate"


def test_applied_migrations_are_silent(portal):
    manage(portal, "migrate")
    assert asked(portal, "django.migrations")["django.migrations"].outcome is Outcome.PASSED


def test_looking_does_not_create_a_database(portal):
    (portal / "backend/db.sqlite3").unlink(missing_ok=True)
    results = asked(portal, "django.migrations")
    assert "there is no file" in results["django.database"].findings[0].message
    assert results["django.migrations"].because == "django.database"
    assert not (portal / "backend/db.sqlite3").exists()


def test_a_database_that_does_not_open_is_its_own_cause(portal):
    (portal / "backend/db.sqlite3").write_text("this is not a database, and long enough to be told from one" * 20)
    results = asked(portal, "django.migrations")
    assert "DatabaseError" in results["django.database"].findings[0].message
    assert results["django.migrations"].outcome is Outcome.SKIPPED


def test_a_system_check_at_error_level_fails_with_its_own_hint(portal):
    with (portal / SETTINGS).open("a") as settings:
        settings.write("\nAUTH_USER_MODEL = 'feed.Nobody'\n")
    results = asked(portal, "django.checks", "celery.app")
    blamed = [result for result in results.values() if result.outcome is Outcome.FAILED]
    assert [result.check.id for result in blamed] in (["celery.app"], ["django.checks"])
    assert "Nobody" in blamed[0].findings[0].message


def test_settings_that_do_not_load_are_told_by_celery_app_alone(portal):
    (portal / SETTINGS).write_text("raise RuntimeError('no')\n")
    results = asked(portal, "celery.app", "django.checks", "django.migrations")
    assert [id_ for id_, result in results.items() if result.outcome is Outcome.FAILED] == ["celery.app"]


def test_a_project_without_django_is_not_asked(project):
    assert asked(project("plain"), "django.checks")["django.checks"].outcome is Outcome.SKIPPED
