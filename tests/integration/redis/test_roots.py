"""Each fault of a real Redis is named by the root check, alone, with its own words."""

from __future__ import annotations

import os
import shutil
import time

from tests.integration.redis.conftest import PASSWORD, check, everything, free_port, kinds, outcomes, ready, until

from intelli_checks import Outcome, Severity


def failing(report) -> list[str]:
    return [result.check.id for result in report.results if result.outcome is Outcome.FAILED]


def the_failure(report):
    (result,) = report.having(Outcome.FAILED)
    (finding,) = [f for f in result.findings if f.severity is Severity.ERROR]
    return result.check.id, finding


def names(report, kind: str, *words: str):
    id_, finding = the_failure(report)
    assert (id_, finding.facts["kind"]) == ("redis.broker", kind), finding
    assert finding.hint
    assert PASSWORD not in everything(report)
    for word in words:
        assert word in f"{finding.message} {finding.hint}"


def test_a_healthy_default_server_has_no_failure_and_no_warning(redis):
    server = redis("--save", "3600 1")
    report = check(server.url(), results=server.url(), layer=server.url(1))
    assert {*outcomes(report).values()} <= {"passed"}
    assert report.seconds < 1.0
    assert server.do("DBSIZE") == 0


def test_nothing_of_ours_stays_and_nothing_is_executed(redis):
    server = redis()
    server.do("LPUSH", "celery", "a task")
    check(server.url(), results=server.url(), layer=server.url())
    assert server.do("KEYS", "*") == [b"celery"]
    assert server.do("LRANGE", "celery", 0, -1) == [b"a task"]


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


def test_password_missing_wrong_and_needless(redis):
    server, open_ = redis("--requirepass", PASSWORD), redis()
    names(check(server.url()), "no-password", "CELERY_BROKER_URL")
    names(check(server.url(login=":wrong-password@")), "wrong-password")
    names(check(server.url(login=f"nobody:{PASSWORD}@")), "wrong-password")
    names(check(open_.url(login=f":{PASSWORD}@")), "needless-password")
    assert not failing(check(server.url(login=f":{PASSWORD}@")))


def test_wrong_database(redis):
    server = redis("--databases", "4")
    names(check(server.url(7)), "wrong-database")
    assert kinds(check(server.url(), layer=server.url(9))) == [("redis.channels", "wrong-database")]


def test_read_only_replica(redis):
    primary = redis()
    replica = redis("--replicaof", f"127.0.0.1 {primary.port}")
    until(lambda: b"master_link_status:up" in replica.do("INFO", "replication"))
    names(check(replica.url()), "replica", f"127.0.0.1:{primary.port}")


def test_a_replica_without_its_primary(redis):
    primary = redis()
    replica = redis("--replicaof", f"127.0.0.1 {primary.port}", "--replica-serve-stale-data", "no")
    until(lambda: b"master_link_status:up" in replica.do("INFO", "replication"))
    primary.stop()
    until(lambda: b"master_link_status:down" in replica.do("INFO", "replication"))
    assert failing(check(replica.url())) == ["redis.broker"]


def test_memory_full(redis):
    server = redis("--maxmemory", "500kb")
    names(check(server.url()), "oom", "noeviction")


def test_saving_to_disk_fails(redis):
    server = redis("--save", "3600 1")
    server.do("SET", "a", "b")
    shutil.rmtree(server.folder)
    server.do("BGSAVE")
    until(lambda: b"rdb_last_bgsave_status:err" in server.do("INFO", "persistence"))
    names(check(server.url()), "misconf", "df -h")


def test_too_few_replicas(redis):
    names(check(redis("--min-replicas-to-write", "2").url()), "no-replicas")


def test_maxclients(redis):
    import socket
    from contextlib import ExitStack

    server = redis("--maxclients", "12")
    with ExitStack() as held:
        for _ in range(12):
            sock = held.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            sock.sendall(b"PING\r\n")
            sock.recv(100)
        names(check(server.url()), "maxclients", "CLIENT LIST")
        names(check(server.url(login=f":{PASSWORD}@")), "maxclients")


def test_writes_paused(redis):
    server = redis()
    server.do("CLIENT", "PAUSE", 20000, "WRITE")
    report = check(server.url())
    names(report, "writes-paused", "CLIENT UNPAUSE")
    assert report.seconds < 3.5


def test_everything_paused_or_stopped(redis):
    import signal

    server = redis()
    server.do("CLIENT", "PAUSE", 20000, "ALL")
    report = check(server.url())
    names(report, "silent", "UNPAUSE")
    assert report.seconds < 3.5
    frozen = redis()
    os.kill(frozen.process.pid, signal.SIGSTOP)
    names(check(frozen.url()), "silent")


def test_loading_says_how_long(redis):
    server = redis("--save", "3600 1", "--enable-debug-command", "local")
    server.do("DEBUG", "POPULATE", 20000)
    server.do("SAVE")
    server.stop()
    delay = ("--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024")
    slow = redis("--save", "3600 1", "--dir", str(server.folder), *delay)
    began = time.monotonic()
    names(check(slow.url()), "loading", "INFO persistence", "s to go")
    assert time.monotonic() - began < 3.5


def test_cluster_node(redis):
    names(check(redis("--cluster-enabled", "yes", "--cluster-port", str(free_port())).url()), "cluster", "sentinel://")


def test_protected_mode_words():
    """Protected mode answers only strangers from other machines; its words are judged where they are seen first."""
    from intelli_checks.dsn import Dsn
    from intelli_checks.probes.redis_outage import Place, explain
    from intelli_checks.probes.resp import DialError

    outage = explain(
        DialError("auth", "DENIED Redis is running in protected mode because ..."),
        Place(Dsn("redis://h:6379/0"), "CELERY_BROKER_URL", "broker h:6379/0"),
    )
    assert outage.facts["kind"] == "protected-mode"


def test_unix_socket(redis, tmp_path):
    path = tmp_path / "s"
    redis("--unixsocket", str(path))
    until(path.exists)
    assert not failing(check(f"redis+socket://{path}"))
    names(check(f"redis+socket://{tmp_path}/nothing"), "socket")


def test_acl_names_the_commands_and_channels_that_are_denied(redis):
    server = redis()
    server.do("ACL", "SETUSER", "app", "on", f">{PASSWORD}", "~*", "&*", "+@all", "-brpop", "-publish")
    names(check(server.url(login=f"app:{PASSWORD}@")), "acl", "BRPOP", "PUBLISH", "ACL LOG")


def test_an_acl_user_with_only_what_celery_needs_is_healthy(redis):
    server = redis("--save", "3600 1")
    rights = ["~celery*", "~unacked*", "~_kombu.*", "&/0.celery*", "+@all", "-@admin", "-@dangerous"]
    server.do("ACL", "SETUSER", "app", "on", f">{PASSWORD}", *rights)
    report = check(server.url(login=f"app:{PASSWORD}@"))
    assert not failing(report)
    assert not report.having(Outcome.ERRORED)


def test_ready_helper_tells_apart(redis):
    server = redis()
    assert ready(server)
    server.stop()
    assert not ready(server)


def test_not_redis_transports_are_skipped_and_schemeless_urls_fail():
    assert outcomes(check("amqp://guest@localhost//", "redis.broker")) == {"redis.broker": "skipped"}
    assert outcomes(check("memory://", "redis.broker")) == {"redis.broker": "skipped"}
    assert kinds(check("127.0.0.1:6379", "redis.broker")) == [("redis.broker", "no-scheme")]
    assert kinds(check("localhost:6379", "redis.broker")) == [("redis.broker", "no-scheme")]
