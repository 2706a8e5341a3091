"""`intelli-ops probe` tells the truth about a real worker while it works, waits, freezes and loses its broker."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from celery import Celery

from intelli_checks.fleet import WorkerProfile
from intelli_fixtures import peers
from intelli_fixtures.processes import until

PROJECT = Path(__file__).with_name("project")
MAX_AGE = "5"


@pytest.fixture
def broker(intelli_redis_server):
    return intelli_redis_server()


@pytest.fixture
def pulse(tmp_path):
    return tmp_path / "heartbeat.json"


@pytest.fixture
def start(broker, pulse, intelli_workers):
    def start(pool="prefork"):
        env = {"PULSING_BROKER": broker.url(0), "INTELLI_OPS_HEARTBEAT": str(pulse)}
        profile = WorkerProfile("worker", ("celery",), concurrency=1, prefetch=1, pool=pool)
        worker = intelli_workers.start(PROJECT, broker.url(0), profile, app="pulsing", env=env)
        worker.child.wait_until(pulse.exists, 15, "a first heartbeat")
        return worker

    return start


def probe(question, *arguments, **env):
    argv = [sys.executable, "-m", "intelli_ops", "probe", question, *arguments]
    return subprocess.run(argv, capture_output=True, text=True, timeout=20, env=os.environ | env, check=False)


def asked(question, pulse):
    return probe(question, "--heartbeat", str(pulse), "--max-age", MAX_AGE)


def turns(question, pulse, code, words):
    """Wait until the answer is `code` with `words`, which must happen soon after the state has changed."""
    last = []

    def same():
        last[:] = [asked(question, pulse)]
        return last[0].returncode == code and words in last[0].stdout

    until(same, 30, lambda: f"exit {code} with {words!r}; last {last[0]}")


def test_idle_then_busy_then_frozen(start, broker, pulse):
    worker = start("prefork")
    for question, words in [("live", "consuming celery"), ("ready", "consuming celery"), ("startup", "has consumed")]:
        turns(question, pulse, 0, words)
    os.kill(worker.child.pid, signal.SIGSTOP)
    try:
        turns("live", pulse, 1, "last heartbeat")
    finally:
        os.kill(worker.child.pid, signal.SIGCONT)
    turns("live", pulse, 0, "consuming celery")


def test_a_busy_solo_worker_is_alive(start, broker, pulse):
    start("solo")
    with Celery(broker=broker.url(0), set_as_current=False) as app:
        app.send_task("pulsing.hold", [12])
    turns("live", pulse, 0, "busy")
    turns("ready", pulse, 0, "busy")


def test_without_its_broker_a_worker_is_alive_but_not_ready_and_recovers(start, broker, pulse):
    start("prefork")
    turns("ready", pulse, 0, "consuming celery")
    broker.kill()
    turns("ready", pulse, 1, "no broker")
    assert "waiting for its broker" in asked("live", pulse).stdout
    broker.restart()
    turns("ready", pulse, 0, "consuming celery")


def test_one_worker_asked_through_the_broker(start, broker):
    worker = start("prefork")
    known = {"CELERY_BROKER_URL": broker.url(0)}
    assert "consuming celery" in probe("ready", "--node", worker.node, **known).stdout
    assert probe("live", "--node", worker.node, **known).returncode == 0
    absent = probe("live", "--node", "nobody@nowhere", "--timeout", "0.5", **known)
    assert (absent.returncode, "did not answer" in absent.stdout) == (1, True)


def test_a_black_holed_broker_ends_in_time_and_shows_no_password():
    with peers.silent() as peer:
        url = f"redis://:planted-password@127.0.0.1:{peer.port}/0"
        answer = probe("live", "--node", "a@b", "--timeout", "0.5", CELERY_BROKER_URL=url)
    assert answer.returncode == 1
    assert "silent" in answer.stdout
    assert "planted-password" not in answer.stdout + answer.stderr


def test_no_heartbeat_says_what_is_missing(tmp_path):
    answer = asked("live", tmp_path / "none.json")
    assert answer.returncode == 1
    assert "intelli_ops.bootsteps" in answer.stdout


def test_the_web_probe_reads_the_status_line(intelli_server):
    with peers.garbage("http") as peer:
        down = probe("live", "--url", f"http://127.0.0.1:{peer.port}/health/ready")
    assert (down.returncode, "400" in down.stdout) == (1, True)


def test_a_probe_imports_nothing_heavy():
    """Each of these costs a probe from two milliseconds (uuid) to half a second (celery)."""
    code = """
import os, sys
from intelli_ops.__main__ import main
def leave(code):
    heavy = {
        "typer", "rich", "redis", "celery", "kombu", "django", "ssl", "http.client", "asyncio",
        "argparse", "dataclasses", "inspect", "typing", "pathlib", "uuid", "base64", "shutil", "subprocess",
    }
    sys.stdout.write(f"imported: {sorted(heavy & set(sys.modules))}")
    sys.stdout.flush()
    end(0)
end, os._exit = os._exit, leave
main()
"""
    with peers.silent() as peer:
        broker = ["--broker", f"redis://127.0.0.1:{peer.port}/0", "--timeout", "0.1"]
        for asked_for in (["--node", "a@b", *broker], ["--heartbeat", "none"], ["--url", "http://127.0.0.1:1/"]):
            argv = [sys.executable, "-c", code, "probe", "ready", *asked_for]
            ran = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
            assert "imported: []" in ran.stdout, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "ask one of"),
        (["alive"], "ask one of"),
        (["live", "ready"], "ask one of"),
        (["live", "--nod", "a@b"], "unknown option --nod"),
        (["live", "--timeout"], "--timeout needs a value"),
        (["live", "--timeout=soon"], "'soon' is not a number"),
        (["live", "--node", "a@b", "--url=http://h/"], "give only one of"),
        (["ready", "--broker", "redis://127.0.0.1:1/0"], "name it with --node"),
    ],
)
def test_a_command_line_nobody_understands_is_a_usage_error(arguments, words):
    ran = subprocess.run(
        [sys.executable, "-m", "intelli_ops", "probe", *arguments], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert words in ran.stderr


def test_help_names_every_option():
    shown = probe("live", "--help")
    assert shown.returncode == 0
    for option in ("--heartbeat", "--node", "--url", "--beat", "--broker", "--timeout", "--max-age"):
        assert option in shown.stdout
