"""The text report: what is first, what is folded, what stays on one line."""

from __future__ import annotations

from dataclasses import replace

import pytest
from samples import a_report, ended, errored, of_every_kind, skipped

from intelli_checks import Report, fail, info, warn
from intelli_ops.render import Format, render, viewed


def text(report: Report, **wishes) -> str:
    return render(replace(viewed(report, Format.TEXT), **wishes), Format.TEXT)


def test_the_verdict_is_first_and_last_and_the_root_cause_between_them_is_first():
    rows = text(of_every_kind()).splitlines()
    assert rows[0] == "✗ FAILED   redis.broker: redis h:6379: refused"
    assert rows[-1] == "✗ FAILED   start with redis.broker"
    assert rows[-2].strip() == "1 failed, 1 errored, 1 warned, 2 passed, 3 skipped in 0.41 s (exit 1)"
    badges = [row.split()[1] for row in rows if row[:1] in {"✗", "?", "!", "-", "✓"}]
    assert badges == ["FAILED", "FAILED", "WARNED", "ERRORED", "SKIPPED", "SKIPPED", "PASSED", "FAILED"]


def test_consequences_and_passes_are_folded_and_verbose_unfolds_them():
    folded, unfolded = text(of_every_kind()), text(of_every_kind(), verbose=True)
    assert "2 checks because of redis.broker" in folded
    assert "redis.memory" not in folded
    assert "host: 2 checks" in folded
    assert "redis.memory, celery.workers" in unfolded
    assert "40% free" in unfolded
    assert "port=6379" in unfolded


def test_a_command_is_never_folded_and_stands_alone():
    command = (
        "redis-cli -h redis.internal.example.com CONFIG SET maxmemory-policy noeviction && redis-cli CONFIG REWRITE"
    )
    report = a_report(ended("redis.eviction", fail("evicts " + "very " * 40 + "much", hint=command)))
    rows = text(report, width=60).splitlines()
    assert f"      {command}" in rows
    assert all(len(row) <= 60 for row in rows[1:-1] if "redis-cli" not in row and "FAILED" not in row)


def test_checks_that_could_not_tell_are_brief_beside_a_failure_and_not_alone():
    lost = errored("celery.beat", "no answer within 5.0 s")
    beside = text(a_report(ended("redis.broker", fail("refused", hint="redis-server")), lost))
    assert "? ERRORED  celery.beat: no answer within 5.0 s" in beside.splitlines()
    assert "explain celery.beat" not in beside
    assert "explain celery.beat" in text(a_report(lost))


def test_findings_with_one_hint_share_it_and_many_are_counted():
    lost = [fail("has no consumer", subject=f"queue {n}", hint="start a worker") for n in range(9)]
    shown = text(a_report(ended("celery.queues", *lost)))
    assert shown.count("start a worker") == 1
    assert "and 4 more" in shown
    assert text(a_report(ended("celery.queues", *lost)), verbose=True).count("has no consumer") == 10


def test_quiet_is_the_headline_alone():
    assert text(of_every_kind(), quiet=True) == "✗ FAILED   redis.broker: redis h:6379: refused\n"


def test_letters_replace_symbols_where_the_encoding_has_none():
    assert text(of_every_kind(), symbols=False).isascii()


def test_colour_never_carries_meaning_alone():
    import re

    plain, coloured = text(of_every_kind()), text(of_every_kind(), color=True)
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == plain


def test_a_muted_problem_is_in_the_headline_and_has_its_reason():
    muted = replace(ended("redis.memory", fail("full", hint="free some")), mute="ticket 12, until 2027-01-01 00:00")
    rows = text(a_report(muted, ended("host.disk", info("fine")))).splitlines()
    assert rows[0] == "✓ PASSED   1 passed, 1 muted"
    assert "- MUTED    redis.memory: full (ticket 12, until 2027-01-01 00:00)" in rows


def test_notes_are_shown():
    assert "note: the mute of x has expired" in text(a_report(ended("a.b"), notes=("the mute of x has expired",)))


@pytest.mark.parametrize("report", [a_report(ended("a.b", info("fine"))), a_report(skipped("a.b", "not here"))])
def test_nothing_but_skips_is_not_called_a_pass_of_checks(report: Report):
    passed = report.results[0].outcome.value == "passed"
    assert report.outcome.value == ("passed" if passed else "skipped")  # in every format, and healthy all the same
    assert report.exit_code() == 0
    assert ("1 passed" in text(report)) == passed
    assert ("PASSED" in text(report)) == passed


def test_warnings_do_not_hide_behind_a_pass():
    assert text(a_report(ended("a.b", warn("meh", hint="look")), ended("a.c"))).startswith("! WARNED   a.b: meh")


def test_what_ctrl_c_ended_takes_one_line():
    report = a_report(ended("a.a", info("fine")), errored("a.b", "interrupted"), errored("a.c", "interrupted"))
    told = text(report)
    assert "? ERRORED  2 checks: interrupted" in told
    assert "start with" not in told
    assert told.endswith("? ERRORED  2 had not ended: nothing is known of them\n")
    assert "could not tell: interrupted" not in told
