"""What becomes of processes that crash, freeze out signals, flood, or lose their supervisor (reliability S1 to S11)."""

import signal
import socket
import sys
from itertools import pairwise

import psutil
import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals; Windows has its own tests")

FAST = {"delays": (0.05, 0.1, 0.2, 0.4)}
REST = "print('here')\nwhile True: time.sleep(60)"
POLITE = f"import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n{REST}"
STUBBORN = f"import signal, time\nfor n in (15, 3): signal.signal(n, signal.SIG_IGN)\n{REST}"
WITH_FAMILY = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {STUBBORN!r}])\n{STUBBORN}"
ORPHANING = f"""
import pathlib, subprocess, sys
orphan = subprocess.Popen([sys.executable, '-c', {STUBBORN!r}])
pathlib.Path('orphan').write_text(str(orphan.pid))
sys.exit(1)
"""


def test_s1_a_crash_loop_ends_in_fatal_with_growing_gaps_and_last_lines(drive):
    noisy = "import sys\nfor n in range(30): print('line', n)\nsys.exit(2)"
    driven = drive({"name": "bad", "code": noisy}, {"name": "good", "code": POLITE})
    fatal = driven.phase("bad", "fatal", timeout=40)
    starts = [event["at"] for event in driven.changes("bad") if event["phase"] == "ready"]
    gaps = [later - earlier for earlier, later in pairwise(starts)]
    assert len(starts) == 5
    assert gaps == sorted(gaps)
    assert gaps[0] >= 1
    assert "ended 5 times within 10 s" in fatal["detail"]
    assert fatal["detail"].splitlines()[1].strip() == "line 10"
    assert fatal["detail"].splitlines()[-1].strip() == "line 29"
    assert driven.changes("good")[-1]["phase"] == "ready"
    driven.process.terminate()
    assert driven.end() == 2
    ended = driven.events[-1]
    assert ended["cpu"] / ended["wall"] < 0.05


def test_a_port_that_is_taken_is_said_and_used_once_it_is_free(drive):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = f"import socket\nkept = socket.create_server(('127.0.0.1', {taken.getsockname()[1]}))\n"
        driven = drive({"name": "web", "code": server + POLITE}, delays=(0.3, 1, 2, 4))
        driven.phase("web", "backoff")
        driven.wait_for_output("Address already in use")
        assert "web | here" not in driven.terminal
    driven.wait_for_output("web | here")
    driven.process.terminate()
    assert driven.end() == 0


def test_s4_terminate_stops_busy_children_warmly_and_in_order(drive):
    busy = POLITE.replace("sys.exit(0)", "(time.sleep(0.5), print('finished'), sys.exit(0))")
    driven = drive({"name": "store", "code": POLITE}, {"name": "worker", "code": busy, "needs": ["store"]})
    driven.wait_for_output("worker | here")
    driven.process.terminate()
    assert driven.end(timeout=12) == 0
    assert "worker | finished" in driven.terminal
    order = [(event["name"], event["phase"]) for event in driven.events if "stop" in event.get("phase", "")]
    assert order == [("worker", "stopping"), ("worker", "stopped"), ("store", "stopping"), ("store", "stopped")]


def test_s5_one_interrupt_is_warm(drive):
    driven = drive({"name": "one", "code": POLITE})
    driven.wait_for_output("one | here")
    driven.process.send_signal(signal.SIGINT)
    assert driven.end() == 0


def test_s5_two_interrupts_are_cold(drive):
    driven = drive({"name": "one", "code": STUBBORN, "patience": 60})
    driven.wait_for_output("one | here")
    driven.process.send_signal(signal.SIGINT)
    driven.phase("one", "stopping")
    driven.process.send_signal(signal.SIGINT)
    assert driven.end(timeout=10) == 130
    assert "Traceback" not in driven.terminal
    assert [event["detail"] for event in driven.changes("one") if event["phase"] == "stopping"] == [
        "warm",
        "cold",
        "kill",
    ]


