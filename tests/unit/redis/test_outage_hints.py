"""What is offered to type when nothing listens: it starts the server on the port that was asked."""

from __future__ import annotations

import pytest

from intelli_checks.dsn import Dsn
from intelli_checks.probes.redis_outage import explain
from intelli_checks.probes.redis_replies import Place
from intelli_checks.probes.resp import DialError


def hint(url: str, *, in_container: bool = False) -> str:
    place = Place(Dsn(url), "CELERY_BROKER_URL", "broker", in_container=in_container)
    return explain(DialError("connect", "Connection refused"), place).hint


@pytest.mark.parametrize("in_container", [True, False])
def test_another_port_is_started_as_such_and_pinged_there(in_container):
    typed = hint("redis://localhost:6399/0", in_container=in_container)
    assert typed.startswith("redis-server --port 6399 --daemonize yes && redis-cli -h localhost -p 6399 ping")


def test_the_usual_port_belongs_to_the_service_of_the_system():
    assert hint("redis://localhost:6379/0").endswith("&& redis-cli -h localhost -p 6379 ping")
    assert "--port" not in hint("redis://localhost:6379/0")


def test_a_password_is_asked_for_and_never_shown():
    typed = hint("redis://app:planted-word@localhost:6399/0")
    assert "redis-cli -h localhost -p 6399 --user app --askpass ping" in typed
    assert "planted-word" not in typed


def test_behind_sentinels_it_is_they_who_are_asked():
    ask = "redis-cli -h s1 -p 26379 SENTINEL CKQUORUM shop"
    place = Place(Dsn("redis://localhost:6399/0"), "CELERY_BROKER_URL", "broker", sentinels=ask)
    told = explain(DialError("connect", "Connection refused"), place)
    assert "the sentinels still name it as the master" in str(told)
    assert told.hint.startswith(ask)
    assert "redis-server --port" not in told.hint
