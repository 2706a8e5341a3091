"""The report for a tired person: verdict first and last, the cause on the first line between them."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from intelli_checks.model import Finding, Outcome, Report, Result, Severity
from intelli_checks.report import plain
from intelli_checks.text import safe
from intelli_ops.render import View
from intelli_ops.render.terminal import Line, paint

_SHOWN = 5
"""Findings of one check shown before the rest is counted; `-v` shows all."""

_INTERRUPTED = "interrupted"
"""Why the runner says a check could not tell when Ctrl-C ended it."""

_SYMBOL = {
    Outcome.FAILED: ("✗", "X", "bad"),
    Outcome.ERRORED: ("?", "?", "odd"),
    Outcome.WARNED: ("!", "!", "warn"),
    Outcome.SKIPPED: ("-", "-", "dim"),
    Outcome.PASSED: ("✓", "+", "good"),
}
_PROBLEMS = (Outcome.FAILED, Outcome.ERRORED, Outcome.WARNED)
_ORDER = (*_PROBLEMS, Outcome.PASSED, Outcome.SKIPPED)


class _Badge(NamedTuple):
    """Symbol and word, so that no meaning hangs on colour alone."""

    text: str
    style: str

    @classmethod
    def of(cls, outcome: Outcome, view: View, word: str | None = None) -> _Badge:
        symbol, plain, style = _SYMBOL[outcome]
        return cls(f"{symbol if view.symbols else plain} {word or outcome.name:<7}", style)


def render(view: View) -> str:
    """The whole report as text, coloured when the view asks for it."""
    rows = [_headline(view)] if view.quiet else list(_lines(view))
    return paint(rows, color=view.color)


def _lines(view: View) -> Iterator[Line]:
    yield _headline(view)
    yield from _context(view)
    brief = _brief(view)
    for result in _problems(view.report):
        if result not in brief:
            yield Line()
            yield from _problem(result, view)
    folded = [*_unsure(brief, view), *_muted(view), *_skipped(view), *_passed(view)]
    if folded:
        yield Line()
        yield from folded
    yield Line()
    for note in view.report.notes:
        yield from _prose(f"note: {note}", view, indent="", style="warn")
    yield from _verdict(view)


def _headline(view: View) -> Line:
    """The outcome, and what it is about: the first failing check is the root cause."""
    badge = _Badge.of(view.report.outcome, view)
    cause = root_cause(view.report)
    if cause is None:
        return Line((badge.text, badge.style), ("  " + _sum(view.report), ""))
    return Line((badge.text, badge.style), (f"  {cause.check.id}", "id"), (f": {gist(cause)}", ""))


def verdict(view: View) -> str:
    """The outcome and the counts on one line without colours, for renderings that end in a log."""
    return f"{view.report.outcome.name}: {_took(view)}"


def _verdict(view: View) -> Iterator[Line]:
    """What a long report leaves on the screen: the counts, and where to begin."""
    badge = _Badge.of(view.report.outcome, view)
    cause = root_cause(view.report)
    if cause is None:
        yield Line((badge.text, badge.style), (f"  {_took(view)}", ""))
        return
    others = len(view.report.having(cause.outcome)) - 1
    more = f", then {others} more" if others else ""
    yield Line((f"           {_took(view)}", "dim"))
    if cause.outcome is Outcome.ERRORED and cause.reason == _INTERRUPTED:
        yield Line((badge.text, badge.style), (f"  {others + 1} had not ended: nothing is known of them", ""))
        return
    yield Line((badge.text, badge.style), ("  start with ", ""), (cause.check.id, "id"), (more, ""))


def _took(view: View) -> str:
    return f"{_sum(view.report)} in {view.report.seconds:.2f} s (exit {view.exit_code})"


def root_cause(report: Report) -> Result | None:
    """The first result of the worst kind, in declared order, where causes come before consequences."""
    return next(iter(_problems(report)), None)


def gist(result: Result) -> str:
    """The one line that says what is wrong."""
    worst = max(result.findings, key=lambda finding: finding.severity, default=None)
    if worst is None or (result.outcome is Outcome.ERRORED and result.reason):
        return _first_line(result.reason or result.check.title)
    return _first_line(told(worst))


def _problems(report: Report) -> list[Result]:
    """Worst kind first, in declared order within a kind."""
    return [result for outcome in _PROBLEMS for result in report.having(outcome)]


def _brief(view: View) -> list[Result]:
    """The checks that could not tell while another failed: a line each will do, for the cause is most likely there.

    Those that Ctrl-C ended never have more to say.
    """
    if view.verbose:
        return []
    failed = bool(view.report.having(Outcome.FAILED))
    return [
        result
        for result in view.report.having(Outcome.ERRORED)
        if all(finding.severity == Severity.INFO for finding in result.findings)
        and (failed or result.reason == _INTERRUPTED)
    ]


def _sum(report: Report) -> str:
    counts = Counter(result.outcome for result in report.results if result.mute is None)
    parts = [f"{counts[outcome]} {outcome.value}" for outcome in _ORDER if counts[outcome]]
    if report.muted:
        parts.append(f"{len(report.muted)} muted")
    return ", ".join(parts) or "nothing was checked"


def _context(view: View) -> Iterator[Line]:
    target = view.report.target
    said = [f"{name} {target[name]}" for name in ("directory", "settings", "app", "broker") if target.get(name)]
    if said:
        yield from _prose(", ".join(said), view, indent="  ", style="dim")


def _problem(result: Result, view: View) -> Iterator[Line]:
    badge = _Badge.of(result.outcome, view)
    yield Line((badge.text, badge.style), (f"  {result.check.id}", "id"), (f"  {result.check.title}", "dim"))
    if result.outcome is Outcome.ERRORED and result.reason:
        yield from _prose(f"could not tell: {result.reason}", view)
    yield from _findings(result, view)
    yield Line(("    why  ", "dim"), (f"intelli-ops explain {result.check.id}", "dim"))


def _findings(result: Result, view: View) -> Iterator[Line]:
    worst_first = sorted(result.findings, key=lambda finding: -finding.severity)
    worth = [found for found in worst_first if view.verbose or found.severity > Severity.INFO]
    shown = worth if view.verbose else worth[:_SHOWN]
    for hint, group in groupby(shown, key=lambda finding: finding.hint):
        for finding in group:
            yield from _prose(told(finding), view)
            yield from _facts(finding, view)
        yield from _hint(hint)
    if len(shown) < len(worth):
        yield Line((f"    and {len(worth) - len(shown)} more; -v shows all", "dim"))


def told(finding: Finding) -> str:
    """The message with the subject it is about, unless it names it by itself."""
    if finding.subject and finding.subject not in finding.message:
        return f"{finding.subject}: {finding.message}"
    return finding.message


def _facts(finding: Finding, view: View) -> Iterator[Line]:
    if view.verbose and finding.facts:
        said = ", ".join(f"{name}={plain(value)}" for name, value in finding.facts.items())
        yield from _prose(safe(said), view, indent="      ", style="dim")


def _hint(hint: str) -> Iterator[Line]:
    """Never folded and alone on its lines: a command is copied by the line."""
    if hint:
        yield Line(("    fix", "dim"))
        for row in hint.splitlines():
            yield Line(("      " + row, "cmd"))


def _unsure(results: list[Result], view: View) -> Iterator[Line]:
    badge = _Badge.of(Outcome.ERRORED, view)
    ended = [result for result in results if result.reason == _INTERRUPTED]
    if ended:
        yield Line((badge.text, badge.style), (f"  {_checks(ended)}: {_INTERRUPTED}", "dim"))
    for result in results:
        if result in ended:
            continue
        yield Line((badge.text, badge.style), (f"  {result.check.id}", "id"), (f": {gist(result)}", "dim"))


def _muted(view: View) -> Iterator[Line]:
    for result in view.report.muted:
        badge = _Badge.of(Outcome.SKIPPED, view, "MUTED")
        said = f": {gist(result)} ({result.mute})"
        yield Line((badge.text, badge.style), (f"  {result.check.id}", "id"), (said, "dim"))


def _skipped(view: View) -> Iterator[Line]:
    """One line per cause, not one per check."""
    causes: dict[str, list[Result]] = {}
    for result in view.report.having(Outcome.SKIPPED):
        causes.setdefault(result.because or "", []).append(result)
    badge = _Badge.of(Outcome.SKIPPED, view)
    for cause, results in causes.items():
        if cause:
            yield Line((badge.text, badge.style), (f"  {_checks(results)} because of {cause}", "dim"))
            yield from _ids(results, view)
            continue
        reasons = list(_by_reason(results))
        folded = [] if view.verbose else [len(group) for reason, group in reasons if "--" not in reason]
        for reason, group in reasons:
            if len(folded) < 2 or "--" in reason:  # an option to type would bring an answer
                yield Line((badge.text, badge.style), (f"  {_checks(group)}: {reason}", "dim"))
                yield from _ids(group, view)
        if len(folded) > 1:
            yield Line((badge.text, badge.style), (f"  {sum(folded)} checks do not apply here; -v says why", "dim"))


def _by_reason(results: Iterable[Result]) -> Iterator[tuple[str, list[Result]]]:
    reasons: dict[str, list[Result]] = {}
    for result in results:
        reasons.setdefault(_first_line(result.reason or "not applicable"), []).append(result)
    yield from reasons.items()


def _passed(view: View) -> Iterator[Line]:
    badge = _Badge.of(Outcome.PASSED, view)
    passed = view.report.having(Outcome.PASSED)
    if view.verbose:
        for result in passed:
            yield Line(
                (badge.text, badge.style), (f"  {result.check.id}", "id"),
                (f"  {result.check.title} ({result.seconds:.2f} s)", "dim"),
            )  # fmt: skip
            yield from _findings(result, view)
        return
    for family, count in Counter(result.check.family for result in passed).items():
        yield Line((badge.text, badge.style), (f"  {family}: {count} {'check' if count == 1 else 'checks'}", ""))


def _ids(results: Iterable[Result], view: View) -> Iterator[Line]:
    if view.verbose:
        yield from _prose(", ".join(result.check.id for result in results), view, indent="      ", style="dim")


def _checks(results: list[Result]) -> str:
    return "1 check" if len(results) == 1 else f"{len(results)} checks"


def _prose(text: str, view: View, *, indent: str = "    ", style: str = "") -> Iterator[Line]:
    for row in text.splitlines():
        for folded in textwrap.wrap(
            row, max(40, view.width) - len(indent), break_long_words=False, break_on_hyphens=False
        ) or [""]:
            yield Line((indent + folded, style))


def _first_line(text: str) -> str:
    return text.partition("\n")[0]
