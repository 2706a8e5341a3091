"""Web server and worker on two databases, through a variable of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import Future
from dataclasses import replace

import pytest

from intelli_checks import configuration
from intelli_checks.context import Context
from intelli_checks.families.celery_senders import _apart, on_two_databases
from intelli_checks.probes import database_users
from intelli_checks.probes.absence import Absence
from intelli_checks.probes.database_users import Database, DatabaseUser
from intelli_checks.probes.senders import WEB, WORKER
from intelli_checks.registry import registry

PROGRAM = "import sys; print('up', flush=True); sys.stdin.read()"


@pytest.fixture
def started():
    """A process of the project that goes by a name, with variables of its own."""
    running = []

    def start(folder, name, *words, **variables):
        (folder / name).write_text(PROGRAM)
        argv = [sys.executable, name, *words]
        env = {**os.environ, **variables}
        process = subprocess.Popen(argv, cwd=folder, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        running.append(process)
        assert process.stdout.readline() == b"up\n"
        return process

    yield start
    for process in running:
        process.communicate(timeout=10)


@pytest.fixture
def shop(project):
    """A project that reads the name of its database from a variable, by way of another module's constant."""
    folder = project("overlay")
    base = folder / "shop/settings/base.py"
    text = base.read_text().replace('BASE_DIR / "db.sqlite3"', "WHERE")
    base.write_text(
        text.replace("SECRET_KEY =", 'WHERE = os.environ.get("SHOP_DB", BASE_DIR / "db.sqlite3")\nSECRET_KEY =', 1)
    )
    return folder


def said(folder):
    ctx = Context(configuration.load({"project": folder, "timeout": 40.0}, os.environ, folder))
    ctx.gathered["absence"] = Future()
    ctx.gathered["absence"].set_result(Absence())
    return list(registry["celery.senders"].run(ctx))


@pytest.mark.parametrize("whose", ["worker", "web"])
def test_the_one_with_a_variable_of_its_own_is_named_with_both_databases(shop, started, tmp_path, whose):
    other = str(tmp_path / "other.sqlite3")
    own = {"SHOP_DB": other, "SHOP_PASSWORD": "CANARY-secret"}
    web = started(shop, "daphne", "shop.asgi:application", **(own if whose == "web" else {}))
    worker = started(shop, "celery", "-A", "shop", "worker", **(own if whose == "worker" else {}))
    (found,) = said(shop)
    odd = worker if whose == "worker" else web
    assert found.severity.name == "ERROR"
    assert f"(pid {odd.pid}) uses database {other}" in found.message
    assert str((shop / "db.sqlite3").resolve()) in found.message
    assert f"(SHOP_DB of pid {odd.pid})" in found.message
    assert found.hint.startswith(f"unset SHOP_DB where pid {odd.pid} is started, as for pid ")
    assert "CANARY-secret" not in str(found)


@pytest.mark.parametrize(
    ("web", "worker"),
    [
        ({}, {}),
        ({}, {"SHOP_DB": "db.sqlite3"}),
        ({}, {"SHOP_DB": "linked.sqlite3"}),
        ({"SHOP_DB": "/elsewhere/a.sqlite3"}, {"SHOP_DB": "/elsewhere/a.sqlite3"}),  # it is this shell that differs
        ({}, {"SHOP_DB": "/elsewhere/a.sqlite3", "BROKER": "redis://127.0.0.1:6379/9"}),  # another system, same code
        ({}, {"SHOP_DB": ":memory:"}),
        ({}, {"SHOP_DB": "/elsewhere/a.sqlite3", "DJANGO_SETTINGS_MODULE": "shop.settings.gone"}),
    ],
    ids=["alike", "relative", "linked", "both", "another broker", "memory", "does not load"],
)
def test_processes_that_share_their_database_are_silent(shop, started, web, worker):
    (shop / "linked.sqlite3").symlink_to(shop / "db.sqlite3")
    started(shop, "daphne", "shop.asgi:application", **web)
    started(shop, "celery", "-A", "shop", "worker", **worker)
    assert [found for found in said(shop) if "database " in found.message] == []


def test_a_worker_of_another_application_in_the_folder_has_its_own_database(shop, started):
    started(shop, "daphne", "shop.asgi:application")
    started(shop, "celery", "-A", "billing", "worker", SHOP_DB="/elsewhere/a.sqlite3")
    assert said(shop) == []


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"ENGINE": "django.db.backends.sqlite3", "NAME": "a.sqlite3"}, "/srv/a.sqlite3"),
        ({"ENGINE": "django.db.backends.sqlite3", "NAME": "file:a?mode=memory"}, None),
        ({"ENGINE": "django.db.backends.postgresql", "NAME": "shop", "USER": "u"}, "127.0.0.1:5432/shop"),
        ({"ENGINE": "django.db.backends.postgresql", "NAME": "shop", "HOST": "/run/pg"}, "127.0.0.1:5432/shop"),
        ({"ENGINE": "django.db.backends.mysql", "NAME": "shop", "HOST": "db", "PORT": 3307}, "db:3307/shop"),
        ({"ENGINE": "django.db.backends.postgresql", "NAME": "", "OPTIONS": {"service": "s"}}, None),
        ({"ENGINE": "django.db.backends.dummy", "NAME": "x"}, None),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="paths as POSIX writes them")
def test_what_tells_a_database_from_others(config, told):
    found = database_users.of(config, "/srv")
    assert (str(found) if found else None) == told


WEB_USER = DatabaseUser(1, WEB, Database("shop", "db:5432"), "redis/0")
WORKER_USER = DatabaseUser(2, WORKER, Database("test", "db:5432"), "redis/0", ("SHOP_DB",), at_home=False)


def test_one_database_behind_a_pooler_is_no_fault():
    pooled = replace(WORKER_USER, database=Database("shop", "pooler:6432"))
    (pair,) = on_two_databases([WEB_USER, pooled])
    assert _apart(*pair).severity.name == "INFO"
    (pair,) = on_two_databases([WEB_USER, WORKER_USER])
    assert _apart(*pair).severity.name == "ERROR"


@pytest.mark.parametrize(
    ("web", "worker", "typed"),
    [
        ((), ("SHOP_DB",), "unset SHOP_DB where pid 2 is started, as for pid 1"),
        (("SHOP_DB",), ("SHOP_DB",), "give pid 2 the SHOP_DB of pid 1"),
        (("SHOP_DB",), (), "give pid 2 the SHOP_DB of pid 1"),
        ((), (), "give pid 2 the environment of pid 1"),
    ],
)
def test_what_to_do_where_one_or_both_have_the_variable(web, worker, typed):
    found = _apart(replace(WORKER_USER, variables=worker), replace(WEB_USER, variables=web))
    assert found.hint.startswith(typed)


@pytest.mark.parametrize(
    ("users", "odd"),
    [
        ([WEB_USER, WORKER_USER], [2]),
        ([replace(WEB_USER, pid=3), WEB_USER, WORKER_USER], [2]),
        ([replace(WEB_USER, at_home=False), WORKER_USER], [1]),
        ([WEB_USER, replace(WORKER_USER, broker="redis/1")], []),
        ([WORKER_USER, replace(WORKER_USER, pid=3, database=WEB_USER.database)], []),  # both work: nobody sends here
    ],
)
def test_who_is_the_odd_one(users, odd):
    assert [one.pid for one, _ in on_two_databases(users)] == odd
