"""What is asked of running workers: sizes that make sense, and news while somebody waits."""

from __future__ import annotations

import os

import pytest

from intelli_ops.cli import run
from intelli_ops.commands import workers
from intelli_ops.supervisor.state import identity
from intelli_ops.workers import running


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A project whose supervisor, as its record has it, is this process."""
    (tmp_path / "shop.py").write_text("from celery import Celery\napp = Celery('shop')\n")
    monkeypatch.chdir(tmp_path)
    state = running.state_of(tmp_path)
    unit = {"name": "mail", "phase": "ready", "detail": "mail@here consumes mail", "profile": "mail", "pid": 1}
    record = {"supervisor": identity(os.getpid()), "ready": True, "profiles": ["mail"], "units": [unit]}
    state.write(running.RECORD, record)
    return state, record


@pytest.mark.parametrize("size", ["mail=99999", "mail=101"])
def test_a_size_with_a_digit_too_many_is_refused_before_anybody_is_asked(kept, size, capsys):
    assert run(["workers", "scale", size]) == 2
    assert "at most 100" in capsys.readouterr().err
    assert not list(kept[0].folder(running.REQUESTS).iterdir())


def test_workers_that_end_while_they_are_scaled_are_not_said_to_be_slow(kept, monkeypatch, capsys):
    state, _ = kept
    monkeypatch.setattr(workers, "request", lambda *_, **__: state.remove(running.RECORD))
    assert run(["workers", "scale", "mail=2"]) == 1
    assert "have ended" in capsys.readouterr().out


def test_who_waits_hears_each_change_once_and_nothing_that_was_so_before(kept, capsys):
    _, record = kept
    starting = {"name": "mail-2", "phase": "starting", "detail": "not consuming yet"}
    heard = running.telling(record, lambda now: len(running.units(now)) > 2)
    later = {**record, "units": [*record["units"], starting]}
    assert not heard(record)
    assert not heard(later)
    assert not heard(later)
    assert heard({"units": [*later["units"], {**starting, "name": "mail-3"}]})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [["starting", "mail-2"], ["starting", "mail-3"]]
