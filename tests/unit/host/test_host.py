"""The host's facts are read from any tree, and judged without one."""

from __future__ import annotations

import socket
from importlib import import_module
from pathlib import Path

import pytest

from intelli_checks import Outcome, Severity
from intelli_checks.context import Context
from intelli_checks.dsn import Dsn
from intelli_checks.probes import host
from intelli_checks.probes.host_facts import Disk, HostFacts, Listener, Memory, OpenFiles
from intelli_checks.registry import registry
from intelli_checks.runner import diagnose
from intelli_checks.target import Place, Target

registry.load()  # declares the checks in their order; importing one family alone would not
family = import_module("intelli_checks.families.host")
GB = 1024**3


def severities(found) -> list[str]:
    return [finding.severity.name for finding in found]


@pytest.mark.parametrize(
    ("free", "inodes", "severity"),
    [(500 * GB, 0.5, "INFO"), (30 * GB, 0.5, "WARNING"), (GB // 2, 0.5, "ERROR"), (500 * GB, 0.001, "ERROR")],
)
def test_disks(free, inodes, severity):
    finding = family._room(Disk("/data", "media", 1000 * GB, free, inodes))
    assert finding.severity is Severity[severity]


def test_a_small_disk_is_full_by_megabytes():
    assert family._room(Disk("/", "project", GB, 50 * 1024**2)).severity is Severity.ERROR


@pytest.mark.parametrize(("held", "expected"), [(100, []), (850, ["WARNING"]), (990, ["ERROR"])])
def test_open_files(held, expected):
    assert severities(family._held(OpenFiles(1, "daphne", held, 1000))) == expected


def test_memory_of_machine_and_group():
    assert severities(family._short(Memory(16 * GB, 8 * GB))) == ["INFO"]
    assert severities(family._short(Memory(16 * GB, GB // 2))) == ["WARNING"]
    assert severities(family._short(Memory(16 * GB, 8 * GB, group_kills=2))) == ["WARNING", "INFO"]
    assert severities(family._short(Memory(16 * GB, 8 * GB, stalled=60.0))) == ["WARNING"]


def test_the_kernel_s_files_are_read_from_any_tree(tmp_path: Path):
    group = tmp_path / "sys/fs/cgroup/system.slice/worker.service"
    group.mkdir(parents=True)
    (group / "memory.events").write_text("low 0\nhigh 0\nmax 9\noom 3\noom_kill 3\n")
    (group / "memory.max").write_text("536870912\n")
    (group / "memory.current").write_text("530000000\n")
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/system.slice/worker.service\n")
    (tmp_path / "proc/pressure").mkdir()
    (tmp_path / "proc/pressure/memory").write_text("some avg10=1.00 avg60=42.50 avg300=2.00 total=9\nfull avg10=0.00\n")
    found = host.memory(tmp_path)
    assert (found.group_kills, found.group_limit, found.group_used) == (3, 536870912, 530000000)
    assert found.stalled == pytest.approx(42.5)


def test_nothing_known_is_nothing_judged(tmp_path: Path):
    found = host.memory(tmp_path)
    assert (found.group_kills, found.group_limit, found.stalled) == (0, None, None)


def test_who_listens():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        (found,) = host.listeners({port})
    assert (found.port, found.address) == (port, "127.0.0.1")
    assert found.pid


def test_two_programs_on_one_port_number():
    ctx = Context(Target(Path()))
    shared = (Listener(8000, "127.0.0.1", 1, "daphne"), Listener(8000, "::", 2, "docker-proxy"))
    family_of(ctx, HostFacts((), (), shared, Memory(GB, GB)))
    assert severities(family.ports(ctx)) == ["WARNING"]


def family_of(ctx: Context, facts: HostFacts) -> None:
    from concurrent.futures import Future

    ctx.gathered["host"] = Future()
    ctx.gathered["host"].set_result(facts)


def test_a_system_on_another_machine_is_not_judged_by_this_one():
    targets = [
        Target(Path(), broker=Dsn("redis://10.255.255.1:6379/0"), timeout=3),
        Target(Path(), places=(Place("web", ("false",), remote=True),), broker=Dsn("memory://"), timeout=3),
    ]
    for target in targets:
        report = diagnose([registry["host.disk"], registry["host.memory"]], Context(target))
        assert [result.outcome for result in report.results] == [Outcome.SKIPPED] * 2


def test_this_machine_answers_every_question():
    checks = [registry[f"host.{name}"] for name in ("disk", "files", "memory", "ports", "kernel")]
    report = diagnose(checks, Context(Target(Path(), broker=Dsn("memory://"))))
    assert not report.having(Outcome.ERRORED)
