"""A check beside a system that `up` runs asks that system, not one that its settings would make."""

from __future__ import annotations

import io
import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from intelli_checks.dsn import Dsn
from intelli_checks.fleet import Fleet
from intelli_checks.target import Place, Target
from intelli_ops import bring_up
from intelli_ops.bring_up import Running
from intelli_ops.cli import run
from intelli_ops.flow_options import with_running
from intelli_ops.supervisor.logs import Terminal
from intelli_ops.supervisor.state import State
from intelli_ops.supervisor.supervisor import Supervisor
from intelli_ops.system import System


@pytest.fixture
def up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    """A system as `up` records it."""
    for name in ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "REDIS_URL", "MEDIA_ROOT", "DATABASE_URL"):
        monkeypatch.setenv(name, "to be put back")
        monkeypatch.delenv(name)
    state = State(tmp_path, "up")
    broker = Dsn("redis://127.0.0.1:1/0")
    fleet = Fleet("shop", ())
    system = System(tmp_path, "python", state, "http://127.0.0.1:1", broker, broker, broker, None, fleet, "secret")
    Running(system, Supervisor((), state.folder("logs"), terminal=Terminal(io.StringIO())), lambda _: None).record()
    monkeypatch.setattr(bring_up, "find_running", lambda _: state.read(bring_up.RECORD))
    return system


def test_what_up_gave_its_parts_is_what_a_check_sees(up: System, tmp_path: Path):
    target = Target(tmp_path, places=(Place("here", ("python",)),))
    assert with_running(target).web == up.web
    given = {name: value for name, value in up.environment.items() if name.endswith(("_URL", "MEDIA_ROOT"))}
    assert {name: os.environ[name] for name in given} == given


def test_what_the_user_has_set_stands(up: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DATABASE_URL", "sqlite:///mine")
    with_running(Target(tmp_path, places=(Place("here", ("python",)),)))
    assert os.environ["DATABASE_URL"] == "sqlite:///mine"


def test_what_is_shown_in_force_is_what_a_check_sees(up: System, tmp_path: Path, monkeypatch, capsys):
    from intelli_checks.probes import survey

    def gather(target: Target, timeout: float) -> dict[str, object]:
        broker = Dsn(os.environ["CELERY_BROKER_URL"])
        return {"here": SimpleNamespace(broker=broker, results=None, layers=())}

    monkeypatch.setattr(survey, "gather", gather)
    monkeypatch.chdir(tmp_path)
    assert run(["config", "show", "--origin", "--python", sys.executable, "--app", "shop"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"web +http://127.0.0.1:1  \(the system that `up` runs here\)", said)
    assert re.search(r"broker +redis://127.0.0.1:1/0  \(the system that `up` runs here\)", said)
