"""Faults written into real projects: each is named, first, and nothing else is blamed for it."""

from __future__ import annotations

import sys

import pytest

from intelli_checks import Outcome

LIVE = "live"
OVERLAY = "overlay"
SETTINGS = {LIVE: "backend/portal/settings.py", OVERLAY: "shop/settings/base.py"}


def failed(results):
    return [id_ for id_, result in results.items() if result.outcome in {Outcome.FAILED, Outcome.ERRORED}]


def add(folder, file, text):
    path = folder / file
    path.write_text((path.read_text() if path.exists() else "") + "\n" + text + "\n")


def replace(folder, file, old, new):
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new))


@pytest.mark.parametrize("name", ["plain", "overlay", "factory", "live"])
def test_a_sound_project_of_any_shape_has_no_failure(name, project, diagnosed):
    assert failed(diagnosed(project(name))) == []


APPENDED = [
    (OVERLAY, "CELERY_BROKER_TRANSPORT_OPTIONS = {'visibility_timout': 7200}", "celery.names", "visibility_timeout?"),
    (OVERLAY, "CELERY_BEAT_SCHEDULE['nightly']['schedule'] = 0", "celery.beat_schedule", "without a pause"),
    (LIVE, "CELERY_TASK_ALWAYS_EAGERR = True", "celery.names", "CELERY_TASK_ALWAYS_EAGER"),
    (LIVE, "TASK_ALWAYS_EAGER = True", "celery.names", "CELERY_TASK_ALWAYS_EAGER"),
    (OVERLAY, "del CELERY_BROKER_URL\nCELERY_BROKER_ULR = 'redis://h/0'", "celery.names", "CELERY_BROKER_URL"),
    (OVERLAY, "CELERY_BROKER_URL = ''", "celery.broker_url", "falls back to amqp"),
    (OVERLAY, "CELERY_BROKER_URL = 'localhost:6379/0'", "celery.broker_url", "has no scheme"),
    (
        OVERLAY,
        "CELERY_BEAT_SCHEDULE['nightly']['task'] = 'orders.nightly'",
        "celery.beat_tasks",
        "orders.tasks.nightly",
    ),
    (
        OVERLAY,
        "CELERY_BEAT_SCHEDULE['token'] = {**CELERY_BEAT_SCHEDULE['nightly'], 'args': ('pl4nted',)}",
        "celery.beat_tasks",
        "cannot send orders.tasks.nightly: nightly() takes 0 positional arguments but 1 was given",
    ),
    (OVERLAY, "CELERY_TASK_SERIALIZER = 'pickle'", "celery.serializers", "pickle"),
    (
        OVERLAY,
        "CELERY_TASK_ACKS_LATE = True\nCELERY_BROKER_TRANSPORT_OPTIONS = {'visibility_timeout': 60}",
        "celery.visibility",
        "repeats it after 60 s",
    ),
    (
        OVERLAY,
        "from kombu import Queue\nCELERY_TASK_QUEUES = [Queue('celery'), Queue('shiping')]",
        "celery.routes",
        "did you mean 'shiping'?",
    ),
    (OVERLAY, "CELERY_TASK_CREATE_MISSING_QUEUES = False", "celery.routes", "QueueNotFound"),
    (
        LIVE,
        "CHANNEL_LAYERS = {'default': {'BACKEND': 'channels.layers.InMemoryChannelLayer'}}",
        "channels.in_memory",
        "never reach a socket",
    ),
    (LIVE, "CHANNEL_LAYERS['default']['CONFIG']['hosts'] = 'redis://h/1'", "channels.layer", "list of hosts"),
    (
        LIVE,
        "CHANNEL_LAYERS['default']['BACKEND'] = 'channels_rediss.core.RedisChannelLayer'",
        "channels.layer",
        "No module",
    ),
    (LIVE, "CHANNEL_LAYERS['default']['CONFIG']['hosts'] = [('h', 6379)]", "channels.idle", "after about 5 s"),
    (LIVE, "del ASGI_APPLICATION", "channels.asgi", "not set"),
]


@pytest.mark.parametrize("fault", APPENDED, ids=[line[:40] for _, line, *_ in APPENDED])
def test_one_line_in_the_settings(fault, project, diagnosed):
    name, line, check, words = fault
    folder = project(name)
    add(folder, SETTINGS[name], line)
    results = diagnosed(folder)
    assert failed(results) == [check]
    finding = results[check].findings[0]
    assert words in finding.message + finding.hint
    assert "pl4nted" not in repr(results)


def test_an_app_the_web_process_never_loads(project, diagnosed):
    folder = project(OVERLAY)
    (folder / "shop/__init__.py").write_text("")
    results = diagnosed(folder)
    assert failed(results) == ["celery.default_app"]
    assert "from .celery import app as celery_app" in results["celery.default_app"].findings[0].hint


def test_an_app_that_a_view_loads_is_loaded(project, diagnosed):
    folder = project(OVERLAY)
    (folder / "shop/__init__.py").write_text("")
    add(folder, "shop/urls.py", "from shop.celery import app")
    assert failed(diagnosed(folder)) == []


def test_a_namespace_nobody_applies(project, diagnosed):
    folder = project(OVERLAY)
    replace(folder, "shop/celery.py", ', namespace="CELERY"', "")
    replace(folder, SETTINGS[OVERLAY], "CELERY_RESULT_BACKEND", "CELERY_RESULT_BACKEND_X")
    assert failed(diagnosed(folder))[0] == "celery.namespace"


