"""`start-workers` and its friends on a project that is not ours (`shop`), with real workers and a real Redis."""

import json
import signal
import subprocess
import sys
import threading

import psutil
import pytest

from intelli_checks.dsn import Dsn
from intelli_checks.probes import fleet
from intelli_checks.probes.layout import Layout
from intelli_fixtures.processes import runs

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals; Windows has its own tests")


def test_a_dry_run_prints_commands_that_a_shell_takes_apart_again(shop):
    ran = shop.run("start-workers", "--dry-run", "--beat")
    assert ran.returncode == 0, ran.stderr
    change, mail, reports, beat = ran.stdout.splitlines()
    words = subprocess.run(
        ["sh", "-c", f"{change} && printf '%s\\n' \"$PWD\" {mail}"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert words[0] == str(shop.folder)
    assert words[1] == sys.executable
    assert " ".join(words[3:]).startswith("-A shop worker -n mail@%h -Q mail -c 1 -l info")
    assert "--pool=threads" in reports
    assert "--pidfile=" in beat
    assert not shop.record["units"]


def test_a_dry_run_exports_what_only_the_command_line_told_and_no_password(shop):
    ran = shop.run("start-workers", "--dry-run", "--settings", "shop settings", "--broker", "redis://:CANARY1@h:1/2")
    assert "export DJANGO_SETTINGS_MODULE='shop settings'" in ran.stdout
    assert "export CELERY_BROKER_URL='redis://:***@h:1/2'" in ran.stdout
    assert "CANARY1" not in ran.stdout + ran.stderr


def test_s4_a_busy_worker_finishes_its_task_before_it_stops(shop):
    process = shop.start()
    shop.wait_ready()
    result = shop.app().send_task("shop.nap", [2.0], queue="mail")
    shop.wait_until(lambda: "received" in shop.output)
    process.terminate()
    assert process.wait(30) == 0
    assert "shop.nap" in shop.output
    assert "runs for" in shop.output
    assert result.get(timeout=5) == 2.0


def test_s9_starting_twice_says_so_and_starts_nothing(shop):
    shop.start()
    shop.wait_ready()
    before = shop.pids()
    again = shop.run("start-workers")
    assert again.returncode == 3
    assert f"pid {shop.started[0].pid}" in again.stdout
    assert shop.pids() == before


def test_s3_a_broker_that_is_down_is_waited_for_and_nothing_is_restarted(shop, intelli_redis_server):
    server = intelli_redis_server(start=False)
    shop.environment["SHOP_BROKER"] = server.url()
    shop.start()
    shop.wait_until(lambda: "broker down" in shop.output)
    server.start()
    shop.wait_ready()
    assert all(unit["starts"] == 1 for unit in shop.record["units"])


def test_a_broker_that_goes_and_comes_back_costs_no_worker(shop, intelli_redis_server):
    server = intelli_redis_server()
    shop.environment["SHOP_BROKER"] = server.url()
    shop.start("--quiet")
    shop.wait_ready()
    before = shop.pids()
    server.kill()
    shop.wait_until(lambda: "Connection to broker lost" in shop.log("mail"))
    server.restart()
    shop.wait_until(lambda: "consumes mail" in shop.run("workers", "status").stdout)
    assert shop.app().send_task("shop.nap", [0.0], queue="mail").get(timeout=60) == 0.0
    assert shop.pids() == before


def test_a_killed_child_of_a_worker_costs_no_worker(shop):
    shop.start("--quiet", "--queue", "mail")
    shop.wait_ready()
    worker = psutil.Process(shop.pids()["mail"])
    for child in worker.children():
        child.kill()
    assert shop.app().send_task("shop.nap", [0.0], queue="mail").get(timeout=60) == 0.0
    assert shop.pids()["mail"] == worker.pid


def test_a_killed_worker_comes_back_and_the_other_never_left(shop):
    shop.start("--quiet")
    shop.wait_ready()
    before = shop.pids()
    psutil.Process(before["mail"]).kill()
    shop.wait_until(lambda: shop.record.get("ready") and shop.pids()["mail"] != before["mail"])
    assert shop.pids()["reports"] == before["reports"]
    assert "killed by SIGKILL, next start in" in shop.output


def test_s7_a_killed_supervisor_takes_everything_with_it_and_blocks_nobody(shop, gone):
    process = shop.start("--quiet")
    shop.wait_ready()
    family = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
    process.kill()
    process.wait()
    assert gone(family, timeout=2)
    shop.start("--quiet")
    shop.wait_until(lambda: shop.record["supervisor"]["pid"] == shop.started[1].pid and shop.record["ready"])


def test_detached_workers_restart_one_by_one_scale_and_stop(shop):
    detached = shop.run("start-workers", "--detach")
    assert detached.returncode == 0, detached.stdout + detached.stderr
    first = shop.pids()
    assert set(first) == {"mail", "reports"}
    assert shop.run("workers", "status").returncode == 0

    count, unserved = keep_sending(shop), keep_asking(shop, {"mail", "reports"})
    restarted = shop.run("restart-workers")
    assert restarted.returncode == 0, restarted.stdout
    assert count() > 20
    rounds = unserved()
    assert len(rounds) > 20
    assert not any(rounds), "a queue had no consumer for a moment"
    log = (shop.folder / ".intelli-ops" / "workers" / "logs" / "supervisor.log").read_text()
    for profile in first:
        assert log.index(f"ready     {profile}-2 ") < log.index(f"stopping  {profile} ")
    assert not set(first.values()) & set(shop.pids().values())

    assert shop.run("workers", "scale", "reports=2").returncode == 0
    status = json.loads(shop.run("workers", "status", "--json").stdout)
    assert [unit["profile"] for unit in status["workers"]].count("reports") == 2
    assert "ready." in shop.run("workers", "logs").stdout

    stopped = shop.run("stop-workers")
    assert stopped.returncode == 0, stopped.stdout
    assert shop.run("workers", "status").returncode == 1
    assert not [pid for pid in shop.pids().values() if pid and runs(pid)]


def keep_sending(shop):
    """Send a task every few milliseconds; the answer is how many, after each has come back."""
    app, sent, done = shop.app(), [], threading.Event()

    def send():
        while not done.is_set():
            sent.append(app.send_task("shop.nap", [0.0], queue="mail"))
            done.wait(0.05)

    thread = threading.Thread(target=send)
    thread.start()

    def count():
        done.set()
        thread.join()
        return sum(result.get(timeout=20) == 0.0 for result in sent)

    return count


def keep_asking(shop, queues):
    """Ask for consumers again and again; the answer is, for every round, which of `queues` had none."""
    layout, rounds, done = Layout.of(Dsn(shop.environment["SHOP_BROKER"])), [], threading.Event()

    def ask():
        while not done.is_set():
            rounds.append(queues - fleet.gather(layout, 5, declared=True).queues)

    thread = threading.Thread(target=ask)
    thread.start()

    def unserved():
        done.set()
        thread.join()
        return rounds

    return unserved


def test_s6_a_hang_up_without_a_terminal_replaces_the_workers(shop):
    process = shop.start("--quiet")
    shop.wait_ready()
    before = set(shop.pids().values())
    process.send_signal(signal.SIGHUP)
    shop.wait_until(lambda: shop.record.get("ready") and not before & set(shop.pids().values()))
    assert process.poll() is None


def test_a_crash_loop_of_one_worker_leaves_the_others_and_decides_the_exit_code(shop):
    bad = shop.config + '[workers.bad]\nqueues = ["bad"]\noptions = ["--no-such-option"]\n'
    (shop.folder / "intelli-ops.toml").write_text(bad)
    process = shop.start("--quiet")
    shop.wait_until(lambda: "fatal     bad" in shop.output, timeout=90)
    assert "No such option" in shop.output
    expected = {"mail": "ready", "reports": "ready", "bad": "fatal"}  # the record is written after the line
    shop.wait_until(lambda: {unit["name"]: unit["phase"] for unit in shop.record["units"]} == expected)
    process.terminate()
    assert process.wait(30) == 2


def test_no_password_reaches_a_command_line(shop, intelli_redis_server):
    server = intelli_redis_server(password="CANARY-in-argv")
    shop.environment |= {"SHOP_BROKER": server.url(), "INTELLI_OPS_BROKER": server.url()}
    process = shop.start()
    shop.wait_ready()
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    assert len(family) >= 4
    assert "CANARY" not in " ".join(word for one in family for word in one.cmdline())
    assert "CANARY" not in shop.output


def test_a_broker_behind_tls_that_only_the_settings_tell_is_asked_all_the_same(
    shop, intelli_redis_server, intelli_certificates
):
    server = intelli_redis_server(certificates=intelli_certificates)
    shop.environment |= {
        "SHOP_BROKER": server.url().partition("?")[0].replace("rediss://", "redis://"),
        "AUTHORITY": str(intelli_certificates.authority),
    }
    project = shop.folder / "shop.py"
    settings = 'app.conf.broker_use_ssl = {"ssl_cert_reqs": 2, "ssl_ca_certs": os.environ["AUTHORITY"]}'
    project.write_text(project.read_text().replace(', backend=os.environ["SHOP_BROKER"]', "") + settings)
    assert shop.run("start-workers", "--detach").returncode == 0
    assert "consumes mail" in shop.run("workers", "status").stdout
    assert shop.run("stop-workers").returncode == 0


def test_autoreload_replaces_the_workers_when_code_changes_and_only_then(shop):
    shop.start("--autoreload", "--queue", "mail")
    shop.wait_ready()
    before = shop.pids()["mail"]
    (shop.folder / "notes.txt").write_text("not code")
    project = shop.folder / "shop.py"
    project.write_text(project.read_text().replace("return seconds", "return -seconds"))
    shop.wait_until(lambda: shop.record.get("ready") and before not in shop.pids().values())
    assert "shop.py changed" in shop.output
    assert "notes.txt" not in shop.output
    assert shop.app().send_task("shop.nap", [0.5], queue="mail").get(timeout=20) == -0.5


def test_the_scheduler_runs_beside_the_workers(shop):
    project = shop.folder / "shop.py"
    beat = 'app.conf.beat_schedule = {"often": {"task": "shop.nap", "schedule": 1.0, "args": [0.0]}}'
    project.write_text(f"{project.read_text()}\n{beat}\n")
    shop.start("--beat")
    shop.wait_ready()
    assert set(shop.pids()) == {"mail", "reports", "beat"}
    shop.wait_until(lambda: "shop.nap" in shop.output and "succeeded" in shop.output)
    assert not (shop.folder / "celerybeat.pid").exists()


def test_one_worker_for_all_and_another_pool(shop):
    shop.start("--single", "--pool", "solo")
    shop.wait_ready()
    assert set(shop.pids()) == {"worker"}
    assert "pool      solo (asked for)" in shop.output
    for queue in ("mail", "reports"):
        assert shop.app().send_task("shop.nap", [0.0], queue=queue).get(timeout=20) == 0.0


def test_a_project_that_does_not_import_is_named_with_its_line(shop):
    (shop.folder / "shop.py").write_text("import os\nimport no_such_module\n")
    (shop.folder / "intelli-ops.toml").write_text('app = "shop"\n')
    ran = shop.run("start-workers")
    assert ran.returncode == 2
    assert "no_such_module" in ran.stderr
    assert "shop.py:2" in ran.stderr
