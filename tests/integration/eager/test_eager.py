"""`intelli-ops eager` on a real project: what is written, what Python then evaluates, and what `check` says."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from intelli_fixtures.processes import Child

PROJECTS = Path(__file__).parents[2] / "projects"
BACKEND = Path(__file__).parents[3] / "backend"
GUIDE = "# CELERY_TASK_ALWAYS_EAGER = True\n# CELERY_TASK_EAGER_PROPAGATES = True\n"


@pytest.fixture
def project(tmp_path):
    return Path(shutil.copytree(PROJECTS / "overlay", tmp_path / "a shop"))


@pytest.fixture
def local(project):
    file = project / "shop" / "settings" / "local.py"
    file.write_text(file.read_text() + GUIDE)
    return file


def cli(project, *arguments, **env):
    return subprocess.run(
        [sys.executable, "-m", "intelli_ops", *arguments],
        cwd=project,
        env=os.environ | env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def evaluated(project, **env):
    code = "from django.conf import settings; print(settings.CELERY_TASK_ALWAYS_EAGER)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=project,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "shop.settings.local", **env},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return done.stdout.strip()


def eager_outcome(project):
    report = json.loads(cli(project, "check", "celery.eager", "--format", "json").stdout)
    return next(check for check in report["checks"] if check["id"] == "celery.eager")


def test_on_then_off_and_the_check_tells_the_truth_each_time(project, local):
    before = local.read_bytes()
    assert eager_outcome(project)["outcome"] == "passed"
    on = cli(project, "eager", "on")
    assert (on.returncode, evaluated(project)) == (0, "True"), on.stderr
    assert "in force: on" in on.stdout
    assert "time limits" in on.stdout
    failed = eager_outcome(project)
    assert failed["outcome"] == "failed"
    assert "shop/settings/local.py:5" in failed["findings"][0]["message"]
    off = cli(project, "eager", "off")
    assert (off.returncode, local.read_bytes(), evaluated(project)) == (0, before, "False")


def test_lines_that_are_missing_are_added_and_removed_again(project):
    file = project / "shop" / "settings" / "local.py"
    before = file.read_bytes()
    assert cli(project, "eager", "on").returncode == 0
    assert evaluated(project) == "True"
    assert cli(project, "eager", "off").returncode == 0
    assert file.read_bytes() == before


def test_a_dry_run_shows_the_change_and_makes_none(project, local):
    before = local.read_bytes()
    shown = cli(project, "eager", "on", "--dry-run").stdout
    assert "+CELERY_TASK_ALWAYS_EAGER = True" in shown
    assert local.read_bytes() == before


def test_an_environment_that_has_the_last_word_is_reported(project, local):
    local.write_text(
        local.read_text() + 'import os\nglobals().update(CELERY_TASK_TIME_LIMIT=int(os.getenv("L", "1")))\n'
    )
    status = cli(project, "eager", "status", EAGER="1")
    assert "EAGER off" in status.stdout
    assert "in force: on" in status.stdout


def test_e9_a_variable_that_overrides_the_file_is_named_and_fails_the_switch(project, local):
    before = local.read_bytes()
    assert cli(project, "eager", "on").returncode == 0
    off = cli(project, "eager", "off", EAGER="1")
    assert (off.returncode, local.read_bytes()) == (1, before)
    assert "environment variable EAGER of this process" in off.stdout
    assert "something else has the last word" in off.stderr


def test_e4_the_other_names_of_a_hard_linked_file_are_told_of(project, local, tmp_path):
    os.link(local, tmp_path / "second.py")
    assert "2 names (hard links)" in cli(project, "eager", "on").stdout
    assert "hard links" not in cli(project, "eager", "off").stdout


def test_e12_a_file_that_is_not_there_or_not_ours_is_a_usage_error(project):
    for command in ("status", "on", "off"):
        assert cli(project, "eager", command, "--file", "nowhere.py").returncode == 2
    assert cli(project, "eager", "on", "--file", os.devnull).returncode == 2


def test_production_is_refused_unless_its_module_is_typed(project):
    file = project / "shop" / "settings" / "production.py"
    before = file.read_bytes()
    production = ["eager", "on", "--settings", "shop.settings.production"]
    refused = cli(project, *production)
    assert (refused.returncode, "production" in refused.stderr, file.read_bytes()) == (2, True, before)
    wrong = cli(project, *production, "--force", "yes")
    assert (wrong.returncode, file.read_bytes()) == (2, before)
    assert cli(project, *production, "--force", "shop.settings.production").returncode == 0
    assert b"CELERY_TASK_ALWAYS_EAGER = True" in file.read_bytes()


def test_what_cannot_be_edited_is_refused_with_its_line(project):
    file = project / "shop" / "settings" / "local.py"
    file.write_text(file.read_text() + 'import os\nCELERY_TASK_ALWAYS_EAGER = bool(os.getenv("X"))\n')
    before = file.read_bytes()
    refused = cli(project, "eager", "on")
    assert (refused.returncode, file.read_bytes()) == (1, before)
    assert "line 6" in refused.stderr
    assert "by hand" in refused.stderr


def test_a_process_with_the_old_value_is_named(project, local, tmp_path):
    server = Child(
        [sys.executable, "manage.py", "runserver", "--noreload", "127.0.0.1:0"],
        cwd=project,
        log=tmp_path / "server.log",
        name="runserver",
    )
    try:
        server.wait_until(lambda: "Quit the server" in server.tail(), 30, "the server to run")
        said = cli(project, "eager", "on").stdout
    finally:
        server.stop()
    assert f"runserver (pid {server.pid})" in said


def test_one_command_runs_eager_and_no_file_changes(project, local):
    before = local.read_bytes()
    code = "import django; django.setup(); from orders.tasks import ship; print(type(ship.delay(7)).__name__)"
    done = cli(project, "eager", "run", "--", sys.executable, "-c", code)
    assert (done.returncode, done.stdout.strip()) == (0, "EagerResult"), done.stderr
    assert local.read_bytes() == before
    failing = cli(project, "eager", "run", "--", sys.executable, "-c", "raise SystemExit(7)")
    assert failing.returncode == 7


def test_the_reference_system_has_the_guide_s_lines(tmp_path):
    settings = tmp_path / "development.py"
    shutil.copy(BACKEND / "config" / "settings" / "development.py", settings)
    before = settings.read_text()
    assert cli(tmp_path, "eager", "on", "--file", "development.py").returncode == 0
    assert settings.read_text() == before.replace("# CELERY_TASK_", "CELERY_TASK_")
    assert cli(tmp_path, "eager", "off", "--file", "development.py").returncode == 0
    assert settings.read_text() == before