def test_a_broker_from_the_environment(project, diagnosed, monkeypatch):
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://:env-s3cret@elsewhere:6379/7")
    results = diagnosed(project(OVERLAY))
    assert failed(results) == ["celery.environment"]
    assert "redis://:***@elsewhere:6379/7" in results["celery.environment"].findings[0].message
    assert "env-s3cret" not in repr(results)


def test_a_name_misspelt_in_code(project, diagnosed):
    folder = project("plain")
    add(
        folder,
        "tasks.py",
        "app.conf.task_time_limits = 60\napp.conf.task_soft_time_limit = 30\napp.conf.shop_limit = 5",
    )
    results = diagnosed(folder)
    assert failed(results) == ["celery.names"]
    (finding,) = results["celery.names"].findings
    assert "did you mean task_time_limit?" in finding.hint


def test_a_crontab_without_a_minute(project, diagnosed):
    folder = project(OVERLAY)
    add(
        folder,
        SETTINGS[OVERLAY],
        """from celery.schedules import crontab
CELERY_BEAT_SCHEDULE['nightly']['schedule'] = crontab(hour=3)""",
    )
    (finding,) = diagnosed(folder)["celery.beat_schedule"].findings
    assert "due 60 times on each of its days: <crontab: * 3 * * *" in finding.message


def test_a_task_that_is_a_coroutine(project, diagnosed):
    folder = project(OVERLAY)
    add(folder, "orders/tasks.py", "@shared_task(bind=True)\nasync def fetch(self):\n    return None")
    results = diagnosed(folder)
    assert failed(results) == ["celery.coroutines"]
    assert "orders.tasks.fetch is an async def" in results["celery.coroutines"].findings[0].message


RECEIVER = """from django.db.models.signals import m2m_changed
from django.dispatch import receiver

from orders.tasks import ship


@receiver(m2m_changed)
def on_change(sender, instance, **kwargs):
    ship.delay(instance.pk)
"""


def test_a_task_sent_by_a_receiver(project, diagnosed):
    folder = project(OVERLAY)
    add(folder, "orders/receivers.py", RECEIVER)
    results = diagnosed(folder)
    assert failed(results) == []
    (finding,) = results["celery.transactions"].findings
    assert (finding.subject, "a receiver of m2m_changed sends ship" in finding.message) == (
        "orders/receivers.py:10",
        True,
    )


def test_a_receiver_whose_task_waits_for_the_commit(project, diagnosed):
    folder = project(OVERLAY)
    add(folder, "orders/receivers.py", RECEIVER)
    replace(folder, "orders/tasks.py", "@shared_task\ndef ship", "@shared_task(base=Patient)\ndef ship")
    patient = "    def delay(self, *args):\n        transaction.on_commit(lambda: self.apply_async(args))\n\n\n"
    imported = "from celery import shared_task"
    above = (
        f"from celery import Task\nfrom django.db import transaction\n{imported}\n\n\nclass Patient(Task):\n{patient}"
    )
    replace(folder, "orders/tasks.py", imported, above)
    assert diagnosed(folder)["celery.transactions"].findings == ()


def test_old_names_mixed_with_new_ones(project, diagnosed):
    folder = project("plain")
    (folder / "celeryconfig.py").write_text(
        "BROKER_URL = 'redis://h/0'\ntask_time_limit = 5\nresult_backend = 'redis://h'\n"
    )
    (folder / "tasks.py").write_text(
        "from celery import Celery\napp = Celery('plain')\napp.config_from_object('celeryconfig')\n"
    )
    results = diagnosed(folder)
    assert failed(results) == ["celery.app"]
    assert "celery upgrade settings" in results["celery.app"].findings[0].hint


def test_a_handler_nobody_wrote(project, diagnosed):
    folder = project(LIVE)
    replace(folder, "backend/feed/tasks.py", "feed.item", "feed.itm")
    results = diagnosed(folder)
    assert failed(results) == ["channels.handlers"]
    assert "def feed_itm" in results["channels.handlers"].findings[0].hint


def test_a_consumer_that_misses_its_user(project, diagnosed):
    folder = project(LIVE)
    wrapped = 'AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter([path("ws/feed/", nested)])))'
    replace(folder, "backend/portal/asgi.py", wrapped, 'URLRouter([path("ws/feed/", nested)])')
    results = diagnosed(folder)
    assert failed(results) == ["channels.user"]
    assert results["channels.origin"].outcome is Outcome.WARNED


def test_daphne_behind_staticfiles(project, diagnosed):
    folder = project(LIVE)
    replace(folder, SETTINGS[LIVE], '    "daphne",\n', "")
    replace(folder, SETTINGS[LIVE], '    "channels",\n', '    "channels",\n    "daphne",\n')
    assert failed(diagnosed(folder)) == ["channels.server"]


def test_a_chord_without_results(project, diagnosed):
    folder = project(OVERLAY)
    add(folder, SETTINGS[OVERLAY], "CELERY_RESULT_BACKEND = None")
    add(folder, "orders/views.py", "from celery import chord\n\n\ndef go():\n    return chord([])(None)")
    results = diagnosed(folder)
    assert failed(results) == ["celery.result_backend"]
    assert "orders/views.py:6" in results["celery.result_backend"].findings[0].message


def test_two_places_that_differ_are_told_once(project, diagnosed):
    folder = project(LIVE)
    worker = f"worker=env CELERY_BROKER_URL=redis://:pl4nted-pw@127.0.0.1:6379/2 {sys.executable}"
    results = diagnosed(folder, via=[f"web=env {sys.executable}", worker])
    assert failed(results) == ["celery.places"]
    (finding,) = results["celery.places"].findings
    assert "worker has redis://:***@127.0.0.1:6379/2" in finding.message
    assert "pl4nted-pw" not in repr(results)
