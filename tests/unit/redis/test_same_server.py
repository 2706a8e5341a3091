"""Two URLs of one Redis database are one, and two servers on equal numbers are not."""

from __future__ import annotations

import pytest

from intelli_checks.dsn import Dsn
from intelli_checks.probes import same_server

RUNS = {"redis": "a" * 40, "10.0.0.5": "a" * 40, "other": "b" * 40, "gone": "", "lost": ""}


@pytest.fixture(autouse=True)
def servers(monkeypatch):
    asked = []

    def run_id(url, _place):
        asked.append(url.host)
        return RUNS[url.host]

    monkeypatch.setattr(same_server, "_run_id", run_id)
    return asked


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("redis://redis:6379/0", "redis://10.0.0.5:6379/0", True),
        ("redis://redis:6379/0", "redis://10.0.0.5:6379/1", False),
        ("redis://redis:6379/0", "redis://other:6379/0", False),
        ("redis://redis:6379/0", "redis://gone:6379/0", False),
        ("redis://lost:6379/0", "redis://gone:6379/0", False),
        ("redis://redis:6379/0", "amqp://redis:5672//", False),
    ],
)
def test_the_server_says_who_it_is(one, other, same):
    assert same_server.same((Dsn(one), Dsn(other))) is same


def test_this_machine_by_two_names_is_not_even_asked(servers):
    assert same_server.same((Dsn("redis://localhost:6379/0"), Dsn("redis://127.0.0.1:6379/0")))
    assert not servers


def test_another_password_is_tried_before_two_urls_are_called_one(servers):
    assert same_server.same((Dsn("redis://:old@redis:6379/0"), Dsn("redis://:new@redis:6379/0")))
    assert len(servers) == 2
