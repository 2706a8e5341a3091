"""A broker out of reach while the workers here are served by another Redis: nothing needs to be started."""

from __future__ import annotations

import pytest
from tests.unit.celery.states import context

from intelli_checks.dsn import Dsn
from intelli_checks.families import celery_started, redis
from intelli_checks.model import Finding, fail
from intelli_checks.probes import led_elsewhere
from intelli_checks.probes.led_elsewhere import Led
from intelli_checks.probes.survey import Survey

HERE = "redis://127.0.0.1:26901/0"
THERE = "127.0.0.1:26903"
START = "redis-server --port 26901 --daemonize yes"


def judged(*workers: Led, step: str = "connect", given: str = "") -> Finding:
    ctx = context(survey=Survey("here", broker=Dsn(HERE)), led_elsewhere=workers)
    object.__setattr__(ctx.target, "broker", Dsn(given) if given else None)
    return redis._served_elsewhere(ctx, fail("refused: nothing listens there", hint=START, kind="refused", step=step))


def test_a_worker_that_is_served_elsewhere_is_told_with_the_variable_this_shell_lacks(monkeypatch):
    monkeypatch.setattr(celery_started.sys, "platform", "linux")
    found = judged(Led(44, THERE, "SHOP_REDIS", "redis://127.0.0.1:26903"))
    assert found.message == (
        "refused: nothing listens there; worker pid 44 uses 127.0.0.1:26903, this shell's settings name 127.0.0.1:26901"
    )
    assert found.hint.startswith("export \"$(tr '\\0' '\\n' </proc/44/environ | grep '^SHOP_REDIS=')\"")
    assert found.facts["kind"] == "refused"


def test_several_workers_and_an_option():
    found = judged(Led(44, THERE, "-b", "redis://:***@127.0.0.1:26903"), Led(45, THERE, "-b", ""))
    assert "worker pids 44, 45 use 127.0.0.1:26903, this" in found.message
    assert found.hint.startswith("intelli-ops check --broker redis://:***@127.0.0.1:26903")


@pytest.mark.parametrize(
    ("workers", "more"),
    [
        ((), {}),
        ((Led(44),), {}),
        ((Led(44, THERE, "SHOP_REDIS", ""), Led(45)), {}),  # 45 waits for the one that is down
        ((Led(44, THERE, "SHOP_REDIS", ""),), {"step": "auth"}),
        ((Led(44, THERE, "SHOP_REDIS", ""),), {"given": HERE}),
    ],
    ids=["no worker", "waiting", "one of two", "it is there", "given by hand"],
)
def test_a_broker_that_is_down_is_started(workers, more):
    found = judged(*workers, **more)
    assert (found.message, found.hint) == ("refused: nothing listens there", START)


@pytest.mark.parametrize(
    ("words", "environ", "names"),
    [
        ([], {"SHOP_REDIS": "redis://:CANARY@127.0.0.1:26903"}, ["SHOP_REDIS"]),
        ([], {"SHOP_REDIS": "127.0.0.1:26903"}, ["SHOP_REDIS"]),
        (["-b", "redis://127.0.0.1:26903/1"], {}, ["-b"]),
        ([], {"SAME": "redis://127.0.0.1:26903"}, []),  # this shell has it too: it explains nothing
        ([], {"SHOP_REDIS": "redis://127.0.0.1:26904", "SITE": "http://127.0.0.1:26903", "PORT": "26903"}, []),
        ([], {"SHOP_DB": "postgres://u@127.0.0.1:26903/shop", "SOCKET": "unix:///run/redis.sock"}, []),
    ],
)
def test_which_variable_holds_the_address_of_a_connection(monkeypatch, words, environ, names):
    monkeypatch.setenv("SAME", "redis://127.0.0.1:26903")
    told = list(led_elsewhere.urls(["celery", *words, "worker"], environ))
    found = led_elsewhere.holding(told, [THERE, "127.0.0.1:5432"])
    assert [name for name, _ in found] == names
    assert "CANARY" not in str(found)


@pytest.mark.parametrize(
    ("words", "ours"),
    [
        (["-A", "shop", "worker"], True),
        (["-A", "shop.celery:app", "worker"], True),
        (["--app=shop.celery", "worker"], True),
        (["worker"], True),
        (["-A", "billing", "worker"], False),
    ],
)
def test_a_worker_of_another_app_in_the_same_repository_is_none_of_ours(words, ours):
    assert led_elsewhere.of_app(["celery", *words], "shop.celery:app") is ours
