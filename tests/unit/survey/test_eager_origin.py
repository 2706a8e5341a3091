"""Where EAGER comes from, asked of a real project each time."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from concurrent.futures import Future

import pytest

from intelli_checks import Outcome, configuration
from intelli_checks.context import Context
from intelli_checks.dsn import Dsn
from intelli_checks.families import celery_app
from intelli_checks.probes import same_server, senders
from intelli_checks.probes.absence import Absence, Elsewhere
from intelli_checks.probes.inside import sources
from intelli_checks.probes.survey import Survey
from intelli_checks.probes.workers import WorkerFleet
from intelli_checks.registry import registry
from intelli_checks.runner import run


def findings(survey):
    return list(celery_app.eager.__wrapped__(survey))


def test_off_is_silent(ask, project):
    assert findings(ask(project("overlay"))) == []


def test_an_overlay_is_named_with_its_line(ask, project):
    told = ask(project("overlay"), settings="shop.settings.eager")
    assert "shop/settings/eager.py:3" in findings(told)[0].message


def test_the_base_module_is_named_although_an_overlay_imports_it(ask, project):
    folder = project("overlay")
    base = folder / "shop/settings/base.py"
    base.write_text(base.read_text().replace('os.environ.get("EAGER", "") == "1"', "True"))
    assert "shop/settings/base.py:13" in findings(ask(folder))[0].message


def test_an_environment_variable_is_named(ask, project, monkeypatch):
    monkeypatch.setenv("EAGER", "1")
    assert "environment variable EAGER of this process" in findings(ask(project("overlay")))[0].message


def test_a_dotenv_file_is_named_with_its_line(ask, project):
    pytest.importorskip("dotenv")
    folder = project("overlay")
    (folder / ".env").write_text("# local\nEAGER=1\n")
    base = folder / "shop/settings/base.py"
    base.write_text("from dotenv import load_dotenv\nload_dotenv('.env')\n" + base.read_text())
    found = findings(ask(folder))[0]
    assert "environment variable EAGER from .env:2" in found.message
    assert "unset EAGER" in found.hint


@pytest.mark.parametrize(
    "line",
    [
        "app.conf.task_always_eager = True",
        "app.conf.update(task_always_eager=True)",
        'app.conf["task_always_eager"] = 1',
    ],
)
def test_an_app_configured_in_code_is_named(ask, project, line):
    folder = project("plain")
    with (folder / "tasks.py").open("a") as source:
        source.write(f"\n\n{line}\n")
    assert f"set at tasks.py:{len((folder / 'tasks.py').read_text().splitlines())}" in findings(ask(folder))[0].message


def test_test_settings_may_be_eager(ask, project):
    folder = project("overlay")
    (folder / "shop/settings/testing.py").write_text("from .eager import *\n")
    found = findings(ask(folder, settings="shop.settings.testing"))
    assert [finding.severity.name for finding in found] == ["INFO"]


def test_what_the_broker_says_proves_nothing_then(project, monkeypatch):
    monkeypatch.setenv("EAGER", "1")
    folder = project("overlay")
    ctx = Context(configuration.load({"project": folder, "timeout": 30.0}, os.environ, folder))
    results = {result.check.id: result for result in run(registry.select(["redis.broker", "celery.eager"]), ctx)}
    assert results["celery.eager"].outcome is Outcome.FAILED
    assert results["redis.broker"].because == "celery.eager"


SERVER = """
import os, sys
if os.fork() == 0:
    sys.stdin.read()
else:
    print("up", flush=True)
    os.wait()
