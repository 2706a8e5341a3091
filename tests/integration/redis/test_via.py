"""A project in a container names its Redis as the container sees it: it is dialled from there."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from concurrent.futures import Future
from pathlib import Path

import pytest
from tests.integration.redis.harness import PASSWORD, failing, kinds, names, with_login

from intelli_checks.context import Context
from intelli_checks.dsn import Dsn
from intelli_checks.model import Report
from intelli_checks.probes.survey import Survey
from intelli_checks.registry import registry
from intelli_checks.runner import diagnose
from intelli_checks.target import Place, Target
from intelli_fixtures import peers
from intelli_fixtures.processes import Child, until


def check_from(argv: tuple[str, ...], url: str) -> Report:
    """The Redis checks of a project behind `argv` that declares `url` as its broker."""
    registry.load()
    place = Place("web", argv, remote=True)
    ctx = Context(Target(Path(), places=(place,)))
    told: Future[dict[str, Survey]] = Future()
    told.set_result({"web": Survey("web", broker=Dsn(url), extra={"container": True})})
    ctx.gathered["surveys"] = told
    return diagnose(registry.select(["redis"]), ctx)


HERE = (sys.executable,)


def test_a_healthy_server(redis):
    server = redis(password=PASSWORD, save="3600 1")
    assert not failing(check_from(HERE, server.url()))


def test_faults_keep_their_names(redis):
    server = redis(password=PASSWORD)
    names(check_from(HERE, with_login(server.url(), "")), "no-password")
    names(check_from(HERE, with_login(server.url(), ":wrong-password")), "wrong-password")
    with peers.closed_port() as peer:
        names(check_from(HERE, peer.url()), "refused", "nothing listens there")
    names(check_from(HERE, "redis://nowhere.invalid:6379/0"), "dns")


def test_silence_is_bounded():
    began = time.monotonic()
    with peers.silent() as peer:
        names(check_from(HERE, peer.url()), "silent")
    assert time.monotonic() - began < 6.5


def test_a_prefix_that_does_not_run():
    report = check_from(("docker-that-is-not-there", "exec"), "redis://redis:6379/0")
    assert kinds(report) == [("redis.broker", "connect")]
    report = check_from((sys.executable, "-c", "raise SystemExit('no such container')"), "redis://redis:6379/0")
    (failure,) = [f for result in report.results for f in result.findings]
    assert "no such container" in failure.message


@pytest.fixture
def elsewhere(tmp_path):
    """A Redis in a network of its own, where 127.0.0.1 is not ours; the argv prefix that leads there."""
    program, unshare = shutil.which("redis-server"), shutil.which("unshare")
    if (
        not program
        or not unshare
        or subprocess.run([unshare, "-n", "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip("needs redis-server and the right to make a network namespace")
    script = (
        f"ip link set lo up 2>/dev/null || ifconfig lo up; exec {program} --port 6379 --save '3600 1' --dir {tmp_path}"
    )
    child = Child([unshare, "-n", "sh", "-c", script], log=tmp_path / "log", cwd=tmp_path, name="elsewhere")
    until(lambda: "Ready to accept" in child.tail(), 10, child.tail)
    yield ("nsenter", "-t", str(child.pid), "-n", sys.executable)
    child.stop()


def test_the_same_address_means_another_server_there(elsewhere):
    report = check_from(elsewhere, "redis://127.0.0.1:6379/0")
    assert not failing(report)
    assert report.results[0].findings
