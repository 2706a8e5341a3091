"""Flags over environment over file over detection, and a sentence for every mistake."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from intelli_checks.configuration import UsageError, load, parse_via

MANAGE = "import os, django\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'config.settings.dev')\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A Django project in `backend/`, in a repository."""
    (tmp_path / ".git").mkdir()
    for path, text in {
        "backend/manage.py": MANAGE,
        "backend/config/__init__.py": "",
        "backend/config/settings/__init__.py": "",
        "backend/config/settings/dev.py": "",
        "backend/config/celery.py": "from celery import Celery\napp = Celery('config')\n",
        "backend/apps/jobs/models.py": "",
        "docs/readme.md": "",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


@pytest.mark.parametrize("start", [".", "backend", "backend/apps/jobs", "docs"])
def test_a_project_is_found_from_wherever_one_stands(folder, start):
    target = load({}, {}, folder / start)
    assert target.directory == folder / "backend"
    assert (target.settings, target.app) == ("config.settings.dev", "config.celery:app")
    assert target.places[0].name == "here"


def test_no_project_leaves_what_urls_tell(tmp_path):
    (tmp_path / ".git").mkdir()
    target = load({"broker": "redis://:s3cret-word@h/2"}, {}, tmp_path)
    assert target.places == ()
    assert target.broker is not None
    assert target.broker.database == 2


def test_precedence_and_origins(folder):
    (folder / "intelli-ops.toml").write_text('settings = "from.file"\napp = "from.file"\ntimeout = 7\n')
    environ = {"INTELLI_OPS_SETTINGS": "from.environment", "INTELLI_OPS_APP": "from.environment"}
    target = load({"settings": "from.flag"}, environ, folder)
    assert (target.settings, target.app, target.timeout) == ("from.flag", "from.environment", 7.0)
    assert target.origins["settings"] == "--settings"
    assert target.origins["app"] == "environment variable INTELLI_OPS_APP"
    assert target.origins["timeout"].endswith("intelli-ops.toml")
    assert target.origins["places"].startswith("found")


def test_the_environment_of_django_and_celery_counts_as_found(folder):
    target = load({}, {"DJANGO_SETTINGS_MODULE": "config.settings.prod", "CELERY_APP": "config"}, folder)
    assert (target.settings, target.app) == ("config.settings.prod", "config")
    assert target.origins["settings"].startswith("found")


@pytest.mark.parametrize("environ", [{"DJANGO_SETTINGS_MODULE": "shop.settings"}, {"CELERY_APP": "shop.worker"}])
def test_an_application_that_pip_installed_is_named_by_the_variable_it_runs_by(environ, tmp_path):
    (tmp_path / ".git").mkdir()
    assert load({}, environ, tmp_path).places[0].directory == tmp_path
    assert load({"broker": "redis://h"}, environ, tmp_path).places == (), "the URL is what is meant"


@pytest.mark.parametrize(("flags", "environ"), [({"project": "../shop"}, {}), ({}, {"INTELLI_OPS_PROJECT": "../shop"})])
def test_a_project_that_is_named_is_judged_by_its_own_configuration(flags, environ, tmp_path):
    for name, path in (("shop", "/ws/shop/"), ("tools", "/ws/tools/")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "intelli-ops.toml").write_text(f'websocket = "{path}"\n')
    assert load(flags, environ, tmp_path / "tools").websocket == "/ws/shop/"
    (tmp_path / "shop/intelli-ops.toml").unlink()
    assert load(flags, environ, tmp_path / "tools").websocket is None


def test_pyproject_is_read_from_a_folder_below(folder):
    (folder / "pyproject.toml").write_text('[tool.intelli-ops]\nproject = "backend"\n[tool.intelli-ops.workers.ai]\n')
    target = load({}, {}, folder / "docs")
    assert target.directory == folder / "backend"
    assert list(target.workers) == ["ai"]


def test_tables_reach_the_target(folder):
    (folder / "intelli-ops.toml").write_text('[mute]\n"redis.latency" = "known"\n[plugins]\ndisk = "check_disk"\n')
    target = load({}, {}, folder)
    assert dict(target.mutes) == {"redis.latency": "known"}
    assert dict(target.plugins) == {"disk": "check_disk"}


MISTAKES = [
    ('settigns = "x"', "unknown key 'settigns'; did you mean 'settings'?"),
    ("workers = 3", r"workers is a table: write \[workers\]"),
    ("settings = 3", "settings cannot be 3"),
    ('timeout = "soon"', "timeout cannot be 'soon'"),
    ("timeout = -1", "timeout wants seconds above 0"),
    ("timeout = 1e12", "timeout wants seconds above 0 and at most 86400"),
    ('broker = "localhost:6379"', "broker wants a URL such as redis://.*, not 'localhost:6379'"),
    ('broker = "redis://host:port/0"', "broker wants a URL such as redis://.*; the host or port of this one"),
    ('broker = "http://localhost"', "broker wants a URL such as redis://"),
    ('web = "localhost:8000"', "web wants a URL such as http://"),
    ('web = "http://:80"', "web wants a URL such as http://"),
    ('web = "http://host:port"', "web wants a URL such as http://"),
    ('project = "nowhere"', "there is no folder .*nowhere"),
    ('python = "./nopython"', "there is no interpreter .*nopython"),
    ("not toml", "intelli-ops.toml: "),
    ('via = "ssh \'host"', "--via ssh 'host: No closing quotation"),
    ('via = ["web=ssh a", "web=ssh b"]', "two places are called 'web'"),
]


@pytest.mark.parametrize(("line", "words"), MISTAKES, ids=[line for line, _ in MISTAKES])
def test_a_mistake_is_named(folder, line, words):
    (folder / "intelli-ops.toml").write_text(line + "\n")
    with pytest.raises(UsageError, match=words):
        load({}, {}, folder)


def test_an_interpreter_named_from_here_is_found_in_the_folder_of_the_project_too(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "py").symlink_to(sys.executable)
    assert load({"python": "./py"}, {}, folder).places[0].argv == (str(folder / "py"),)


def test_a_broker_that_only_a_project_can_ask_wants_one(tmp_path):
    with pytest.raises(UsageError, match="amqp:// is asked by a project's own app") as caught:
        load({"broker": "amqp://u:planted@h//"}, {}, tmp_path)
    assert "planted" not in str(caught.value)
    assert load({"broker": "redis://h/0"}, {}, tmp_path).places == ()


def test_a_password_in_a_mistake_stays_untold(folder):
    with pytest.raises(UsageError) as caught:
        load({"broker": "not-a-url-with:pass-w0rd-inside@"}, {}, folder)
    assert "wants a URL" in str(caught.value)


@pytest.mark.parametrize("config", [{"config": "other.toml"}, {}])
def test_another_file_can_be_named(folder, config):
    (folder / "other.toml").write_text('settings = "other"\n')
    environ = {} if config else {"INTELLI_OPS_CONFIG": "other.toml"}
    assert load(config, environ, folder).settings == "other"


VIA = [
    ("docker compose exec -T web", ("there", ("docker", "compose", "exec", "-T", "web", "python"))),
    ("web=docker exec -i c1 python3", ("web", ("docker", "exec", "-i", "c1", "python3"))),
    ("worker=ssh host /srv/.venv/bin/python3.11", ("worker", ("ssh", "host", "/srv/.venv/bin/python3.11"))),
    ("env DJANGO_SETTINGS_MODULE=a.b", ("there", ("env", "DJANGO_SETTINGS_MODULE=a.b", "python"))),
    ("kubectl exec -i deploy/web --", ("there", ("kubectl", "exec", "-i", "deploy/web", "--", "python"))),
]


@pytest.mark.parametrize(("text", "expected"), VIA, ids=[text for text, _ in VIA])
def test_a_way_ends_in_an_interpreter(text, expected, tmp_path):
    place = parse_via(text, tmp_path)
    assert (place.name, place.argv) == expected
    assert place.remote


def test_two_ways_are_two_places(folder):
    target = load({"via": ["web=ssh a", "worker=ssh b"]}, {}, folder)
    assert [place.name for place in target.places] == ["web", "worker"]
    (folder / "intelli-ops.toml").write_text('[via]\nweb = "ssh a"\nworker = "ssh b"\n')
    assert load({}, {}, folder).places == target.places


@pytest.mark.parametrize("name", [".venv", "venv", "env"])
@pytest.mark.parametrize("where", ["backend", "."])
@pytest.mark.parametrize(("platform", "python"), [("linux", "bin/python"), ("win32", "Scripts/python.exe")])
def test_the_projects_virtual_environment_is_found(folder, name, where, platform, python):
    home = folder / where / name
    (home / python).parent.mkdir(parents=True)
    (home / python).write_text("")
    (home / "pyvenv.cfg").write_text("")
    target = load({}, {}, folder / "backend", platform)
    assert Path(target.places[0].argv[0]).resolve() == (home / python).resolve()


def test_the_active_environment_comes_next_and_ours_last(folder, tmp_path):
    active = tmp_path / "active"
    (active / "bin").mkdir(parents=True)
    (active / "bin/python").write_text("")
    assert load({}, {"VIRTUAL_ENV": str(active)}, folder, "linux").places[0].argv == (str(active / "bin/python"),)
    assert load({}, {}, folder, "linux").places[0].argv == (sys.executable,)
