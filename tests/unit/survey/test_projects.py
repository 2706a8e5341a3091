"""Three Celery projects of different shapes, found and read with no configuration at all."""

from __future__ import annotations

from pathlib import Path

PROJECTS = Path(__file__).parents[2] / "projects"


def test_a_project_without_django_is_one_file(ask):
    told = ask(PROJECTS / "plain")
    assert (told.celery_app, told.settings_module, told.django, told.errors) == ("tasks:app", None, {}, ())
    assert told.broker is not None
    assert told.broker.database == 9
    assert {task.name: task.queue for task in told.tasks} == {"tasks.add": "celery", "tasks.crunch": "slow"}
    assert next(task for task in told.tasks if task.name == "tasks.crunch").time_limit == 30


def test_a_settings_package_is_read_through_its_overlay(ask):
    told = ask(PROJECTS / "overlay")
    assert told.settings_module == "shop.settings.local"
    assert told.celery_app == "shop.celery:app"
    assert told.extra["exposed"] is True
    assert {task.name: task.queue for task in told.tasks}["orders.tasks.ship"] == "shipping"
    assert told.beat["nightly"]["seconds"] == 3600
    assert told.django["DEBUG"] is True
    assert told.errors == ()


def test_a_factory_with_lazy_configuration_and_names_of_its_own(ask):
    told = ask(PROJECTS / "factory")
    assert told.celery_app == "pipeline.worker:celery"
    assert [(queue.name, queue.exchange, queue.exchange_type) for queue in told.queues] == [
        ("intake", "intake-exchange", "direct"),
        ("thumbs", "media-events", "topic"),
    ]
    assert {task.name: task.queue for task in told.tasks} == {"intake.accept": "intake", "thumbs.make": "thumbs"}
    assert told.conf["broker_transport_options"]["global_keyprefix"] == "pipeline:"
    assert told.results is None
    assert told.extra["results_backend"] == "DisabledBackend"


def test_no_password_is_left_in_a_survey(ask):
    told = ask(PROJECTS / "overlay")
    assert told.broker is not None
    assert told.broker.password == "0verlay-s3cret"
    assert "0verlay-s3cret" not in repr(told)


def test_what_the_project_prints_is_not_taken_for_an_answer(ask, project):
    folder = project("plain")
    noisy = 'import os\nprint("{\\"stage\\": 1}")\nos.write(1, b"raw\\n")\nos.system("echo from a child")\n'
    (folder / "tasks.py").write_text(noisy + (folder / "tasks.py").read_text())
    assert ask(folder).celery_app == "tasks:app"


def test_the_project_sees_its_own_folder_and_nothing_of_ours(ask, project):
    folder = project("plain")
    spy = "import sys, os\nassert 'intelli_checks' not in sys.modules\nassert os.getcwd() == sys.path[0], sys.path\n"
    (folder / "tasks.py").write_text(spy + (folder / "tasks.py").read_text())
    assert ask(folder).errors == ()


def test_a_survey_leaves_nothing_behind(ask, project):
    folder = project("overlay")
    before = sorted(folder.iterdir())
    ask(folder)
    assert sorted(folder.iterdir()) == before
    assert not list(folder.rglob("*.pyc"))


def test_a_relative_env_file_of_a_src_layout_is_read(ask, tmp_path):
    package = tmp_path / "src" / "shop"
    package.mkdir(parents=True)
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / ".env").write_text("redis://127.0.0.1:6390/3\n")
    (package / "__init__.py").touch()
    (package / "worker.py").write_text("from celery import Celery\napp = Celery('shop', broker=open('.env').read())\n")
    told = ask(tmp_path)
    assert told.errors == ()
    assert (told.celery_app, told.broker.database) == ("shop.worker:app", 3)
