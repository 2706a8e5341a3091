"""Mutes: what they cover, when they end, and that nothing worse hides behind one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from intelli_checks import Check, Finding, Outcome, Report, Result, Severity, Stage, fail, info, warn
from intelli_checks.dsn import Dsn
from intelli_checks.mutes import Mute, apply, expiry, from_config, parse
from intelli_checks.target import Target
from intelli_ops.mute_memory import MuteMemory
from intelli_ops.state import state_directory

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def report(*findings: Finding, id_: str = "redis.memory") -> Report:
    check = Check(id_, lambda ctx: (), Stage.READY, 5.0)
    return Report((Result.judged(check, findings, 0.1),))


def full(severity=fail, subject: str = "broker") -> Finding:
    return severity("full", hint="free some", subject=subject)


@pytest.mark.parametrize(
    ("text", "mute"),
    [
        ("redis.memory", Mute("redis.memory")),
        ("redis.memory=ticket 12", Mute("redis.memory", "ticket 12")),
        ("redis.memory@7d", Mute("redis.memory", "", NOW + timedelta(days=7))),
        ("redis.memory=ticket 12@30m", Mute("redis.memory", "ticket 12", NOW + timedelta(minutes=30))),
        ("redis=ask bob@example.com", Mute("redis", "ask bob@example.com")),
        ("redis=a=b@2026-12-24T18:00:00+00:00", Mute("redis", "a=b", datetime(2026, 12, 24, 18, tzinfo=UTC))),
    ],
)
def test_the_short_form(text: str, mute: Mute):
    assert parse(text, NOW) == replace(mute, source=text)


def test_a_date_lasts_the_whole_day():
    assert expiry("2026-12-24") == expiry(date(2026, 12, 24))
    assert expiry("2026-12-24").astimezone().hour == 23


@pytest.mark.parametrize("text", ["a.b@tomorrow", "a.b@7y", "a.b=x@99", "a.b@2026-13-01"])
def test_an_expiry_nobody_understands_is_refused(text: str):
    with pytest.raises(ValueError, match="is not an expiry"):
        parse(text)


@pytest.mark.parametrize("entry", [{"x.y": {"untill": "7d"}}, {"x.y": 7}, {"x.y": {"severity": "awful"}}])
def test_a_configured_mute_nobody_understands_is_refused(entry: dict[str, object]):
    with pytest.raises(ValueError, match=r"\[mute\] x.y"):
        from_config(entry)


def test_configured_mutes():
    found = from_config(
        {
            "a.b": "ticket 1",
            "c": {"reason": "r", "until": date(2027, 1, 1), "severity": "warning", "subjects": ["queue ai"]},
            "d.e": date(2027, 1, 1),
        }
    )
    assert [m.id for m in found] == ["a.b", "c", "d.e"]
    assert (found[1].severity, found[1].subjects) == (Severity.WARNING, frozenset({"queue ai"}))
    assert found[1].until == found[2].until


def test_a_mute_covers_its_check_or_its_family_and_nothing_else():
    for id_, covered in (("redis.memory", True), ("redis", True), ("redis.mem", False), ("celery", False)):
        assert bool(apply(report(full()), [Mute(id_)], {}).muted) is covered


def test_a_muted_failure_no_longer_decides_but_keeps_its_outcome():
    judged = apply(report(full()), [Mute("redis.memory", "ticket 12")], {})
    assert (judged.exit_code(), judged.outcome) == (0, Outcome.PASSED)
    assert [(r.outcome, r.mute) for r in judged.muted] == [(Outcome.FAILED, "ticket 12, no expiry")]


def test_an_expired_mute_is_reported_and_covers_nothing():
    judged = apply(report(full()), [Mute("redis.memory", until=NOW)], {}, NOW)
    assert judged.exit_code() == 1
    assert judged.notes[0].startswith("the mute of redis.memory has expired")


def test_what_got_worse_is_not_muted():
    mute, seen = Mute("redis.memory"), {}
    assert apply(report(full(warn)), [mute], seen).muted
    worse = apply(report(full(fail)), [mute], seen)
    assert (worse.exit_code(), worse.muted) == (1, ())
    assert "a warning was muted, this is an error" in worse.notes[0]
    assert apply(report(full(warn)), [mute], seen).muted


def test_a_new_subject_is_not_muted():
    mute, seen = Mute("redis.memory"), {}
    apply(report(full()), [mute], seen)
    more = apply(report(full(), full(subject="results")), [mute], seen)
    assert more.exit_code() == 1
    assert "new since it was muted: results" in more.notes[0]
    assert apply(report(full()), [mute], seen).muted


def test_a_problem_that_was_gone_is_accepted_anew_and_so_is_another_mute():
    seen = {}
    apply(report(full(warn)), [Mute("redis.memory")], seen)
    apply(report(info("fine")), [Mute("redis.memory")], seen)
    assert apply(report(full(fail)), [Mute("redis.memory")], seen).muted
    assert apply(report(full(), full(subject="b")), [Mute("redis.memory", source="ticket 13")], seen).muted


def test_bounds_that_were_written_down_are_kept():
    assert not apply(report(full(fail)), [Mute("redis", severity=Severity.WARNING)], {}).muted
    assert not apply(report(full()), [Mute("redis", subjects=frozenset({"results"}))], {}).muted
    assert apply(report(full()), [Mute("redis", subjects=frozenset({"broker", "results"}))], {}).muted


def test_the_memory_outlives_the_process_and_knows_targets_apart(tmp_path: Path):
    shop, blog = Target(Path("/shop")), Target(Path("/shop"), broker=Dsn("redis://u:planted-password@h"))
    with MuteMemory(tmp_path / "state" / "mutes.json").about(shop) as seen:
        apply(report(full(warn)), [Mute("redis")], seen)
    with MuteMemory(tmp_path / "state" / "mutes.json").about(shop) as seen:
        assert not apply(report(full(fail)), [Mute("redis")], seen).muted
    with MuteMemory(tmp_path / "state" / "mutes.json").about(blog) as seen:
        assert apply(report(full(fail)), [Mute("redis")], seen).muted
    assert "planted" not in (tmp_path / "state" / "mutes.json").read_text()
    assert (tmp_path / "state" / "mutes.json").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("content", ["", "[]", "{", None])
def test_a_memory_that_cannot_be_read_or_written_stops_nothing(tmp_path: Path, content: str | None):
    path = tmp_path / "mutes.json"
    if content is None:
        (tmp_path / "file").write_text("")
        path = tmp_path / "file" / "mutes.json"
    else:
        path.write_text(content)
    with MuteMemory(path).about(Target(Path("/shop"))) as seen:
        assert apply(report(full()), [Mute("redis")], seen).muted


def test_where_state_is_kept():
    assert state_directory({"XDG_STATE_HOME": "/s"}, "linux") == Path("/s/intelli-ops")
    assert state_directory({"LOCALAPPDATA": "/l"}, "win32") == Path("/l/intelli-ops")
    assert state_directory({}, "linux").parts[-3:] == (".local", "state", "intelli-ops")
