"""Whose processes use the layer, and whether they are of another environment, from facts alone."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from intelli_checks.dsn import Dsn
from intelli_checks.model import Skip
from intelli_checks.probes import layer_users
from intelli_checks.probes.channels_state import Group, LayerState
from intelli_checks.probes.clients import Client
from intelli_checks.probes.layer_users import LayerUser
from intelli_checks.probes.survey import LayerDecl
from intelli_checks.registry import registry

registry.load()

SECRET = "do-not-print-me"
OURS = LayerUser(7, "daphne", "/srv/shop", here=True, reads=True, same_code=True, agrees=True)
THEIRS = {"pid": 9, "name": "daphne", "directory": "/srv/staging", "reads": True}
VARIABLES = {"DATABASE_URL": f"postgres://u:{SECRET}@db/shop?pool=4", "CELERY_BROKER_URL": "redis://localhost/0"}


def context(*users: LayerUser, prefixes: tuple[str, ...] = ("asgi",)) -> SimpleNamespace:
    groups = tuple(Group("job_7", prefix, 1, 1) for prefix in prefixes)
    return SimpleNamespace(
        layer_users=users,
        layer_states=(LayerState("redis:6379", 1, groups=groups),),
        survey=SimpleNamespace(layers=(LayerDecl("default", "core.RedisChannelLayer"),)),
    )


def said(*users: LayerUser, **more: tuple[str, ...]) -> str:
    return "; ".join(f"{f.severity.name} {f.message}" for f in registry["channels.shared"].run(context(*users, **more)))


@pytest.mark.parametrize(
    ("user", "words"),
    [
        (LayerUser(**THEIRS, differs=("DATABASE_URL",)), "ERROR another environment reads"),
        (LayerUser(**THEIRS, own_file="/srv/staging/db.sqlite3"), "its rows are in /srv/staging/db.sqlite3"),
        (LayerUser(**THEIRS, consumed=5), "its tasks go to database 5"),
        (LayerUser(9, "celery", "/srv/staging", same_code=True, consumed=5), "ERROR another environment sends into"),
        (LayerUser(9, "celery", "/srv/staging", consumed=5), "WARNING another environment sends into"),
        (LayerUser(0, "10.0.0.9", reads=True, consumed=5), "WARNING another environment reads"),
        (LayerUser(**THEIRS), "WARNING daphne (pid 9) in /srv/staging reads this project's channel layer from another"),
    ],
    ids=["variables", "sqlite", "broker", "worker", "other code", "machine", "folder"],
)
def test_another_environment_is_named_as_surely_as_it_is_known(user, words):
    assert words in said(OURS, user)


@pytest.mark.parametrize(
    "user",
    [
        LayerUser(**THEIRS, agrees=True),
        LayerUser(**THEIRS, at_home=True, differs=("DB_HOST",)),
        LayerUser(**THEIRS, prefixed=True, differs=("DATABASE_URL",)),
        LayerUser(**THEIRS, agrees=True, own_file="/srv/staging/db.sqlite3", added=("DB_REPLICA",)),
        LayerUser(8, "uvicorn", "/srv/shop/backend", here=True, reads=True),
    ],
    ids=["release", "our broker", "own prefix", "same database", "second process"],
)
def test_a_process_of_the_same_system_is_no_fault(user):
    assert said(OURS, user) == "INFO 2 processes use the layer's database, none of another environment"


@pytest.mark.parametrize("odd", [{"added": ("DB_NAME",)}, {"differs": ("BROKER_URL",)}, {"consumed": 5}])
def test_what_runs_in_the_projects_own_folder_is_the_project_whatever_its_variables_say(odd):
    assert said(LayerUser(9, "daphne", "/srv/shop", here=True, reads=True, **odd)).startswith("INFO ")


def test_several_prefixes_are_another_check_s_business():
    with pytest.raises(Skip):
        said(OURS, prefixes=("asgi", "staging"))


# -- what is compared -------------------------------------------------------------------------------------------------


def compared(**theirs: str) -> tuple[tuple[str, ...], tuple[str, ...], bool]:
    found = layer_users._compared(VARIABLES, theirs)
    return found["differs"], found["added"], found["agrees"]


@pytest.mark.parametrize(
    ("theirs", "expected"),
    [
        ({"DATABASE_URL": "postgres://other:login@db/shop"}, ((), (), True)),
        ({"DATABASE_URL": "postgres://db/staging"}, (("DATABASE_URL",), (), False)),
        ({"CELERY_BROKER_URL": "redis://127.0.0.1:6379/0"}, ((), (), True)),
        ({"CELERY_BROKER_URL": "redis://127.0.0.1:6379/8"}, (("CELERY_BROKER_URL",), (), False)),
        ({"SHOP_DB": "other.sqlite3", "DB_PASSWORD": "x", "DBUS_SESSION_BUS_ADDRESS": "y"}, ((), ("SHOP_DB",), False)),
        ({"HOME": "/elsewhere", "PORT": "1", "DB_POOL": "9"}, ((), (), False)),
    ],
    ids=["login", "database", "spelling", "broker", "added", "others"],
)
def test_only_where_data_is_kept_is_compared(theirs, expected):
    assert compared(**theirs) == expected


def test_variables_are_read_from_the_file_projects_keep_them_in(tmp_path):
    (tmp_path / ".env").write_text("# of staging\nexport DB_NAME='staging'\nDATABASE_URL=postgres://h/d\nnonsense\n")
    assert layer_users.dotenv(tmp_path / "backend") == {"DB_NAME": "staging", "DATABASE_URL": "postgres://h/d"}


def test_another_machine_counts_when_it_uses_this_layer_and_a_broker_that_is_not_ours():
    layer = Dsn("redis://redis/1")
    ours = layer_users._Ours(Path("/srv/shop"), {}, None, None, layer, broker=0)

    def seen(*clients: tuple[int, str]) -> LayerUser | None:
        held = [Client("10.0.0.9:1", database, command, True, 0, 0) for database, command in clients]
        return layer_users._machine("10.0.0.9", held, ours, {5})

    assert seen((1, "bzpopmin"), (5, "lpush")).consumed == 5
    assert seen((1, "bzpopmin"), (5, "lpush"), (0, "lpush")).at_home
    assert seen((1, "bzpopmin"), (3, "get")) is None
    assert seen((5, "brpop")) is None


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["/srv/.venv/bin/python3.11", "/srv/.venv/bin/daphne", "-p", "80"], "daphne"),
        (["python", "-m", "celery", "-A", "x"], "celery"),
        (["python"], "a process"),
    ],
)
def test_a_program_is_called_by_its_name(words, name):
    assert layer_users.program(words) == name
