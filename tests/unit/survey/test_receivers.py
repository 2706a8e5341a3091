"""Tasks that receivers of Django's signals send before the row is committed, told from the code."""

from __future__ import annotations

import pytest

from intelli_checks.probes.inside.usage import uses

HEAD = """
from functools import partial
from celery import current_app
from django.db import models, transaction
from django.db.models import signals
from django.db.models.signals import m2m_changed, post_delete, post_save as saved
from django.dispatch import receiver
from orders.tasks import ship
"""
SAVED = "@receiver(saved, sender=Order)\ndef on_save(sender, instance, created, **kwargs):\n    "


def sent(code: str) -> list[dict[str, object]]:
    return [use for use in uses(HEAD + code) if use["kind"] == "sent_in_receiver"]


@pytest.mark.parametrize(
    ("code", "signal", "task"),
    [
        (SAVED + "ship.delay(instance.pk)", "post_save", "ship"),
        (SAVED + "if created: ship.apply_async(args=(instance.pk,))", "post_save", "ship"),
        (SAVED + "pk = instance.pk\n    ship.delay(order=pk)", "post_save", "ship"),
        (SAVED + "ship.si(instance.pk).delay()", "post_save", "ship"),
        (SAVED + "current_app.send_task('orders.tasks.ship', [instance.pk])", "post_save", None),
        ("@receiver(signals.post_save)\ndef f(**kw): ship.delay(kw['instance'].pk)", "post_save", "ship"),
        ("@receiver([post_delete, saved])\ndef f(instance, **kw): ship.delay(instance.pk)", "post_save", "ship"),
        (
            "@receiver(m2m_changed)\ndef f(sender, instance, pk_set, **kw):\n    for pk in pk_set: ship.delay(pk)",
            "m2m_changed",
            "ship",
        ),
        (
            "def f(sender, instance, **kw): ship.delay(instance.pk)\nmodels.signals.post_save.connect(f, sender=Order)",
            "post_save",
            "ship",
        ),
        ("def f(instance, **kw): ship.delay(instance.pk)\nsaved.connect(receiver=f)", "post_save", "ship"),
    ],
)
def test_a_receiver_that_sends_at_once(code, signal, task):
    (found,) = sent(code)
    assert (found["signal"], found["task"]) == (signal, task)


@pytest.mark.parametrize(
    "code",
    [
        SAVED + "transaction.on_commit(lambda: ship.delay(instance.pk))",
        SAVED + "transaction.on_commit(partial(ship.delay, instance.pk))",
        SAVED + "def send(): ship.delay(instance.pk)\n    transaction.on_commit(send)",
        SAVED + "@transaction.on_commit\n    def send(): ship.delay(instance.pk)",
        SAVED + "ship.delay_on_commit(instance.pk)",
        SAVED + "ship.apply_async((instance.pk,), countdown=10)",
        SAVED + "refresh.delay()",
        SAVED + "refresh.delay('orders')",
        SAVED + "jobs.send_task(instance)",
        "@receiver(saved)\n@after_commit\ndef f(instance, **kw): ship.delay(instance.pk)",
        "@receiver(post_delete)\ndef f(instance, **kw): ship.delay(instance.pk)",
        "from mongoengine.signals import post_save\n@receiver(post_save)\ndef f(instance): ship.delay(instance.pk)",
        "def f(instance, **kw): ship.delay(instance.pk)\nsaved.connect(transaction.on_commit(f))",
        "def view(request): ship.delay(request.user.pk)",
    ],
)
def test_what_waits_for_the_commit_or_needs_none_is_not_found(code):
    assert sent(code) == []


def test_a_function_inside_a_transaction_is_run_by_whoever_calls_it():
    code = "def view(r):\n    with transaction.atomic():\n        {}"
    late = code.format("def send(): ship.delay(r.pk)\n        transaction.on_commit(send)")
    kinds = [[use["kind"] for use in uses(HEAD + one)] for one in (late, code.format("ship.delay(r.pk)"))]
    assert kinds == [[], ["sent_in_transaction"]]
