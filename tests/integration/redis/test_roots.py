"""Each fault of a real Redis is named by the root check, alone, with its own words."""

from __future__ import annotations

import shutil

from tests.integration.redis.harness import PASSWORD, check, failing, findings, kinds, names, outcomes, with_login

from intelli_checks import Outcome
from intelli_fixtures.processes import free_port, until
from intelli_fixtures.servers import accepts


def test_a_healthy_default_server_has_no_failure_and_no_warning(redis):
    server = redis(save="3600 1")
    report = check(server.url(), results=server.url(), layer=server.url(1))
    assert {*outcomes(report).values()} <= {"passed"}
    assert report.seconds < 1.0
    assert server.command("DBSIZE") == 0


def test_nothing_of_ours_stays_and_nothing_is_executed(redis):
    server = redis()
    server.command("LPUSH", "celery", "a task")
    check(server.url(), results=server.url(), layer=server.url())
    assert server.command("KEYS", "*") == [b"celery"]
    assert server.command("LRANGE", "celery", 0, -1) == [b"a task"]


def test_refused_is_one_failure_for_all_roles(redis):
    server = redis()
    server.stop()
    report = check(server.url(), results=server.url(), layer=server.url(1))
    names(report, "refused", "refused: ")
    assert outcomes(report)["redis.results"] == outcomes(report)["redis.channels"] == "skipped"


def test_a_results_server_that_is_down_is_its_own_failure(redis):
    broker, store = redis(), redis()
    store.stop()
    report = check(broker.url(), results=store.url())
    assert failing(report) == ["redis.results"]


def test_of_several_brokers_the_first_that_answers_is_asked_and_the_others_are_told(redis):
    first, second = redis(), redis(save="3600 1")
    both = f"{first.url()};{second.url()}"
    assert "127.0.0.1" not in str([found.message for found in findings(check(both), "redis.broker")])
    first.stop()
    report = check(both)
    assert not failing(report)
    assert outcomes(report)["redis.broker"] == "warned"
    assert f"127.0.0.1:{second.port} is the broker" in findings(report, "redis.broker")[-1].message
    second.stop()
    assert f"127.0.0.1:{first.port}" in names(check(both), "refused").subject


def test_password_missing_wrong_and_needless(redis):
    server, open_ = redis(password=PASSWORD), redis()
    names(check(with_login(server.url(), "")), "no-password", "CELERY_BROKER_URL")
    names(check(with_login(server.url(), ":wrong-password")), "wrong-password")
    names(check(with_login(server.url(), f"nobody:{PASSWORD}")), "wrong-password")
    names(check(with_login(open_.url(), f":{PASSWORD}")), "needless-password")
    assert not failing(check(with_login(server.url(), f":{PASSWORD}")))


def test_wrong_database(redis):
    server = redis(databases="4")
    names(check(server.url(7)), "wrong-database")
    assert kinds(check(server.url(), layer=server.url(9))) == [("redis.channels", "wrong-database")]


def test_read_only_replica(redis):
    primary = redis(repl_diskless_sync_delay="0")
    replica = redis(replicaof=f"127.0.0.1 {primary.port}")
    until(lambda: replica.command("INFO", "replication")["master_link_status"] == "up", 10, "master_link_status up")
    names(check(replica.url()), "replica", f"127.0.0.1:{primary.port}")


def test_a_replica_without_its_primary(redis):
    primary = redis(repl_diskless_sync_delay="0")
    replica = redis(replicaof=f"127.0.0.1 {primary.port}", replica_serve_stale_data="no")
    until(lambda: replica.command("INFO", "replication")["master_link_status"] == "up", 10, "master_link_status up")
    primary.stop()
    until(lambda: replica.command("INFO", "replication")["master_link_status"] == "down", 10, "master_link_status down")
    assert failing(check(replica.url())) == ["redis.broker"]


def test_memory_full(redis):
    server = redis(maxmemory="500kb")
    names(check(server.url()), "oom", "noeviction")


