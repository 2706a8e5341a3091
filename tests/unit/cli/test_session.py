"""Rounds of a session, with checks that change their minds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from intelli_checks import Check, Finding, Stage, fail, info
from intelli_checks.context import Context
from intelli_checks.mutes import Mute
from intelli_checks.target import Target
from intelli_ops import session, watchdog
from intelli_ops.mute_memory import MuteMemory
from intelli_ops.render import Format
from intelli_ops.session import Session, Wishes


def changing(*healthy: bool) -> Check:
    """A check that is as healthy as the next of these says, and stays like the last one."""
    rounds = list(healthy)

    def run(ctx: Context) -> Iterator[Finding]:
        """It changes its mind."""
        well = rounds.pop(0) if len(rounds) > 1 else rounds[0]
        yield info("well") if well else fail("not well", hint="wait", subject="it")

    return Check("lab.moody", run, Stage.READY, 5.0)


def of(tmp_path: Path, check: Check, **more) -> Session:
    return Session(Target(tmp_path, timeout=5.0), [check], memory=MuteMemory(tmp_path / "mutes.json"), **more)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch):
    """Rounds follow each other at once."""
    monkeypatch.setattr(session, "_PAUSE", 0.01)


def test_waiting_ends_with_the_first_healthy_round(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    began = time.monotonic()
    assert of(tmp_path, changing(False, False, True), wishes=Wishes()).once(began, patience=30) == 0
    assert time.monotonic() - began < 10
    assert capsys.readouterr().out.count("PASSED") == 3  # one report: headline, family, verdict


def test_an_interrupt_between_two_rounds_prints_what_is_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(session.time, "sleep", interrupt)
    try:
        code = of(tmp_path, changing(False), wishes=Wishes()).once(time.monotonic(), patience=30)
    except KeyboardInterrupt:
        pytest.fail("nothing was printed")
    assert code == 130
    assert "lab.moody: it: not well" in capsys.readouterr().out


def test_who_waits_for_health_is_told_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    told: list[str] = []
    monkeypatch.setattr(session.Waiting, "now", lambda _, what: told.append(what))
    of(tmp_path, changing(False, False, True), wishes=Wishes()).once(time.monotonic(), patience=30)
    assert told == ["lab.moody: it: not well"] * 2


def test_a_log_gets_a_line_for_each_new_reason_to_wait(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """A deployment that waits for minutes without a word looks as if it had stopped."""
    of(tmp_path, changing(False, False, True), wishes=Wishes()).once(time.monotonic(), patience=30)
    assert capsys.readouterr().err.splitlines() == ["waiting for lab.moody: it: not well"]
    of(tmp_path, changing(False, False, True), wishes=Wishes(quiet=True)).once(time.monotonic(), patience=30)
    assert capsys.readouterr().err == ""


def test_a_round_that_the_end_of_the_wait_cut_short_does_not_have_the_last_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """What it did not get to ask looks broken: an import that was still going on "hangs"."""
    given = []

    def run(ctx: Context) -> Iterator[Finding]:
        """It needs three seconds."""
        given.append(ctx.deadline - time.monotonic())
        yield fail("the true cause" if given[-1] > 3 else "made up: it was cut short", hint="-", subject="it")
        if len(given) > 1:
            time.sleep(0.7 * given[-1])

    slow = Check("lab.slow", run, Stage.READY, 5.0)
    assert of(tmp_path, slow, wishes=Wishes()).once(time.monotonic(), patience=2.0) == 1
    assert len(given) > 1
    assert min(given) < 3
    said = capsys.readouterr().out
    assert "the true cause" in said
    assert "made up" not in said


def test_a_short_round_that_was_done_early_is_believed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = iter(["at first", *["later"] * 9])

    def run(ctx: Context) -> Iterator[Finding]:
        """It is quick."""
        yield fail(next(words, "at last"), hint="-", subject="it")

    assert of(tmp_path, Check("lab.quick", run, Stage.READY, 5.0), wishes=Wishes()).once(time.monotonic(), 1.0) == 1
    assert "at last" in capsys.readouterr().out


def test_watching_prints_the_report_and_then_only_what_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    pauses = iter([None, None, None, KeyboardInterrupt])

    def pause(seconds: float) -> None:
        if then := next(pauses):
            raise then

    monkeypatch.setattr(session.time, "sleep", pause)
    with pytest.raises(KeyboardInterrupt):
        of(tmp_path, changing(True, True, False, True), wishes=Wishes()).watch(60)
    report, *changes = capsys.readouterr().out.split("(exit 0)\n")
    assert report.startswith(("✓ PASSED", "+ PASSED"))
    assert [row.split("  ", 1)[1] for row in "".join(changes).splitlines()] == [
        "lab.moody  passed -> failed: it: not well",
        "lab.moody  failed -> passed: well",
    ]


def test_a_muted_problem_is_healthy_enough_to_stop_waiting(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    muted = of(tmp_path, changing(False), wishes=Wishes(fmt=Format.NAGIOS), muted=[Mute("lab.moody")])
    assert muted.once(time.monotonic(), patience=30) == 0
    assert "(1 muted)" in capsys.readouterr().out


def test_a_slow_start_of_the_interpreter_counts_for_a_quarter_at_most(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(watchdog, "_STARTING", 1e9)  # this process is as good as any
    monkeypatch.setattr(watchdog, "_QUICK", 0.0)
    assert time.monotonic() - watchdog.started(2.0) == pytest.approx(0.5, abs=0.3)
    monkeypatch.setattr(watchdog, "_QUICK", 1e6)  # a start that was quick enough costs the run nothing
    assert watchdog.started(2.0) == pytest.approx(time.monotonic(), abs=0.3)
