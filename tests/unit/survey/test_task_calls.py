"""What the interview tells of tasks that cannot be called as they are meant to."""

from __future__ import annotations

import pytest
from celery import Celery, Task

from intelli_checks.probes.inside import celery_side

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
    ],
)
def test_arguments_celery_refuses_are_told_without_their_values(entry, words):
    refused = celery_side.refused_arguments(shop(**entry))
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
    assert celery_side.refused_arguments(shop(**entry)) == {}


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
    assert celery_side.refused_arguments(app) == {"entry": "its type checker refuses the arguments"}
