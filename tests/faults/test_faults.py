"""Every known fault, brought about for real: the right check must name it first, in time, and nothing else may fail."""

from __future__ import annotations

import re

import pytest

from intelli_fixtures.faults import ALL, HEALTHY, Crew

ALLOWANCE = 1.0
"""Seconds beyond its own limit in which the whole process must have ended."""


def by_crew(cases):
    """The faults of one laboratory together, so that it is started once and late ones find it warm."""
    return sorted(cases, key=lambda case: case.crew is Crew.NONE)


@pytest.mark.parametrize("case", by_crew(ALL), ids=lambda case: case.id)
def test_fault(case, lab):
    with lab.crew(), case.inject(lab):
        verdict = lab.check(*case.arguments, stage=case.stage, timeout=case.timeout)
    assert verdict.seconds < case.timeout + ALLOWANCE
    assert not any(secret in verdict.output for secret in lab.secrets)
    if case.severity == "failed":
        assert verdict.first_failed in case.expected, verdict
        assert set(verdict.bad) <= {verdict.first_failed, *case.also}, verdict
        named, code = verdict.first_failed, 1
    else:
        assert not verdict.bad, verdict
        named, code = next(one for one in case.expected if verdict.outcome(one) == case.severity), 0
    assert re.search(case.hint, verdict.told(named), re.DOTALL), verdict.told(named)
    assert verdict.exit_code == code


@pytest.mark.parametrize("case", by_crew(HEALTHY), ids=lambda case: case.id)
def test_healthy(case, lab):
    with lab.crew(), case.inject(lab):
        verdict = lab.check(*case.arguments, stage=case.stage, timeout=case.timeout)
    assert not verdict.bad, verdict
    assert verdict.exit_code == 0
    assert verdict.seconds < case.timeout + ALLOWANCE