def test_s7_a_killed_supervisor_leaves_nobody_behind(drive, gone):
    driven = drive({"name": "family", "code": WITH_FAMILY}, {"name": "single", "code": STUBBORN})
    driven.wait_for_output("single | here")
    driven.wait_for_output("family | here")
    family = driven.family
    assert len(family) >= 4  # two services, one grandchild, the guard
    driven.process.kill()
    assert gone(family, timeout=2)


def test_s10_a_child_that_ignores_signals_is_killed_with_its_family(drive, gone):
    driven = drive({"name": "family", "code": WITH_FAMILY, "patience": 0.2})
    driven.wait_for_output("family | here")
    family = driven.family
    driven.process.terminate()
    assert driven.end(timeout=15) == 0
    assert gone(family, timeout=2)


def test_s10_what_a_crashed_child_leaves_is_swept_away(drive, gone, tmp_path):
    driven = drive({"name": "parent", "code": ORPHANING}, delays=[60])
    driven.phase("parent", "backoff")
    assert gone([int((tmp_path / "orphan").read_text())], timeout=2)


def test_s11_a_flood_on_stderr_neither_blocks_nor_grows_for_ever(drive, tmp_path):
    flood = "import os\nline = b'x' * 99 + b'\\n'\nfor _ in range(1000): os.write(2, line * 1000)"
    driven = drive({"name": "flood", "code": flood, "once": True})
    driven.phase("flood", "done", timeout=90)
    assert driven.end() == 0
    kept = list(tmp_path.glob("flood.log*"))
    assert len(kept) == 4
    assert sum(file.stat().st_size for file in kept) <= 4 * 5_000_000


def test_what_needs_another_unit_waits_until_that_is_ready(drive, tmp_path):
    driven = drive({"name": "base", "code": POLITE, "marker": "go"}, {"name": "top", "code": POLITE, "needs": ["base"]})
    driven.wait_for(lambda event: event.get("detail") == "waits for go")
    assert not driven.changes("top")
    (tmp_path / "go").touch()
    driven.phase("top", "ready")


def test_a_failed_job_keeps_what_needs_it_from_starting(drive):
    migrate = {"name": "migrate", "code": "raise SystemExit(3)", "once": True}
    driven = drive(migrate, {"name": "web", "code": POLITE, "needs": ["migrate"]})
    driven.phase("migrate", "fatal")
    driven.process.terminate()
    assert driven.end() == 3
    assert {event["phase"] for event in driven.changes("web")} == {"stopped"}


def test_a_child_that_dies_by_a_signal_is_started_again(drive):
    driven = drive({"name": "one", "code": POLITE}, **FAST)
    first = driven.phase("one", "ready")
    psutil.Process(first["pid"]).kill()
    assert "killed by SIGKILL" in driven.phase("one", "backoff")["detail"]
    second = driven.wait_for(lambda event: event.get("phase") == "ready" and event["pid"] != first["pid"])
    assert second["starts"] == 2


def test_a_password_reaches_neither_terminal_nor_log(drive, tmp_path):
    driven = drive({"name": "one", "code": "print('redis://:planted-password@h/0')", "once": True})
    assert driven.end() == 0
    assert "one | redis://:***@h/0" in driven.terminal
    assert (tmp_path / "one.log").read_text() == "redis://:***@h/0\n"
    assert (tmp_path / "one.log").stat().st_mode & 0o777 == 0o600


def test_s13_a_frozen_child_is_found_unresponsive_and_replaced(drive):
    beating = "import pathlib, time\nwhile True:\n    pathlib.Path('beat').touch()\n    time.sleep(0.05)"
    driven = drive({"name": "one", "code": beating, "heartbeat": "beat"}, **FAST)
    first = driven.phase("one", "ready")
    driven.wait_for_file("beat")
    psutil.Process(first["pid"]).suspend()
    driven.wait_for(lambda event: "unresponsive" in event.get("detail", ""))
    second = driven.wait_for(lambda event: event.get("phase") == "ready" and event["pid"] != first["pid"])
    assert second["starts"] == 2
