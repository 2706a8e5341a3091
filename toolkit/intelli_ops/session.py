"""From a run to its rendering: once, until healthy, or again and again."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from intelli_checks import mutes
from intelli_checks.context import Context
from intelli_checks.model import Check, Report, Severity
from intelli_checks.probes.earlier import Roll
from intelli_checks.report import outcome_name
from intelli_checks.runner import Interrupted, diagnose
from intelli_checks.target import Target
from intelli_checks.text import scrub
from intelli_ops import exits
from intelli_ops.mute_memory import MuteMemory
from intelli_ops.progress import Progress, Waiting
from intelli_ops.render import Format, View, render, terminal, viewed
from intelli_ops.state import StateFile, state_file
from intelli_ops.usage import UsageError
from intelli_ops.watchdog import Watchdog

_PAUSE = 0.5
"""Seconds between two rounds of `--wait`."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """How somebody wants to see reports."""

    fmt: Format = Format.TEXT
    output: Path | None = None
    fail_level: Severity = Severity.ERROR
    verbose: bool = False
    quiet: bool = False
    color: bool | None = None
    save: Path | None = None
    """Where to record the facts of the last round."""


@dataclass
class Session:
    """Checks about one target, run as often as asked, and shown as wished."""

    target: Target
    checks: Sequence[Check]
    wishes: Wishes
    muted: Sequence[mutes.Mute] = ()
    context: Callable[[Target, float], Context] = lambda target, deadline: Context(target, deadline=deadline)
    """Makes the context of a round from target and deadline (monotonic); a recording brings its own."""
    memory: MuteMemory = field(default_factory=MuteMemory)
    rolls: StateFile = field(default_factory=lambda: state_file("workers.json"))
    """Who worked at the last look at each target."""
    recorded: bool = False
    """Whether the facts come from a recording: judging them again is no look at the system."""

    def once(self, began: float, patience: float = 0.0) -> int:
        """Diagnose, again until healthy while `patience` (seconds) lasts, show the last report; the exit code."""
        report, interrupted = self.look(began + self.target.timeout)
        if patience and not interrupted:
            report, interrupted = self._until_healthy(report, began + patience)
        return self._show(report, exits.INTERRUPTED if interrupted else None)

    def _until_healthy(self, report: Report, ends: float) -> tuple[Report, bool]:
        """Look again until `ends`, telling a terminal what is wrong; interrupted, the last whole round is known.

        So it is when the end cuts a round short: what had no time to answer would be named as the cause.
        """
        with Waiting(silent=self.wishes.quiet) as waiting:
            while self._code(report) != exits.HEALTHY and time.monotonic() + _PAUSE < ends:
                waiting.now(_wrong(report))
                try:
                    time.sleep(_PAUSE)
                except KeyboardInterrupt:
                    return report, True
                again, interrupted = self.look(self._deadline(ends), known=report)
                if interrupted:
                    return report, True
                report = again
        return report, False

    def watch(self, pause: float) -> int:
        """Diagnose until interrupted, `pause` seconds apart; redraw a terminal, elsewhere append what changed."""
        before: Report | None = None
        while True:
            report, interrupted = self.look(self._deadline())
            if interrupted:
                return exits.INTERRUPTED
            self._show_again(report, before)
            before = report
            time.sleep(pause)

    def look(self, deadline: float, *, known: Report | None = None) -> tuple[Report, bool]:
        """One diagnosis, muted; what was known by then, and True, when interrupted.

        `known` from an earlier round stands where this one had too little time.
        """
        began, interrupted = time.monotonic(), False
        ctx = self.context(self.target, deadline)
        ctx.remembered = Roll.of(self.rolls.read(self.target))
        with Watchdog(deadline), Progress(self.checks, silent=bool(known) or self.wishes.quiet) as progress:
            try:
                report = diagnose(self.checks, ctx, progress.ended)
            except Interrupted as stopped:
                interrupted, report = True, stopped.report
        self._remember(ctx)
        whole = self._whole(began, deadline)
        if self.muted:
            with self.memory.about(self.target) as seen:
                report = mutes.apply(report, self.muted, seen)
        if known and not whole and self._code(report) != exits.HEALTHY:  # its facts would not bear the report out
            return known, interrupted
        if self.wishes.save:
            _record(ctx, self.wishes.save)
        return report, interrupted

    def _remember(self, ctx: Context) -> None:
        """Keep who works, where somebody looked just now; a recording is not a look."""
        fleet = _known(ctx, "fleet")
        if fleet is not None and not self.recorded:
            roll = (ctx.remembered or Roll()).after(fleet, _known(ctx, "versions"))
            self.rolls.write(self.target, roll.as_dict())

    def _deadline(self, ends: float = 0.0) -> float:
        """The round's end: its own timeout, and no later than `ends`, but never less than a second away."""
        now = time.monotonic()
        own = now + self.target.timeout
        return min(own, max(ends, now + 1.0)) if ends else own

    def _whole(self, began: float, deadline: float) -> bool:
        """Whether a round that ends now had time for every answer: its own, or as much again as it took."""
        given = deadline - began
        return given >= self.target.timeout or time.monotonic() - began <= given / 2

    def _code(self, report: Report) -> int:
        return report.exit_code(self.wishes.fail_level)

    def _view(self, report: Report, code: int | None = None) -> View:
        wishes = self.wishes
        return replace(
            viewed(report, wishes.fmt, fail_level=wishes.fail_level, exit_code=code),
            verbose=wishes.verbose,
            quiet=wishes.quiet,
            width=terminal.width(sys.stdout),
            color=not wishes.output and terminal.wants_color(sys.stdout, os.environ, wishes.color),
            symbols=bool(wishes.output) or terminal.has_symbols(sys.stdout),
        )

    def _show(self, report: Report, code: int | None = None) -> int:
        view = self._view(report, code)
        self._write(render(view, self.wishes.fmt))
        if self.wishes.fmt is Format.GITHUB and (page := os.environ.get("GITHUB_STEP_SUMMARY")):
            from intelli_ops.render.github import summary

            with Path(page).open("a", encoding="utf-8") as file:
                file.write(scrub(summary(view.report)))
        return view.exit_code

    def _show_again(self, report: Report, before: Report | None) -> None:
        view = self._view(report)
        if self.wishes.fmt is Format.JSON:
            self._write(render(replace(view, compact=True), Format.JSON))
        elif self.wishes.fmt is not Format.TEXT or self.wishes.output or before is None:
            self._write(render(view, self.wishes.fmt))
        elif terminal.is_terminal(sys.stdout):
            self._write("\x1b[H\x1b[2J" + render(view, Format.TEXT))
        else:
            self._write("".join(_changes(before, report)))

    def _write(self, text: str) -> None:
        if self.wishes.output:
            _replace(self.wishes.output, text)
        else:
            sys.stdout.write(text)
            sys.stdout.flush()


