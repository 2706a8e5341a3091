"""A project that cannot be imported is a finding with a place, and never longer than its deadline."""

from __future__ import annotations

import os
import time

import pytest

from intelli_checks.model import Unavailable


def test_a_module_that_is_not_there(ask, project):
    told = ask(project("overlay"), settings="shop.settings.nope")
    error = told.error("settings")
    assert error is not None
    assert error["missing"] == "shop.settings.nope"


def test_an_import_error_names_the_projects_own_line(ask, project):
    folder = project("overlay")
    (folder / "orders" / "tasks.py").write_text("\nimport json\njson.loads('{')\n")
    error = ask(folder).error("tasks")
    assert error is not None
    assert (error["type"], error["line"]) == ("JSONDecodeError", 3)
    assert error["file"].endswith("orders/tasks.py")


def test_a_syntax_error_names_its_line(ask, project):
    folder = project("plain")
    (folder / "tasks.py").write_text("from celery import Celery\napp = Celery('x')\n\ndef broken(:\n")
    error = ask(folder, app="tasks").error("app")
    assert error is not None
    assert (error["type"], error["line"]) == ("SyntaxError", 4)


def test_settings_that_exit_are_an_error_too(ask, project):
    folder = project("overlay")
    (folder / "shop/settings/local.py").write_text("import sys\nsys.exit('SECRET missing')\n")
    error = ask(folder).error("settings")
    assert error is not None
    assert error["type"] == "SystemExit"


def test_the_first_stages_are_told_although_a_later_one_breaks(ask, project):
    folder = project("overlay")
    (folder / "shop" / "asgi.py").write_text("raise RuntimeError('no routing today')\n")
    (folder / "shop/settings/local.py").write_text("from .base import *\nASGI_APPLICATION = 'shop.asgi.application'\n")
    told = ask(folder)
    assert told.celery_app == "shop.celery:app"
    assert [error["step"] for error in told.errors] == ["asgi"]


HANGING = "import socket\nserver = socket.create_server(('127.0.0.1', 0))\nserver.accept()\n"


def test_an_import_that_hangs_is_named_with_the_line_where_it_stands(ask, project):
    folder = project("overlay")
    (folder / "shop/settings/local.py").write_text(HANGING)
    began = time.monotonic()
    with pytest.raises(Unavailable, match=r"importing the settings hangs at .*local\.py:3 in <module>") as caught:
        ask(folder, timeout=9.0)
    assert time.monotonic() - began < 9.5
    assert "socket.py" in str(caught.value)


def test_an_import_that_had_no_time_is_not_said_to_hang(ask, project):
    folder = project("overlay")
    (folder / "shop/settings/local.py").write_text(HANGING)
    with pytest.raises(Unavailable, match=r"importing the settings was not done after [\d.]+ s; it was at ") as caught:
        ask(folder, timeout=3.0)
    assert "--timeout" in caught.value.hint
    assert "hangs" not in str(caught.value)


def test_an_interpreter_that_we_ended_ourselves_did_not_die(ask, project):
    folder = project("plain")
    with pytest.raises(Unavailable, match=r"said nothing about the project: no answer after [\d.]+ s"):
        ask(folder, timeout=0.02)


def test_a_grandchild_that_holds_the_pipe_holds_nobody_up(ask, project):
    folder = project("plain")
    child = "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    (folder / "tasks.py").write_text(child + (folder / "tasks.py").read_text())
    began = time.monotonic()
    assert ask(folder, timeout=30.0).celery_app == "tasks:app"
    assert time.monotonic() - began < 25.0


def test_an_interpreter_that_dies_says_in_which_step(ask, project):
    folder = project("overlay")
    (folder / "shop/settings/local.py").write_text("import os\nos._exit(7)\n")
    with pytest.raises(Unavailable, match=r"importing the settings ended the interpreter \(exit code 7\)"):
        ask(folder)


def test_a_way_that_leads_nowhere_is_quoted_with_its_last_words(ask, project):
    with pytest.raises(Unavailable, match="no such service: web"):
        ask(project("plain"), via="sh -c 'echo no such service: web >&2; exit 1' python")


def test_a_way_that_cannot_be_started(ask, project):
    with pytest.raises(Unavailable, match="nosuchcommand cannot be started"):
        ask(project("plain"), via="nosuchcommand exec web")


@pytest.mark.skipif(os.name == "nt", reason="env(1) stands in for docker exec")
def test_through_a_prefix_the_project_finds_itself(ask, project, monkeypatch):
    import sys
    from pathlib import Path

    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    told = ask(project("overlay"), via="web=env LANG=C")
    assert (told.place, told.settings_module, told.celery_app) == ("web", "shop.settings.local", "shop.celery:app")


def test_an_app_of_another_name_is_told_by_its_own_name_not_as_a_module(ask, project):
    folder = project("plain")
    (folder / "tasks.py").write_text("from celery import Celery\napp = Celery('x')\n")
    error = ask(folder, app="tasks:nope").error("app")
    assert error is not None
    assert error["message"] == "module tasks has no nope"


def test_a_result_backend_nobody_installed_is_why_the_app_does_not_load(ask, project, diagnosed):
    folder = project("overlay")
    (folder / "shop/settings/local.py").write_text("from .base import *\nCELERY_RESULT_BACKEND = 'nope://somewhere'\n")
    told = ask(folder)
    assert [error["step"] for error in told.errors] == ["drivers"]
    assert told.queues
    found = diagnosed(folder)["celery.app"]
    assert found.outcome.name == "FAILED"
    assert "nope" in found.findings[0].message
    assert found.findings[0].hint.startswith("correct the scheme before ://")
