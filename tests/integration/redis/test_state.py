"""States of a real Redis that answers and writes: each question has its answer, healthy ones are silent."""

from __future__ import annotations

import pytest
from tests.integration.redis.harness import PASSWORD, check, everything, failing, findings, outcomes, with_login

from intelli_checks import Outcome, Severity
from intelli_fixtures.processes import until


def worst(report, id_: str) -> str:
    (outcome,) = [result.outcome.value for result in report.results if result.check.id == id_]
    return outcome


def messages(report, id_: str) -> str:
    return " ".join(finding.message for finding in findings(report, id_))


def test_memory_nearly_full(redis):
    server = redis(save="3600 1")
    server.command("SET", "large", "x" * 20_000_000)
    used = int(server.command("INFO", "memory")["used_memory"])
    server.command("CONFIG", "SET", "maxmemory", int(used / 0.95))
    report = check(server.url())
    assert worst(report, "redis.memory") == "warned"
    assert not failing(report)


def test_eviction_policies(redis):
    server = redis(save="3600 1", maxmemory="100mb", maxmemory_policy="allkeys-lru")
    assert worst(check(server.url()), "redis.eviction") == "failed"
    server.command("CONFIG", "SET", "maxmemory", 0)
    assert worst(check(server.url()), "redis.eviction") == "warned"
    server.command("CONFIG", "SET", "maxmemory-policy", "volatile-lru")
    assert worst(check(server.url()), "redis.eviction") == "passed"


def test_evicted_queue(redis):
    server = redis(save="3600 1", maxmemory_policy="allkeys-random")
    server.command("CONFIG", "SET", "maxmemory", int(server.command("INFO", "memory")["used_memory"]) + 1_000_000)
    for number in range(300):
        server.command("SET", f"filler{number}", "x" * 10_000)
    report = check(server.url())
    assert "evicted" in messages(report, "redis.eviction")
    assert failing(report) == ["redis.eviction"]


def test_cache_policy_on_a_result_store_is_not_an_error(redis):
    broker, store = redis(save="3600 1"), redis(save="3600 1", maxmemory="100mb", maxmemory_policy="allkeys-lru")
    report = check(broker.url(), results=store.url())
    assert not failing(report)
    assert worst(report, "redis.eviction") == "warned"


def test_saving_fails_but_writes_go_on(redis):
    import shutil

    server = redis(save="3600 1", stop_writes_on_bgsave_error="no")
    server.command("SET", "a", "b")
    shutil.rmtree(server.folder / "data")
    server.command("BGSAVE")
    until(lambda: server.command("INFO", "persistence")["rdb_last_bgsave_status"] == "err", 10, "the failed save")
    assert failing(check(server.url())) == ["redis.persistence"]


def test_persistence_off_and_append_only(redis):
    assert worst(check(redis().url()), "redis.persistence") == "warned"
    assert worst(check(redis(appendonly="yes").url()), "redis.persistence") == "passed"


def test_flush_is_seen(redis):
    server = redis(save="3600 1")
    server.command("FLUSHDB")
    report = check(server.url())
    assert worst(report, "redis.restart") == "warned"
    assert "FLUSHDB 1 times" in messages(report, "redis.restart")


def test_a_writable_replica(redis):
    primary = redis(save="3600 1", repl_diskless_sync_delay="0")
    replica = redis(save="3600 1", replicaof=f"127.0.0.1 {primary.port}", replica_read_only="no")
    until(lambda: replica.command("INFO", "replication")["master_link_status"] == "up", 10, "the replica")
    assert worst(check(replica.url()), "redis.broker") == "warned"
    primary.stop()
    until(lambda: replica.command("INFO", "replication")["master_link_status"] == "down", 10, "the loss")
    assert failing(check(replica.url())) == ["redis.replication"]


