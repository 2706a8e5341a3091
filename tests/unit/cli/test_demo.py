"""What the demonstration makes of the checks' verdict."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from intelli_checks.stalls import Stalls
from intelli_ops.demo import scenario
from intelli_ops.demo.scenario import Demo


@pytest.mark.parametrize(
    ("stood_still", "answers", "wrong"),
    [
        (0.0, [0], []),
        (0.0, [1], ["intelli-ops check exited 1"]),  # whoever had all the time is believed at once
        (6.0, [0], []),
        (6.0, [1, 0], []),
        (6.0, [1, 3], ["intelli-ops check exited 3"]),
    ],
)
def test_the_checks_are_asked_again_only_where_the_machine_stood_still(
    monkeypatch, capsys, stood_still, answers, wrong
):
    left = list(answers)

    def ask(self, system):
        return left.pop(0)

    class Stalled(Stalls):
        def look(self):
            self.seconds = stood_still

    monkeypatch.setattr(Demo, "_ask", ask)
    monkeypatch.setattr(scenario, "Stalls", Stalled)
    demo = Demo()
    demo._checks(SimpleNamespace(system=None))
    assert (demo.failures, left) == (wrong, [])
    assert ("stood still for 6.0 s" in capsys.readouterr().out) == (len(answers) > 1)