"""


@pytest.fixture
def serving():
    """A process of the project that goes by the name of a web server, with variables of its own."""
    started = []

    def start(folder, **variables):
        server = folder / "daphne"
        server.write_text(SERVER)
        process = subprocess.Popen(
            [sys.executable, str(server)],
            cwd=folder,
            env={**os.environ, **variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        started.append(process)
        assert process.stdout.readline() == b"up\n"
        return process

    yield start
    for process in started:
        process.communicate(timeout=10)


def look_at(folder, **flags):
    return Context(configuration.load({"project": folder, "timeout": 40.0, **flags}, os.environ, folder))


def switched(folder, check="celery.eager_processes", elsewhere=(), **flags):
    ctx = look_at(folder, **flags)
    ctx.gathered["absence"] = Future()
    ctx.gathered["absence"].set_result(Absence(tuple(Elsewhere("database", one, WorkerFleet(1)) for one in elsewhere)))
    return list(registry[check].run(ctx))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the stand-in for a web server forks")
def test_a_web_server_that_has_it_on_for_itself_is_named_once(project, serving):
    registry.load()
    folder = project("overlay")
    for variables in ({}, {"EAGER": "0"}, {"EAGER": "yes"}):  # the settings want a 1
        serving(folder, **variables)
    assert switched(folder) == []
    server = serving(folder, EAGER="1")
    (found,) = switched(folder)
    assert found.message.startswith(
        f"EAGER mode is on in the web server (pid {server.pid}), which was started with EAGER"
    )
    assert found.hint.startswith("unset EAGER where pid")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the stand-in for a web server forks")
def test_a_web_server_that_sends_to_another_broker_is_named_without_the_password(project, serving):
    registry.load()
    folder = project("overlay")
    serving(folder, BROKER="redis://:0verlay-s3cret@localhost:6379/3")
    assert switched(folder, "celery.senders") == []
    server = serving(folder, BROKER="redis://:CANARY-elsewhere@127.0.0.1:6379/5")
    (found,) = switched(folder, "celery.senders")
    assert f"(pid {server.pid}) was started with BROKER=redis://:***@127.0.0.1:6379/5" in found.message
    assert "CANARY" not in str(found)
    assert "CANARY" not in str(look_at(folder).senders)
    assert found.severity.name == "ERROR"
    (found,) = switched(folder, "celery.senders", elsewhere=("5",))
    assert found.severity.name == "WARNING"
    assert "where other workers are" in found.message
    (found,) = switched(folder, "celery.senders", broker="redis://127.0.0.1:6379/5")
    assert "BROKER=redis://:***@localhost:6379/3" in found.message


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the stand-in for a web server forks")
def test_a_web_server_that_waits_in_another_result_store_is_named(project, serving):
    registry.load()
    folder = project("overlay")
    (folder / "shop/settings/local.py").write_text(
        (folder / "shop/settings/local.py").read_text()
        + '\nimport os\nCELERY_RESULT_BACKEND = os.environ.get("RESULTS", "redis://127.0.0.1:6379/1")\n'
    )
    serving(folder, RESULTS="redis://localhost:6379/1")
    assert switched(folder, "celery.senders") == []
    server = serving(folder, RESULTS="redis://:CANARY-elsewhere@127.0.0.1:6379/7")
    (found,) = switched(folder, "celery.senders")
    assert f"(pid {server.pid}) was started with RESULTS=redis://:***@127.0.0.1:6379/7: it looks there" in found.message
    assert "CANARY" not in str(found)


@pytest.mark.parametrize(
    ("words", "environ", "origin"),
    [
        (["-b", "redis://:CANARY@h:1/5", "worker"], {}, ("-b", "redis://:***@h:1/5")),
        (["-bredis://h:1/5", "worker"], {}, ("-b", "redis://h:1/5")),
        (["--broker=redis://h:1/5", "worker"], {}, ("--broker", "redis://h:1/5")),
        (["-b", "redis://h:1/0", "worker"], {}, ("", "")),
        (["-b", "redis://h:1/0", "worker"], {"CELERY_BROKER_URL": "redis://h:1/5"}, ("", "")),
        (["worker"], {"CELERY_BROKER_URL": "redis://h:1/5"}, ("CELERY_BROKER_URL", "redis://h:1/5")),
        (["worker"], {"SHOP_BROKER": "redis://h:1/5"}, ("SHOP_BROKER", "redis://h:1/5")),
        (["--config", "prod", "worker"], {}, ("--config", "prod")),
        (["worker"], {"CELERY_CONFIG_MODULE": "prod"}, ("CELERY_CONFIG_MODULE", "prod")),
        (["worker"], {"SHOP_EAGER": "1"}, ("", "")),
    ],
)
def test_what_a_worker_was_started_with_is_read_from_its_options_and_variables(monkeypatch, words, environ, origin):
    monkeypatch.setattr(same_server, "same", lambda _urls: False)
    survey = Survey(
        place="here",
        broker=Dsn("redis://h:1/0"),
        extra={
            "broker_source": {"variables": [{"name": "SHOP_BROKER"}]},
            "eager": {"yes": ["1"], "variables": [{"name": "SHOP_EAGER"}]},
        },
    )
    started = senders._Started(["celery", "-A", "shop", *words], environ)
    found = senders._sender(7, senders.WORKER, started, survey, (survey.broker, None))
    assert found.origin == origin
    assert not found.eager


@pytest.mark.parametrize(
    ("url", "refuses", "named"),
    [
        ("redis://:old@h:1/0", True, "SHOP_BROKER"),
        ("redis://:old@h:1/0", False, ""),  # another user of the same server
        ("redis://:new@h:1/0", True, ""),
        ("redis://:old@h:1/5", True, ""),  # elsewhere, which is another fault
    ],
)
def test_a_password_of_before_is_tried_and_told_by_its_variable(monkeypatch, url, refuses, named):
    monkeypatch.setattr(same_server, "refused", lambda _url: refuses)
    monkeypatch.setattr(same_server, "same", lambda _urls: False)
    survey = Survey(
        "here", broker=Dsn("redis://:new@h:1/0"), extra={"broker_source": {"variables": [{"name": "SHOP_BROKER"}]}}
    )
    started = senders._Started(["celery", "worker"], {"SHOP_BROKER": url})
    found = senders._sender(7, senders.WORKER, started, survey, (survey.broker, None))
    assert found.locked_out == named
    assert "old" not in str(found)


def test_an_option_of_a_web_server_names_no_broker():
    """`-b` is gunicorn's and daphne's address."""
    survey = Survey(place="here", broker=Dsn("redis://h:1/0"))
    started = senders._Started(["daphne", "-b", "redis://h:1/5"], {})
    assert not senders._sender(7, senders.WEB, started, survey, (survey.broker, None)).variable


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("os.environ.get('EAGER') == '1'", ["1"]),
        ("os.environ.get('EAGER', '').lower() in ('1', 'true')", ["1", "true"]),
        ("env.bool('EAGER', default=False)", sources.YES),
        ("bool(int(os.environ.get('EAGER', '0')))", sources.YES),
        ("not env.bool('WITH_WORKERS')", []),
        ("os.environ.get('STAGE') != 'production'", []),
        ("env.bool('EAGER') and env.bool('DEBUG')", []),
    ],
)
def test_what_a_variable_must_say_is_read_from_the_expression(expression, words):
    assert sources._yes(ast.parse(expression, mode="eval").body) == words