def _wrong(report: Report) -> str:
    """What has to become well."""
    from intelli_ops.render.text import gist, root_cause

    cause = root_cause(viewed(report, Format.TEXT).report)
    return f"{cause.check.id}: {gist(cause)}" if cause else "health"


def _known(ctx: Context, name: str) -> Any:
    """A fact, if it was gathered in this round."""
    told = ctx.gathered.get(name)
    return told.result() if told is not None and told.done() and not told.exception() else None


def _record(ctx: Context, path: Path) -> None:
    """Write the facts for `--from`, for the owner's eyes only: they describe a system from inside."""
    from intelli_checks.recording import dump

    _replace(path, dump(ctx), private=True)


def _replace(path: Path, text: str, *, private: bool = False) -> None:
    from intelli_ops.files import replace_file

    try:
        replace_file(path, text, private=private)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


def _changes(before: Report, after: Report) -> list[str]:
    """One line per check whose outcome is another one now."""
    from intelli_ops.render.text import gist

    old = {result.check.id: outcome_name(result) for result in before.results}
    now = datetime.now().astimezone().strftime("%H:%M:%S")
    return [
        f"{now}  {result.check.id}  {old.get(result.check.id, 'new')} -> {outcome_name(result)}: {gist(result)}\n"
        for result in viewed(after, Format.TEXT).report.results
        if old.get(result.check.id) != outcome_name(result)
    ]
