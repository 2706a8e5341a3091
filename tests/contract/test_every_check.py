"""What holds for every check there is, and for every one that will be."""

from __future__ import annotations

import ast
import inspect
import re
import socket
import threading
import time
from pathlib import Path

import pytest

from intelli_checks import Check, Outcome, Report, Severity
from intelli_checks.context import Context
from intelli_checks.dsn import Dsn
from intelli_checks.model import Stage
from intelli_checks.registry import BUILTIN, registry
from intelli_checks.runner import diagnose
from intelli_checks.target import Target
from intelli_ops.render import Format, render, viewed

PASSWORD = "planted-correct-horse"
FAMILIES = {"redis", "celery", "channels", "websocket", "django", "flow", "host"}

registry.load()
CHECKS = [check for check in registry if check.run.__module__.startswith("intelli_checks.")]
every_check = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)


@every_check
def test_it_has_an_id_of_a_known_family(check: Check):
    assert re.fullmatch(r"[a-z]+\.[a-z][a-z0-9_]*", check.id)
    assert check.family in FAMILIES


@every_check
def test_its_title_states_what_holds_when_it_passes(check: Check):
    assert 10 <= len(check.title) <= 80
    assert check.title[0].isupper()
    assert "?" not in check.title
    assert check.title != check.id


@every_check
def test_it_explains_cause_and_fix(check: Check):
    assert len(check.explanation.split()) >= 15, "what breaks, how it shows, what to do"


@every_check
def test_it_is_bounded(check: Check):
    assert 0 < check.timeout <= 120, "the deadline of the run bounds it further"


@every_check
def test_its_needs_are_declared_before_it(check: Check):
    ids = [one.id for one in CHECKS]
    assert all(ids.index(need) < ids.index(check.id) for need in check.needs)


@every_check
def test_it_is_a_question_about_facts_and_does_no_io(check: Check):
    imported = set()
    for node in ast.walk(ast.parse(Path(inspect.getfile(inspect.unwrap(check.run))).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported.add(node.module.partition(".")[0])
    assert imported.isdisjoint({"socket", "subprocess", "redis", "kombu", "celery", "django", "urllib3", "websockets"})


def test_modules_of_families_are_all_registered():
    folder = Path(inspect.getfile(registry.__class__)).parent / "families"
    sources = {path.stem: path.read_text(encoding="utf-8") for path in folder.glob("*.py")}
    declaring = {name for name, source in sources.items() if "\n@check(" in source}
    assert declaring <= {module.rpartition(".")[2] for module in BUILTIN}


class BlackHole:
    """Accepts connections and never says a word."""

    def __enter__(self) -> int:
        self.server = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.held: list[socket.socket] = []
        threading.Thread(target=self._hold, daemon=True).start()
        return self.server.getsockname()[1]

    def _hold(self) -> None:
        while True:
            try:
                self.held.append(self.server.accept()[0])
            except OSError:
                return

    def __exit__(self, *_: object) -> None:
        self.server.close()
        for held in self.held:
            held.close()


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def target(directory: Path, port: int, timeout: float) -> Target:
    url = f"redis://user:{PASSWORD}@127.0.0.1:{port}"
    return Target(
        directory,
        broker=Dsn(f"{url}/0"),
        results=Dsn(f"{url}/2"),
        layer=Dsn(f"{url}/1"),
        web=f"http://user:{PASSWORD}@127.0.0.1:{port}",
        websocket=f"ws://127.0.0.1:{port}/ws/",
        timeout=timeout,
    )


def diagnosed(directory: Path, port: int, timeout: float) -> tuple[Report, float]:
    began = time.monotonic()
    report = diagnose(CHECKS, Context(target(directory, port, timeout)))
    return report, time.monotonic() - began


def assert_told(report: Report) -> None:
    """Unreachable is a verdict: a failure with a next step, or a skip that says why; the check itself never breaks."""
    for result in report.results:
        broke = result.reason if result.outcome is Outcome.ERRORED else None
        assert broke is None, f"{result.check.id}: {broke}"
        if result.outcome is Outcome.SKIPPED:
            assert result.reason, result.check.id
        for finding in result.findings:
            assert finding.message.strip(), result.check.id
            assert "\n" not in finding.message, result.check.id
            assert finding.severity is Severity.INFO or finding.hint.strip(), result.check.id
    for fmt in Format:
        assert PASSWORD not in render(viewed(report, fmt), fmt)


def test_a_system_that_refuses_is_told_at_once(tmp_path: Path):
    report, seconds = diagnosed(tmp_path, closed_port(), 5.0)
    assert seconds < 5.0
    assert_told(report)
    assert report.exit_code() == 1
    assert report.having(Outcome.FAILED)[0].check.id == "redis.broker"


def test_a_system_that_accepts_and_says_nothing_is_told_within_the_deadline(tmp_path: Path):
    with BlackHole() as port:
        report, seconds = diagnosed(tmp_path, port, 8.0)
    assert seconds < 9.0
    assert_told(report)
    assert report.exit_code() == 1


def test_static_checks_touch_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*args: object, **more: object):
        raise AssertionError("a static check opened a connection")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    static = [check for check in CHECKS if check.stage is Stage.STATIC]
    report = diagnose(static, Context(target(tmp_path, closed_port(), 5.0)))
    assert_told(report)
