"""The runner comes back, in order, whatever the checks do."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from intelli_checks import Check, Finding, Outcome, Skip, Stage, Unavailable, fail, info, warn
from intelli_checks.context import Context
from intelli_checks.dsn import Dsn
from intelli_checks.model import OutOfTime
from intelli_checks.registry import Registry, UnknownCheck
from intelli_checks.runner import diagnose, run
from intelli_checks.stalls import Stalls
from intelli_checks.target import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


def a_check(
    id_: str, run: Callable[[Context], Iterable[Finding]], *, needs: tuple[str, ...] = (), timeout: float = 5.0
):
    return Check(id_, run, Stage.READY, timeout, needs)


def ctx(timeout: float = 10.0) -> Context:
    return Context(Target(Path(), broker=Dsn("redis://u:s3cret-password@h:1/0"), timeout=timeout))


def ok(ctx: Context) -> Iterator[Finding]:
    yield info("ok")


def bad(ctx: Context) -> Iterator[Finding]:
    yield warn("meh", hint="look")
    yield fail("bad", hint="do")


def boom(ctx: Context) -> Iterator[Finding]:
    yield info("before")
    raise RuntimeError("boom redis://u:s3cret-password@h/0")


def leaves(ctx: Context) -> Iterator[Finding]:
    yield info("before")
    sys.exit(7)


def skips(ctx: Context) -> Iterator[Finding]:
    raise Skip("not here")
    yield


def out(ctx: Context) -> Iterator[Finding]:
    raise Unavailable("no answer", hint="start it", subject="redis h:1")
    yield


def hangs(ctx: Context) -> Iterator[Finding]:
    threading.Event().wait()
    yield info("never")


def test_outcomes_come_in_declared_order_and_causes_silence_consequences():
    report = diagnose(
        [
            a_check("a", hangs, timeout=0.3),
            a_check("b", ok),
            a_check("c", bad),
            a_check("d", boom),
            a_check("e", skips),
            a_check("f", ok, needs=("c",)),
            a_check("g", ok, needs=("f",)),
            a_check("h", ok, needs=("e",)),
            a_check("i", leaves),
            a_check("j", out),
        ],
        ctx(),
    )
    assert [(r.check.id, r.outcome.value, r.because) for r in report.results] == [
        ("a", "errored", None),
        ("b", "passed", None),
        ("c", "failed", None),
        ("d", "errored", None),
        ("e", "skipped", None),
        ("f", "skipped", "c"),
        ("g", "skipped", "c"),
        ("h", "passed", None),
        ("i", "errored", None),
        ("j", "failed", None),
    ]
    assert report.exit_code() == 1
    assert "s3cret" not in str(report.results[3].reason)
    assert [f.message for f in report.results[3].findings] == ["before"]


@pytest.mark.parametrize(("checks", "code"), [([ok], 0), ([boom], 3), ([boom, bad], 1), ([skips], 0)])
def test_exit_codes(checks: list[Callable[[Context], Iterable[Finding]]], code: int):
    assert diagnose([a_check(str(i), c) for i, c in enumerate(checks)], ctx()).exit_code() == code


def test_the_deadline_bounds_a_chain_of_hanging_checks():
    began = time.monotonic()
    results = list(run([a_check("a", hangs), a_check("b", hangs), a_check("c", ok, needs=("b",))], ctx(timeout=0.4)))
    assert time.monotonic() - began < 2.0
    assert [r.outcome for r in results] == [Outcome.ERRORED, Outcome.ERRORED, Outcome.SKIPPED]


def test_a_fact_is_gathered_once_and_its_error_is_shared():
    calls: list[int] = []

    class Busy(Context):
        @property
        def anything(self) -> object:
            return self.surveys

    import intelli_checks.probes.survey as probe

    gathered = probe.gather
    gate = threading.Event()

    def slow(target: Target, timeout: float, purpose: str):
        calls.append(1)
        gate.wait(5)
        raise Unavailable("gone", hint="look")

    probe.gather = slow
    try:
        busy, errors = Busy(Target(Path())), []

        def read() -> None:
            try:
                _ = busy.anything
            except Unavailable as error:
                errors.append(error)

        readers = [threading.Thread(target=read) for _ in range(8)]
        for reader in readers:
            reader.start()
        gate.set()
        for reader in readers:
            reader.join(5)
    finally:
        probe.gather = gathered
    assert (len(calls), len(errors), len(set(map(id, errors)))) == (1, 8, 1)


def test_selection_brings_the_needed_checks_and_refuses_unknown_names():
    registry = Registry()
    registry.add(a_check("redis.broker", ok))
    registry.add(a_check("celery.workers", ok, needs=("redis.broker",)))
    registry.add(a_check("django.settings", ok))
    assert [c.id for c in registry.select(["celery"])] == ["redis.broker", "celery.workers"]
    with pytest.raises(UnknownCheck):
        registry.select(["cellery"])
    with pytest.raises(ValueError, match="already"):
        registry.add(a_check("redis.broker", ok))
    with pytest.raises(ValueError, match="declare those first"):
        registry.add(a_check("x", ok, needs=("zz",)))


def test_the_clock_of_a_check_starts_after_whoever_pays_for_its_facts() -> None:
    paid = threading.Event()

    def pays(ctx: Context) -> Iterator[Finding]:
        threading.Event().wait(0.6)  # what gathering costs
        paid.set()
        yield fail("broken", hint="look")

    def reads(ctx: Context) -> Iterator[Finding]:
        paid.wait(5)
        threading.Event().wait(0.1)  # its own work, well within its own 0.3 s
        yield info("read")

    slow = a_check("app", pays)
    quick = Check("broker", reads, Stage.READY, 0.3, after=("app",))
    report = diagnose([slow, quick], ctx())
    assert [(r.check.id, r.outcome.value) for r in report.results] == [("app", "failed"), ("broker", "passed")]


def test_what_the_project_takes_to_import_is_not_the_time_of_the_checks_that_wait_for_it(monkeypatch):
    def gather(*_: object) -> dict[str, object]:
        threading.Event().wait(0.6)
        return {}

    def reads(ctx: Context) -> Iterator[Finding]:
        _ = ctx.surveys
        threading.Event().wait(0.1)  # its own work, well within its own 0.3 s
        yield info("read")

    monkeypatch.setattr("intelli_checks.probes.survey.gather", gather)
    report = diagnose([a_check("redis.broker", reads, timeout=0.3), a_check("own", hangs, timeout=0.3)], ctx(5.0))
    assert [result.outcome for result in report.results] == [Outcome.PASSED, Outcome.ERRORED]
    assert report.seconds < 2.0


def test_an_outage_that_names_the_check_itself_as_its_cause_is_said_there_and_once():
    def gone(ctx: Context) -> Iterator[Finding]:
        yield from ()
        raise Unavailable("the result store broke off", hint="look", cause="t.store")

    store, sample = diagnose([a_check("t.store", gone, timeout=2.0), a_check("t.sample", gone)], ctx()).results
    assert (store.outcome, sample.outcome, sample.because) == (Outcome.FAILED, Outcome.SKIPPED, "t.store")


def test_what_had_no_time_could_not_tell_and_blocks_what_needs_it():
    def late(_ctx: Context) -> Iterator[Finding]:
        raise OutOfTime("the import was not done after 1.8 s", hint="give it longer: --timeout 60")
        yield

    report = diagnose([a_check("t.app", late), a_check("t.queues", ok, needs=("t.app",))], ctx())
    first, second = report.results
    assert (first.outcome, first.reason) == (
        Outcome.ERRORED,
        "the import was not done after 1.8 s; give it longer: --timeout 60",
    )
    assert (second.outcome, second.because) == (Outcome.SKIPPED, "t.app")
    assert report.exit_code() == 3


def test_a_run_that_stood_still_says_so():
    now = iter([100.0, 100.1, 106.3, 106.4, 107.9])  # one stall of 6.1 s; 1.4 s late is a busy machine
    stalls = Stalls(clock=lambda: next(now))
    for _ in range(4):
        stalls.look()
    assert stalls.seconds == pytest.approx(6.1)
    (note,) = stalls.told
    assert "stood still for 6.1 s" in note


def test_a_run_that_went_on_has_nothing_to_say():
    assert diagnose([a_check("a.ok", ok)], ctx()).notes == ()
