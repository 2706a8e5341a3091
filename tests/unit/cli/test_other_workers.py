"""Workers that `workers status` did not start are told beside those it did, with what ends them."""

from __future__ import annotations

from pathlib import Path

import pytest

from intelli_checks.probes import processes
from intelli_checks.probes.processes import Process
from intelli_ops.workers import others

HERE = Path("/srv/shop")


def worker(pid: int, directory: str = "/srv/shop/backend") -> Process:
    return Process(pid, 1, "sleeping", 60.0, directory=directory, command="celery -A shop worker")


@pytest.fixture
def machine(monkeypatch):
    """This machine: its worker processes, and the systems that run."""

    def has(*found: Process, parents=(), **systems: int) -> None:
        monkeypatch.setattr(processes, "celery", lambda _role: found)
        monkeypatch.setattr(others, "ancestors", lambda _pid: set(parents))
        records = {name: {"supervisor": {"pid": pid}} for name, pid in systems.items()}
        monkeypatch.setattr(others, "find_running", lambda _project, name: records.get(name, {}))

    return has


def test_a_system_of_up_is_pointed_to_and_its_workers_are_not_by_hand(machine):
    machine(worker(50), parents=(7, 1), up=7)
    (line,) = others.told(HERE, {})
    assert line.startswith("intelli-ops up runs here, too (pid 7)")
    assert "intelli-ops down" in line


def test_a_worker_started_by_hand_is_told_with_its_command(machine):
    machine(worker(50), parents=(1,), up=7)
    assert [line.split()[:2] for line in others.told(HERE, {})] == [["intelli-ops", "up"], ["by", "hand"]]


def test_our_own_workers_and_those_of_other_projects_are_not_told(machine):
    machine(worker(50), parents=(8, 1))
    assert list(others.told(HERE, {"supervisor": {"pid": 8}})) == []
    machine(worker(50, "/srv/other"), parents=(1,))
    assert list(others.told(HERE, {})) == []


def test_a_project_that_is_not_the_reference_system_has_no_up(monkeypatch, tmp_path):
    monkeypatch.setattr(processes, "celery", lambda _command: [])
    assert list(others.told(tmp_path, {})) == []
