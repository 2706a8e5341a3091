"""The restart policy, over lives no test could wait for."""

import pytest

from intelli_ops.supervisor.policy import History, RestartPolicy, after_exit

POLICY = RestartPolicy()


def delays(uptimes, jitter=0.0):
    history, answered = History(), []
    for uptime in uptimes:
        history, delay = after_exit(POLICY, history, uptime, jitter)
        answered.append(delay)
    return answered


def test_fast_exits_wait_longer_each_time_and_end_in_fatal():
    assert delays([0.1] * 5) == [1, 2, 4, 8, None]


def test_s2_a_unit_that_dies_every_65_seconds_keeps_going():
    assert delays([65.0] * 100) == [1] * 100


def test_an_exit_after_a_minute_clears_the_count():
    assert delays([0.1, 0.1, 0.1, 0.1, 60.0, 0.1, 0.1]) == [1, 2, 4, 8, 1, 1, 2]


def test_an_exit_between_fast_and_forgotten_does_not_count():
    assert delays([0.1, 30.0, 30.0, 30.0, 30.0, 30.0]) == [1] * 6


@pytest.mark.parametrize("uptime", [9.99, 0.0])
def test_less_than_ten_seconds_is_fast(uptime):
    assert after_exit(POLICY, History(), uptime)[0].failures == 1


def test_jitter_keeps_the_gaps_growing():
    longest, shortest = delays([0.1] * 4, jitter=1.0), delays([0.1] * 4)
    assert all(late < early for late, early in zip(longest, shortest[1:], strict=False))
    assert longest == [1.25, 2.5, 5, 10]


def test_the_last_delay_stands():
    patient = RestartPolicy(attempts=100)
    assert after_exit(patient, History(50), 0.1)[1] == 30
