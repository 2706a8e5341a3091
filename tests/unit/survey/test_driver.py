"""The redis-py that kombu wants, told from its source, is the one it insists on when it connects."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
from kombu.exceptions import VersionMismatch
from kombu.transport import redis as transport

from intelli_checks.probes.inside import celery_side
from intelli_checks.probes.inside.celery_side import driver_wanted


def connects(version: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(transport.redis, "VERSION", version)
    channel = transport.Channel.__new__(transport.Channel)
    try:
        channel._get_client()
    except VersionMismatch:
        return False
    return True


def test_kombu_takes_what_is_told_and_nothing_older(monkeypatch: pytest.MonkeyPatch) -> None:
    told = driver_wanted()
    assert told is not None
    oldest = tuple(map(int, told.split(".")))
    assert connects(oldest, monkeypatch)
    assert not connects((oldest[0], oldest[1] - 1, 999), monkeypatch)


@pytest.mark.parametrize(
    ("module", "said"), [("shop", "shop"), ("shop.celery", "shop"), ("shop.work_queue", "shop.work_queue")]
)
def test_an_app_nobody_named_is_spelt_as_celery_finds_it(module, said, monkeypatch, tmp_path):
    from celery import Celery

    here = ModuleType(module)
    here.__file__ = str(tmp_path / "app.py")
    here.app = Celery("shop", set_as_current=False)
    monkeypatch.setitem(sys.modules, "shop", ModuleType("shop"))
    monkeypatch.setitem(sys.modules, module, here)
    assert celery_side._spelling(here.app) == said
