"""What Django keeps its data in, judged from what the audit told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import ClassVar

import pytest

from intelli_checks.dsn import Dsn
from intelli_checks.model import Skip, Unavailable
from intelli_checks.probes.inside.django_side import _ahead, _of_columns
from intelli_checks.probes.survey import Audit, Survey
from intelli_checks.registry import registry

registry.load()  # a family's needs are declared by the families before it

CONFIG = {"ENGINE": "django.db.backends.postgresql", "NAME": "shop", "USER": "ada", "HOST": "db", "CONN_MAX_AGE": 60}
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "urls": ["redis://r:6379/3"]}}
ERROR = {"step": "caches", "type": "ConnectionError", "message": "Error 111. Connection refused."}


def said(check: str, django: dict | None = None, **audit: object) -> str:
    survey = Survey("here", django={"DEBUG": False, **(django or {})})
    told = {"audits": {"here": Audit("here", **audit)}, "surveys": {"here": survey}, "survey": survey}
    ctx = SimpleNamespace(**told, web_server=None)
    return "; ".join(f"{one.severity.name} {one.message} | {one.hint}" for one in registry[check].run(ctx))


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("FATAL: sorry, too many clients already", "(now 60)"),
        ('FATAL: password authentication failed for user "ada"', "correct USER and PASSWORD"),
        ('FATAL: database "shop" does not exist', "createdb -h db -p 5432 -U ada shop"),
        ("connection to server failed: Connection refused", "start the database server at db:5432"),
        ("failed to resolve host 'db': Name or service not known", "correct HOST in DATABASES: db is no name here"),
        ("database is locked", "fuser -v shop"),
        ("connection timeout expired", "nc -vz db 5432"),
        ("something else", "python manage.py dbshell --database default"),
    ],
)
def test_what_to_do_depends_on_what_the_driver_said(text, hint):
    from intelli_checks.families.django_data import remedy

    assert hint in remedy(text, "default", CONFIG)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"pending": ["a.0002_b", "a.0002_c"], "conflicts": {"a": ["0002_b", "0002_c"]}}, "makemigrations --merge"),
        ({"pending": ["a.0002_b"], "conflicts": {}}, "ERROR 1 migrations are not applied"),
        ({"pending": [], "ahead": ["a.0003_c"]}, "WARNING default has migrations this code does not know: a.0003_c"),
        ({"pending": [], "unmade": ["a"]}, "WARNING models of a differ"),
    ],
)
def test_migrations_that_do_not_fit_the_code_are_told_with_their_remedy(told, words):
    assert words in said("django.migrations", migrations={"default": told})


def test_migrations_that_fit_are_silent():
    told = {"reachable": True, "pending": [], "conflicts": {}, "ahead": [], "unmade": []}
    assert said("django.migrations", migrations={"default": told}) == ""


@pytest.mark.parametrize(
    ("disk", "applied", "ahead"),
    [
        (["0001_initial"], ["0001_initial", "0002_b"], ["a.0002_b"]),
        (["0001_initial", "0002_b"], ["0001_initial"], []),
        (["0001_squashed_0004_d"], ["0001_squashed_0004_d", "0001_initial", "0004_d"], []),
        (["0001_initial"], ["0001_initial", "by_hand"], []),
    ],
)
def test_only_what_comes_after_the_last_migration_of_the_code_is_ahead_of_it(disk, applied, ahead):
    loader = SimpleNamespace(
        disk_migrations={("a", name): None for name in disk},
        applied_migrations={(app, name): None for app in ("a", "gone") for name in applied},
    )
    assert _ahead(loader) == ahead


def test_words_of_a_field_are_no_change_of_a_table():
    alter, add = (type(name, (), {})() for name in ("AlterField", "AddField"))
    assert not _of_columns(SimpleNamespace(operations=[alter]))
    assert _of_columns(SimpleNamespace(operations=[alter, add]))


def test_a_cache_that_does_not_answer_is_told_and_a_missing_table_is_made():
    assert "ERROR cache default: ConnectionError" in said("django.cache", caches={"default": ERROR})
    gone = {**ERROR, "type": "OperationalError", "message": "no such table: cache_table"}
    assert "createcachetable" in said("django.cache", caches={"default": gone})
    flag = {**ERROR, "type": "RedisError", "message": "Invalid SSL Certificate Requirements Flag: CERT_NONE"}
    assert "lower case is what redis-py and Celery both take" in said("django.cache", caches={"default": flag})
    assert said("django.cache") == ""


def test_a_cache_on_the_broker_s_server_that_is_down_has_its_cause_elsewhere():
    class Down:
        surveys: ClassVar = {"here": Survey("here", broker=Dsn("redis://r:6379/0"), django={"CACHES": CACHES})}
        survey = surveys["here"]
        audits: ClassVar = {"here": Audit("here", caches={"default": ERROR})}

        @property
        def redis_broker(self):
            raise Unavailable("refused", hint="start it")

    with pytest.raises(Skip, match="broker's server"):
        list(registry["django.cache"].run(Down()))


def test_sessions_in_the_memory_of_one_process_are_told():
    django = {"session_cache": "default", "CACHES": {"default": {"BACKEND": "django.core.cache.backends.LocMemCache"}}}
    assert said("django.cache", django).startswith("WARNING sessions are kept in cache default")
    assert said("django.cache", {**django, "DEBUG": True}) == ""
    assert said("django.cache", {**django, "session_cache": None}) == ""


def test_static_files_that_nobody_collected_are_told_where_people_are_served():
    manifest = {"manifest": "/s.json", "collected": False}
    assert "ERROR there is no /s.json" in said("django.static", {"static": manifest})
    assert said("django.static", {"static": {**manifest, "collected": True}}) == ""
    assert said("django.static", {"static": manifest, "DEBUG": True}) == ""
    assert said("django.static", {"static": None}) == ""


def test_where_no_web_server_runs_nobody_needs_static_files():
    class Unserved:
        survey = Survey("here", django={"static": {"manifest": "/s.json", "collected": False}})

        @property
        def web_server(self):
            raise Skip("say where the web server is")

    with pytest.raises(Skip):
        list(registry["django.static"].run(Unserved()))
