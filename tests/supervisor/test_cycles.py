"""Started and stopped again and again: no orphan, no lost task, no stale state.

INTELLI_OPS_CYCLES=50 makes it the full count.
"""

import os
import sys

import psutil
import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals; Windows has its own tests")

CYCLES = int(os.environ.get("INTELLI_OPS_CYCLES", "4"))
SECONDS_EACH = 60


def here(folder):
    """Every process that works in `folder`."""
    return [
        process
        for process in psutil.process_iter(["cwd", "status"])
        if process.info["cwd"] == str(folder) and process.info["status"] != psutil.STATUS_ZOMBIE
    ]


def done(sent):
    """Wait until every task has been done."""
    assert [result.get(timeout=30) for result in sent] == [0.05] * len(sent)


@pytest.mark.timeout(CYCLES * SECONDS_EACH + 60)
def test_cycles_leave_no_orphan_no_lost_task_and_no_stale_state(shop, gone):
    sent = []
    for number in range(CYCLES):
        started = shop.run("start-workers", "--detach")
        assert started.returncode == 0, started.stdout + started.stderr
        if number % 4 == 3:  # the supervisor is killed; what it leaves must not hinder the next start
            done(sent)  # what a killed worker had fetched comes back after the visibility timeout only: an hour
            psutil.Process(shop.record["supervisor"]["pid"]).kill()
            assert gone([process.pid for process in here(shop.folder)], timeout=5)
            continue
        sent += [shop.app().send_task("shop.nap", [0.05], queue=queue) for queue in ("mail", "reports") * 5]
        stopped = shop.run("stop-workers")
        assert stopped.returncode == 0, stopped.stdout + stopped.stderr
        assert here(shop.folder) == []
        assert shop.record == {"units": []}
    assert shop.run("start-workers", "--detach").returncode == 0
    done(sent)
    assert shop.run("stop-workers").returncode == 0
    state = shop.folder / ".intelli-ops" / "workers"
    left = {path.name for path in state.iterdir()} - {"logs", "requests", "workers.lock"}
    assert left == set()
    assert list((state / "requests").iterdir()) == []
