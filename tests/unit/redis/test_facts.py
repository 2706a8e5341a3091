"""INFO, CONFIG, SLOWLOG as values: what is absent stays unknown."""

from __future__ import annotations

import pytest

from intelli_checks.probes.redis_facts import RedisFacts, parse_config, parse_info, parse_slowlog, parse_time
from intelli_checks.probes.resp import ReplyError
from intelli_checks.registry import registry

registry.load()


def facts(info: str = "", **more) -> RedisFacts:
    return RedisFacts("broker", "redis://h:6379/0", "h:6379", 0, 0.2, info=parse_info(info), **more)


def test_info_is_flat_and_tolerates_rubbish():
    told = parse_info("# Server\r\nredis_version:7.0.15\r\n\r\nnonsense\r\nexecutable:C:\\redis\r\nx:\x1b[2J\r\n")
    assert told == {"redis_version": "7.0.15", "executable": "C:\\redis", "x": "\\x1b[2J"}


@pytest.mark.parametrize(
    ("info", "product", "version"),
    [
        ("redis_version:7.0.15", "redis", "7.0.15"),
        ("redis_version:7.2.4\nserver_name:valkey\nvalkey_version:8.1.3", "valkey", "8.1.3"),
        ("redis_version:6.3.4\nexecutable:/usr/bin/keydb-server", "keydb", "6.3.4"),
        ("redis_version:7.4.0\ndragonfly_version:df-v1.25.1", "dragonfly", "1.25.1"),
        ("", "redis", ""),
    ],
)
def test_products(info, product, version):
    assert (facts(info).product, facts(info).version) == (product, version)


def test_counters():
    told = facts("errorstat_OOM:count=39\ncmdstat_flushdb:calls=2,usec=9,usec_per_call=4.5")
    assert told.counter("errorstat_OOM") == 39
    assert told.counter("cmdstat_flushdb", "calls") == 2
    assert told.counter("cmdstat_flushall", "calls") == 0


def test_persistence_is_unknown_without_config():
    assert facts("aof_enabled:0").persistent is None
    assert facts("aof_enabled:1").persistent
    assert facts("aof_enabled:0", config={"save": ""}).persistent is False
    assert facts("aof_enabled:0", config={"save": "3600 1"}).persistent


def test_config_leaves_out_what_was_refused():
    assert parse_config([[b"save", b""], ReplyError("NOPERM no"), [], [b"dir", b"/data"]]) == {
        "save": "",
        "dir": "/data",
    }


def test_the_slow_log_keeps_the_name_and_one_argument():
    entry = [1, 1700000000, 250000, [b"LRANGE", b"celery", b"0", b"secret payload"], b"127.0.0.1:1", b""]
    (slow,) = parse_slowlog([entry, "rubbish", [1, 2]])
    assert (slow.command, slow.seconds) == ("LRANGE celery", 0.25)
    assert parse_slowlog(ReplyError("NOPERM")) == ()


def test_time():
    assert parse_time([b"1700000000", b"500000"]) == 1700000000.5
    assert parse_time(ReplyError("NOPERM")) is None


@pytest.mark.parametrize(
    ("product", "version", "flagged"),
    [
        ("redis", (7, 0, 15), True),
        ("redis", (8, 4, 0), False),
        ("redis", (6, 2, 19), True),
        ("redis", (6, 2, 20), False),
        ("redis", (7, 2, 10), True),
        ("redis", (7, 2, 11), False),
        ("redis", (7, 4, 5), True),
        ("redis", (7, 4, 6), False),
        ("redis", (8, 0, 3), True),
        ("redis", (8, 0, 4), False),
        ("redis", (8, 2, 1), True),
        ("redis", (8, 2, 2), False),
        ("valkey", (7, 2, 10), True),
        ("valkey", (7, 2, 11), False),
        ("valkey", (8, 0, 5), True),
        ("valkey", (8, 0, 6), False),
        ("valkey", (8, 1, 3), True),
        ("valkey", (8, 1, 4), False),
        ("keydb", (6, 3, 4), False),
    ],
)
def test_lua_fix_floor(product, version, flagged):
    from intelli_checks.families.redis_exposure import lua_fix

    fixed = lua_fix(product, version)
    assert bool(fixed and version < fixed) is flagged
