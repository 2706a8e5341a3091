from types import SimpleNamespace

from intelli_ops.supervisor.child import Drain
from intelli_ops.supervisor.readiness import Drainer


def drained(*answers):
    """The steps at which a unit was asked what it still runs, when the supervisor acts on every answer at once."""
    asked, left = [], list(answers)

    def drain():
        asked.append(unit.step)
        return left.pop(0)

    def act(told, _child, found):
        told.step = "drain" if found.busy else "warm"

    child = object()
    unit = SimpleNamespace(name="ai", service=SimpleNamespace(drain=drain), child=child, step="drain")
    Drainer(unit, child, act).run()
    return asked


def test_an_idle_unit_is_asked_once_more_after_the_signal_because_that_wakes_it():
    assert drained(Drain(("nap runs for 1 s",)), Drain(), Drain()) == ["drain", "drain", "warm"]


def test_a_unit_that_cannot_be_asked_is_not_asked_again():
    assert drained(Drain(known=False)) == ["drain"]
