"""sentinel:// URLs: the master is asked for, and what may go wrong has a name."""

from __future__ import annotations

import subprocess

import pytest
from tests.integration.redis.harness import check, failing, kinds, names

from intelli_checks.context import Context
from intelli_checks.dsn import Dsn
from intelli_checks.target import Target
from intelli_fixtures.processes import Child, free_port, until
from intelli_fixtures.servers import accepts


@pytest.fixture
def sentinel(redis, tmp_path):
    """A sentinel that watches one primary; `(port, primary)`."""
    primary, port = redis(save="3600 1"), free_port()
    config = tmp_path / "sentinel.conf"
    config.write_text(
        f"bind 127.0.0.1\nport {port}\nsentinel monitor jobs 127.0.0.1 {primary.port} 1\ndir {tmp_path}\n"
    )
    program = subprocess.check_output(["which", "redis-server"], text=True).strip()
    child = Child([program, config, "--sentinel"], log=tmp_path / "log", cwd=tmp_path, name="sentinel")
    until(lambda: accepts(port), 10, "the sentinel")
    yield port, primary
    child.stop()


def test_the_only_master_is_found_and_used(sentinel, tmp_path):
    port, primary = sentinel
    url = f"sentinel://127.0.0.1:1/0;sentinel://127.0.0.1:{port}/0"
    assert not failing(check(url))
    assert Context(Target(tmp_path, broker=Dsn(url))).broker_endpoint.dsn.port == primary.port


def test_a_sentinel_port_used_as_redis(sentinel):
    port, _ = sentinel
    names(check(f"redis://127.0.0.1:{port}/0"), "sentinel", "sentinel://")


def test_a_redis_port_used_as_sentinel(sentinel):
    _, primary = sentinel
    assert kinds(check(f"sentinel://127.0.0.1:{primary.port}/0")) == [("redis.broker", "not-sentinel")]


def test_no_sentinel_answers():
    report = check("sentinel://127.0.0.1:1/0;sentinel://127.0.0.1:2/0")
    assert kinds(report) == [("redis.broker", "sentinels")]


def test_a_master_that_no_sentinel_knows(sentinel):
    from intelli_checks.model import Unavailable
    from intelli_checks.probes import redis_sentinel
    from intelli_checks.probes.redis import Endpoint

    port, _ = sentinel
    endpoint = Endpoint("broker", Dsn(f"sentinel://127.0.0.1:{port}/0"), master="mymaster")
    with pytest.raises(Unavailable, match="knows no master called 'mymaster'"):
        redis_sentinel.master(endpoint, 2)


def test_the_primary_is_gone(sentinel):
    port, primary = sentinel
    primary.stop()
    finding = names(check(f"sentinel://127.0.0.1:{port}/0"), "refused")
    assert finding.subject == f"broker 127.0.0.1:{primary.port}/0"
