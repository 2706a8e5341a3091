"""Reports made by hand, with one result of every kind."""

from __future__ import annotations

from intelli_checks import Check, Finding, Outcome, Report, Result, Stage, fail, info, warn


def a_check(id_: str, title: str = "It works") -> Check:
    def run(ctx):
        yield info("never run here")

    run.__doc__ = f"{title}.\n\nCause: none.\n\nFix: none."
    return Check(id_, run, Stage.READY, 5.0)


def ended(id_: str, *findings: Finding, seconds: float = 0.25) -> Result:
    return Result.judged(a_check(id_), findings, seconds)


def skipped(id_: str, reason: str, because: str | None = None) -> Result:
    return Result(a_check(id_), Outcome.SKIPPED, (), 0.0, reason, because)


def errored(id_: str, reason: str, *findings: Finding) -> Result:
    return Result(a_check(id_), Outcome.ERRORED, findings, 0.5, reason)


def a_report(*results: Result, notes: tuple[str, ...] = ()) -> Report:
    return Report(tuple(results), {"directory": "/srv/shop"}, "2026-11-23T10:00:00.000+00:00", 0.41, notes)


def of_every_kind() -> Report:
    return a_report(
        ended("django.settings", warn("DEBUG is on", hint="export DEBUG=0")),
        ended("redis.broker", fail("refused", hint="redis-server", subject="redis h:6379", port=6379)),
        skipped("redis.memory", "because of redis.broker", "redis.broker"),
        skipped("celery.workers", "because of redis.broker", "redis.broker"),
        errored("celery.beat", "no answer within 5.0 s", info("asked")),
        ended("host.disk", info("40% free")),
        ended("host.clock", info("in step")),
        skipped("websocket.route", "no websocket configured"),
    )