def test_saving_to_disk_fails(redis):
    server = redis(save="3600 1")
    server.command("SET", "a", "b")
    shutil.rmtree(server.folder / "data")
    server.command("BGSAVE")
    until(
        lambda: server.command("INFO", "persistence")["rdb_last_bgsave_status"] == "err",
        10,
        "rdb_last_bgsave_status err",
    )
    names(check(server.url()), "misconf", "df -h")


def test_too_few_replicas(redis):
    names(check(redis(min_replicas_to_write="2").url()), "no-replicas")


def test_maxclients(redis):
    import socket
    from contextlib import ExitStack

    server = redis(maxclients="12")
    with ExitStack() as held:
        for _ in range(12):
            sock = held.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            sock.sendall(b"PING\r\n")
            sock.recv(100)
        names(check(server.url()), "maxclients", "CLIENT LIST")
        names(check(with_login(server.url(), f":{PASSWORD}")), "maxclients")


def test_writes_paused(redis):
    server = redis()
    server.command("CLIENT", "PAUSE", 20000, "WRITE")
    report = check(server.url())
    names(report, "writes-paused", "CLIENT UNPAUSE")
    assert report.seconds < 3.5


def test_everything_paused_or_stopped(redis):
    server = redis()
    server.command("CLIENT", "PAUSE", 20000, "ALL")
    report = check(server.url())
    names(report, "silent", "UNPAUSE")
    assert report.seconds < 3.5
    frozen = redis()
    frozen.freeze()
    names(check(frozen.url()), "silent", "redis-server (pid", "is stopped")


def test_loading_says_how_long(redis):
    config = {"save": "3600 1", "loading_process_events_interval_bytes": "1024", "key_load_delay": "1000"}
    server = redis(**config, enable_debug_command="local")
    server.command("DEBUG", "POPULATE", 20000)
    server.stop()
    server._body.start()  # start() would wait for the end of the loading
    until(lambda: accepts(server.port), 10, "the port")
    report = check(server.url())
    names(report, "loading", "INFO persistence", "s to go")
    assert report.seconds < 3.5


def test_cluster_node(redis):
    names(check(redis(cluster_enabled="yes", cluster_port=str(free_port())).url()), "cluster", "sentinel://")


def test_unix_socket(redis, tmp_path):
    path = tmp_path / "s"
    redis(unixsocket=str(path))
    until(path.exists, 10, "the socket")
    assert not failing(check(f"redis+socket://{path}"))
    names(check(f"redis+socket://{tmp_path}/nothing"), "socket")


def test_acl_names_the_commands_and_channels_that_are_denied(redis):
    server = redis()
    server.command("ACL", "SETUSER", "app", "on", f">{PASSWORD}", "~*", "&*", "+@all", "-brpop", "-publish")
    names(check(with_login(server.url(), f"app:{PASSWORD}")), "acl", "BRPOP", "PUBLISH", "ACL LOG")


def test_acl_names_the_script_that_a_worker_loads_for_its_lock(redis):
    server = redis()
    server.command("ACL", "SETUSER", "app", "on", f">{PASSWORD}", "~*", "&*", "+@all", "-script|load")
    names(check(with_login(server.url(), f"app:{PASSWORD}")), "acl", "SCRIPT LOAD")


def test_an_acl_user_with_only_what_celery_needs_is_healthy(redis):
    server = redis(save="3600 1")
    rights = ["~celery*", "~unacked*", "~_kombu.*", "&/0.celery*", "+@all", "-@admin", "-@dangerous"]
    server.command("ACL", "SETUSER", "app", "on", f">{PASSWORD}", *rights)
    report = check(with_login(server.url(), f"app:{PASSWORD}"))
    assert not failing(report)
    assert not report.having(Outcome.ERRORED)


def test_not_redis_transports_are_skipped_and_schemeless_urls_fail():
    assert outcomes(check("amqp://guest@localhost//", "redis.broker")) == {"redis.broker": "skipped"}
    assert outcomes(check("memory://", "redis.broker")) == {"redis.broker": "skipped"}
    assert kinds(check("127.0.0.1:6379", "redis.broker")) == [("redis.broker", "no-scheme")]
    assert kinds(check("localhost:6379", "redis.broker")) == [("redis.broker", "no-scheme")]