def test_a_slow_command_is_named_without_its_data(redis):
    server = redis(save="3600 1", enable_debug_command="local")
    server.command(
        "EVAL", f"local t = redis.call('TIME')[1] -- {PASSWORD}\nwhile redis.call('TIME')[1] - t < 2 do end", 0
    )
    server.command("DEBUG", "SLEEP", "0.2")
    report = check(server.url())
    (slow,) = [f for f in findings(report, "redis.latency") if f.severity is Severity.WARNING]
    assert slow.facts["command"].startswith("EVAL")


def test_latency_of_a_far_server(redis):
    from intelli_fixtures.proxy import proxy

    server = redis(save="3600 1")
    with proxy(server.port) as link:
        link.add("latency", latency=70)
        report = check(link.redirect(server.url()))
    assert worst(report, "redis.latency") == "warned"
    assert not failing(report)


def test_connections_nearly_used_up_and_refused(redis):
    import contextlib
    import socket

    server = redis(save="3600 1", maxclients="12")
    with contextlib.ExitStack() as held:
        for _ in range(10):
            held.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        assert worst(check(server.url()), "redis.clients") == "warned"
        for _ in range(6):
            sock = held.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=5))
            sock.sendall(b"PING\r\n")
            with contextlib.suppress(ConnectionError):
                sock.recv(60)
    until(lambda: worst(check(server.url()), "redis.broker") == "passed", 10, "room")
    assert "were refused" in messages(check(server.url()), "redis.clients")


def test_errors_that_were_answered_before(redis):
    server = redis(save="3600 1")
    server.command("CONFIG", "SET", "maxmemory", 1)
    with pytest.raises(Exception, match="maxmemory"):
        server.command("SET", "a", "b")
    server.command("CONFIG", "SET", "maxmemory", 0)
    report = check(server.url())
    assert "OOM was answered 1 times" in messages(report, "redis.errors")
    assert not failing(report)


def test_exposure(redis):
    assert worst(check(redis(save="3600 1").url()), "redis.exposure") == "passed"
    guarded = redis(save="3600 1", password=PASSWORD)
    guarded.command("CONFIG", "SET", "bind", "127.0.0.1 127.0.0.2", "protected-mode", "no")
    assert worst(check(guarded.url()), "redis.exposure") == "passed"
    open_ = redis(save="3600 1")
    open_.command("CONFIG", "SET", "bind", "127.0.0.1 127.0.0.2", "protected-mode", "no")
    assert worst(check(open_.url()), "redis.exposure") == "warned"
    login = with_login(guarded.url(), f"default:{PASSWORD}")
    guarded.command("ACL", "SETUSER", "default", "nopass")
    assert worst(check(login), "redis.exposure") == "warned"


def test_a_managed_server_that_hides_its_inside_is_healthy(redis):
    server = redis(password=PASSWORD, save="3600 1", maxmemory_policy="allkeys-lru")
    server.command("ACL", "SETUSER", "app", "on", f">{PASSWORD}", "~*", "&*", "+@all", "-@admin", "-info", "-time")
    report = check(with_login(server.url(), f"app:{PASSWORD}"))
    assert not report.having(Outcome.FAILED, Outcome.ERRORED, Outcome.WARNED), everything(report)
    assert PASSWORD not in everything(report)


def test_valkey_is_recognised(intelli_redis_server):
    server = intelli_redis_server(engine="embedded", password="", config={"save": "3600 1"})
    report = check(server.url(), results=server.url(), layer=server.url(1))
    assert {*outcomes(report).values()} == {"passed"}, everything(report)
    assert "valkey" in messages(report, "redis.broker")


def test_two_roles_on_one_server_are_described_once(redis):
    server = redis()
    report = check(server.url(), results=server.url(), layer=server.url(1))
    (finding,) = findings(report, "redis.persistence")
    assert finding.subject.endswith("(broker, results, channels)")


def test_a_renamed_command_is_named(redis):
    server = redis(save="3600 1")
    server.stop()
    with (server.folder / "extra.conf").open("w") as extra:
        extra.write('rename-command BRPOP ""\n')
    renamed = redis(save="3600 1", include=str(server.folder / "extra.conf"))
    report = check(renamed.url())
    assert "BRPOP" in messages(report, "redis.broker")
    assert failing(report) == ["redis.broker"]
