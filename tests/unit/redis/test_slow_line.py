"""A write without an answer: where answers take long anyway, nothing follows from it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from intelli_checks.dsn import Dsn
from intelli_checks.probes import redis
from intelli_checks.probes.redis import Endpoint
from intelli_checks.probes.resp import DialError


class _Line:
    """A connection over which reads take `trip` seconds, and writes are waited for until the time is up."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, trip: float, left: float) -> None:
        self.now, self.trip, self.left, self.sock = 0.0, trip, left, None
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def pipeline(self, commands: Any) -> list[Any]:
        commands = list(commands)
        if commands[0][0] == "SET":
            self.now += self.left
            raise DialError("silent", "timed out")
        self.now += self.trip
        return [b"PONG" if command[0] == "PING" else None for command in commands]


@pytest.mark.parametrize(("trip", "left", "codes"), [(0.6, 0.6, []), (0.001, 1.7, ["SILENT"]), (0.1, 1.4, ["SILENT"])])
def test_a_slow_line_is_not_a_server_paused_for_writing(monkeypatch, trip, left, codes):
    endpoint = Endpoint("broker", Dsn("redis://127.0.0.1/0"))
    facts = redis._converse(_Line(monkeypatch, trip, left), endpoint)  # type: ignore[arg-type]  # a fake connection
    assert [refused.code for refused in facts.refusals] == codes
    assert facts.ping_ms == pytest.approx(trip * 1000)
