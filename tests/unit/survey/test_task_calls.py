"""What the interview tells of tasks that cannot be called as they are meant to."""

from __future__ import annotations

import asyncio
import functools

import pytest
from celery import Celery, Task
from django.db import transaction

from intelli_checks.probes.inside import calls

SECRET = "pl4nted-s3cret"


class Rewriting(Task):
    """A base class of the project that decides itself what is sent."""

    def apply_async(self, args=None, kwargs=None, **options):
        return super().apply_async((), {}, **options)


def shop(**entry: object) -> Celery:
    app = Celery("shop", set_as_current=False)

    @app.task(shared=False, name="restock")
    def restock(): ...

    @app.task(shared=False, name="order", bind=True)
    def order(self, what, amount=1): ...

    @app.task(shared=False, name="loose", typing=False)
    def loose(): ...

    @app.task(shared=False, name="rewritten", base=Rewriting)
    def rewritten(): ...

    app.conf.beat_schedule = {"entry": {"schedule": 60, **entry}}
    return app


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"task": "restock", "args": (SECRET,)}, "restock() takes 0 positional arguments but 1 was given"),
        ({"task": "restock", "kwargs": {"what": SECRET}}, "unexpected keyword argument 'what'"),
        ({"task": "order"}, "missing 1 required positional argument: 'what'"),
        ({"task": "order", "args": SECRET}, "but 15 were given"),
        ({"task": "order", "args": 5}, "must be an iterable"),
        ({"task": "order", "kwargs": [SECRET]}, "must be a mapping"),
    ],
)
def test_arguments_celery_refuses_are_told_without_their_values(entry, words):
    refused = calls.refused_arguments(shop(**entry))
    assert words in refused["entry"]
    assert SECRET not in refused["entry"]


@pytest.mark.parametrize(
    "entry",
    [
        {"task": "restock"},
        {"task": "restock", "args": None, "kwargs": None},
        {"task": "order", "args": ("pen",)},
        {"task": "order", "kwargs": {"what": "pen", "amount": 2}},
        {"task": "loose", "args": ("pen",)},
        {"task": "rewritten", "args": ("pen",)},
        {"task": "elsewhere.restock", "args": ("pen",)},
        {"task": "restock", "args": ("pen",), "enabled": False},
        {"task": "celery.backend_cleanup"},
    ],
)
def test_arguments_that_fit_or_that_nobody_can_judge_are_not(entry):
    assert calls.refused_arguments(shop(**entry)) == {}


def test_words_of_a_type_checker_that_quotes_values_are_not_repeated():
    def picky(fun, **_):
        def check(*args, **kwargs):
            if args not in (("pen",), (None,)):
                raise TypeError(f"not a pen: {args}")

        return staticmethod(check)

    app = Celery("shop", set_as_current=False)
    app.type_checker = picky
    app.task(shared=False, name="restock")(lambda what: None)
    app.conf.beat_schedule = {"entry": {"task": "restock", "schedule": 60, "args": (SECRET,)}}
    assert calls.refused_arguments(app) == {"entry": "its type checker refuses the arguments"}


async def fetch(page=None): ...


def plain(): ...


def blocking(function):
    """What projects write themselves: a plain function that still calls itself by the coroutine's name."""

    @functools.wraps(function)
    def inner(*args, **kwargs):
        return asyncio.run(function(*args, **kwargs))

    return inner


class Async(Task):
    """A base class that runs what its tasks return."""

    def __call__(self, *args, **kwargs):
        return asyncio.run(self.run(*args, **kwargs))


class ByClass(Task):
    name = "by_class"

    async def run(self): ...


def made(function, **options):
    app = Celery("shop", set_as_current=False)
    app.task(shared=False, name="fetch", **options)(function)
    return app.tasks["fetch"]


@pytest.mark.parametrize(
    ("function", "options", "told"),
    [
        (fetch, {}, True),
        (fetch, {"bind": True}, True),
        (fetch, {"autoretry_for": (OSError,)}, True),
        (blocking(fetch), {}, False),
        (blocking(fetch), {"autoretry_for": (OSError,)}, False),
        (fetch, {"base": Async}, False),
        (plain, {}, False),
        (asyncio.sleep, {}, False),  # not the project's to mend
    ],
)
def test_a_task_whose_body_no_worker_runs(function, options, told):
    assert calls.is_coroutine(made(function, **options)) is told


def test_a_task_written_as_a_class_is_one_too():
    assert calls.is_coroutine(ByClass())


@pytest.mark.parametrize(
    ("environ", "pool", "told"),
    [
        ({}, "threads", None),
        ({}, "celery.concurrency.thread:TaskPool", None),
        ({}, "custom", "custom"),
        ({}, "celery_aio_pool.pool:AsyncIOPool", "celery_aio_pool.pool:AsyncIOPool"),
        (
            {"CELERY_CUSTOM_WORKER_POOL": "celery_aio_pool.pool:AsyncIOPool"},
            "custom",
            "celery_aio_pool.pool:AsyncIOPool",
        ),
    ],
)
def test_a_pool_of_somebody_elses(environ, pool, told, monkeypatch):
    monkeypatch.delenv("CELERY_CUSTOM_WORKER_POOL", raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    app = Celery("shop", set_as_current=False)
    app.conf.worker_pool = pool
    assert calls.foreign_pool(app.conf) == told


def test_a_pool_that_is_installed_and_named_elsewhere(monkeypatch, tmp_path):
    (tmp_path / "celery_aio_pool.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert calls.foreign_pool(Celery("shop", set_as_current=False).conf) == "celery_aio_pool"


class Patient(Task):
    """A base class that sends after the commit."""

    def apply_async(self, args=None, kwargs=None, **options):
        return transaction.on_commit(lambda: super(Patient, self).apply_async(args, kwargs, **options))


class Heir(Patient):
    def apply_async(self, args=None, kwargs=None, **options):
        return super().apply_async(args, kwargs, **options)


@pytest.mark.parametrize(("base", "told"), [(Patient, True), (Heir, True), (Rewriting, False), (Task, False)])
def test_a_base_class_that_waits_for_the_commit(base, told):
    assert calls.waits_for_commit(made(plain, base=base)) is told
