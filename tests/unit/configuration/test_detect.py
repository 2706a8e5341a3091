"""Settings modules and Celery apps, read from files of every usual shape."""

from __future__ import annotations

from pathlib import Path

import pytest

from intelli_checks.probes.inside.detect import find_project


def write(folder: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


MANAGE = "import os, django\ndef main():\n    os.environ{}\n"
DEFAULTS = [
    ".setdefault('DJANGO_SETTINGS_MODULE', 'config.settings')",
    "['DJANGO_SETTINGS_MODULE'] = 'config.settings'",
    ".setdefault('DJANGO_SETTINGS_MODULE', os.getenv('SETTINGS', 'config.settings'))",
    ".setdefault('DJANGO_SETTINGS_MODULE', 'config.settings' if os.getenv('CI') is None else 'config.settings')",
]


@pytest.mark.parametrize("line", DEFAULTS)
def test_manage_py_names_the_settings(line, tmp_path):
    write(tmp_path, {"manage.py": MANAGE.format(line), "config/settings.py": ""})
    assert find_project(tmp_path).settings == "config.settings"


def test_settings_are_found_where_manage_py_names_none(tmp_path):
    write(
        tmp_path,
        {"manage.py": "import django\n", "site1/settings.py": "", "venv/settings.py": "", "venv/pyvenv.cfg": ""},
    )
    assert find_project(tmp_path).settings == "site1.settings"


IMPORT = "from celery import Celery\n"
APP = IMPORT + "app = Celery('x')\n"
PACKAGE = {"proj/__init__.py": ""}
APPS = [
    ({"tasks.py": APP}, "tasks:app"),
    ({**PACKAGE, "proj/celery.py": "import celery\napp = celery.Celery('x')\n"}, "proj.celery:app"),
    ({**PACKAGE, "proj/worker.py": "from .f import make_celery\ncelery = make_celery(1)\n"}, "proj.worker:celery"),
    (
        {"m.py": "from shop import create_app\nweb = create_app()\ncelery_app = web.extensions['celery']\n"},
        "m:celery_app",
    ),
    ({"src/p/__init__.py": "", "src/p/celery_app.py": IMPORT + "c: Celery = Celery('x')\n"}, "p.celery_app:c"),
    ({"a.py": APP, "Procfile": "worker: celery -A b.c worker -l info\n", "b/c.py": ""}, "b.c"),
    ({"a.py": APP, "worker-start.sh": "exec celery worker -A b.c -Q main\n", "b/c.py": ""}, "b.c"),
    ({"a.py": APP, "Dockerfile": 'CMD ["celery", "-A", "b.c", "worker"]\n', "b/c.py": ""}, "b.c"),
    ({"a.py": APP, "compose.yml": 'command: ["celery", "--app", "b.q", "worker"]\n', "b/q.py": ""}, "b.q"),
]


@pytest.mark.parametrize(("files", "app"), APPS, ids=[app for _, app in APPS])
def test_the_celery_app_is_found(files, app, tmp_path):
    write(tmp_path, {".git/HEAD": "", **files})
    assert find_project(tmp_path).app == app


def test_tests_and_environments_are_not_searched(tmp_path):
    elsewhere = {"tests/tasks.py": APP, "env/lib/celery.py": APP, "env/pyvenv.cfg": "", ".x/tasks.py": APP}
    write(tmp_path, {".git/HEAD": "", **elsewhere})
    assert not find_project(tmp_path).found


def test_a_file_that_does_not_parse_is_passed_over(tmp_path):
    write(tmp_path, {".git/HEAD": "", "app.py": IMPORT + "def (:\n", "tasks.py": APP})
    assert find_project(tmp_path).app == "tasks:app"


def test_a_home_folder_is_not_searched_through(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    write(tmp_path, {"notes/old/tasks.py": APP})
    assert not find_project(tmp_path).found


def test_a_home_folder_that_holds_the_project_is_searched(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    write(tmp_path, {"requirements.txt": "celery", "bin/x.py": "", "shop/__init__.py": "", "shop/tasks.py": APP})
    assert find_project(tmp_path).app == "shop.tasks:app"
    assert find_project(tmp_path / "bin").root == tmp_path / "bin"


NAMED = MANAGE.format(".setdefault('DJANGO_SETTINGS_MODULE', 'chat.settings')")
SERVICE = {"services/api/manage.py": NAMED, "services/api/chat/settings.py": "", "services/api/chat/__init__.py": ""}


@pytest.mark.parametrize("celery", [{}, {"services/api/chat/celery.py": APP}], ids=["channels only", "celery"])
def test_a_django_project_two_folders_down_is_found_whole(celery, tmp_path):
    write(tmp_path, {"README.md": "", "frontend/package.json": "{}", **SERVICE, **celery})
    found = find_project(tmp_path)
    assert (found.root, found.settings) == (tmp_path / "services/api", "chat.settings")
    assert found.app == ("chat.celery:app" if celery else None)


def test_a_folder_that_is_no_project_lends_nobody_what_lies_deep_below(tmp_path):
    write(tmp_path, {"old/shop/backend/tasks.py": APP, "old/ci/manage.py": MANAGE.format("")})
    assert not find_project(tmp_path).found


SRC = {"src/shop/__init__.py": "", "src/shop/celery_app.py": APP}
HOMES = [
    ({**SRC, "pyproject.toml": ""}, "."),
    ({**SRC, "pyproject.toml": "", "src/.env": ""}, "src"),
    ({**SRC, "pyproject.toml": "", "src/pyproject.toml": ""}, "src"),
    ({**SRC, "README.md": ""}, "src"),
    ({**SRC, "README.md": "", ".env": ""}, "."),
    ({"pyproject.toml": "", "services/worker/tasks.py": APP}, "services/worker"),
]


NAMED_WHOLE = "from celery import Celery\napp = Celery('x', include=['acme.jobs.tasks'])\n"
SPACES = [
    ({"pyproject.toml": "", "src/acme/jobs/__init__.py": "", "src/acme/jobs/celery_app.py": APP}, "src", "."),
    ({"pyproject.toml": "", "acme/jobs/__init__.py": "", "acme/jobs/celery_app.py": NAMED_WHOLE}, ".", "."),
    ({"pyproject.toml": "", "acme/jobs/__init__.py": "", "acme/jobs/celery_app.py": APP, "acme/jobs/tasks.py":
      "from acme.jobs.celery_app import app\n"}, ".", "."),
    ({"pyproject.toml": "", "acme/jobs/celery_app.py": NAMED_WHOLE}, ".", "."),
]  # fmt: skip


@pytest.mark.parametrize(("files", "root", "home"), SPACES)
def test_an_app_in_a_namespace_package_is_called_by_its_whole_name(files, root, home, tmp_path):
    """A namespace package has no __init__.py: the folder above it is what modules are imported from."""
    project = find_project(write(tmp_path, files))
    assert (project.app, project.root) == ("acme.jobs.celery_app:app", (tmp_path / root).resolve())
    assert project.home == (tmp_path / home).resolve()


@pytest.mark.parametrize(("files", "home"), HOMES)
def test_a_src_layout_is_run_from_the_folder_above(files, home, tmp_path):
    project = find_project(write(tmp_path, files))
    assert project.home == (tmp_path / home).resolve()


def test_a_manage_py_above_src_finds_what_it_puts_on_the_path(tmp_path):
    """The modules are called without `src`, as workers call them; commands are typed where manage.py is."""
    manage = MANAGE.format(".setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')")
    files = {"manage.py": manage, "src/shop/settings.py": "", "src/shop/celery.py": APP}
    project = find_project(write(tmp_path, files))
    assert (project.settings, project.settings_from) == ("shop.settings", "manage.py")
    assert project.app == "shop.celery:app"
    assert (project.root, project.home) == (tmp_path / "src", tmp_path)
