"""Every known fault, brought about for real: the right check must name it first, in time, and nothing else may fail."""

from __future__ import annotations

import pytest

from intelli_fixtures.faults import ALL, HEALTHY, Crew
from intelli_fixtures.faults.judgement import problems


def by_crew(cases):
    """The cases of one laboratory together, so that it is started once."""
    return sorted(cases, key=lambda case: case.crew is Crew.NONE)


@pytest.mark.parametrize("case", by_crew(ALL), ids=lambda case: case.id)
def test_fault(case, lab, record):
    with lab.crew(), case.inject(lab):
        verdict = lab.check(*case.arguments, stage=case.stage, timeout=case.timeout)
        record(case, verdict)
    if wrong := problems(case, verdict, lab.secrets):
        pytest.fail("\n".join(wrong), pytrace=False)


@pytest.mark.parametrize("case", by_crew(HEALTHY), ids=lambda case: case.id)
def test_healthy(case, lab, record):
    with lab.crew(), case.inject(lab):
        verdict = lab.check(*case.arguments, stage=case.stage, timeout=case.timeout)
        record(case, verdict)
    if wrong := problems(case, verdict, lab.secrets):
        pytest.fail("\n".join(wrong), pytrace=False)
