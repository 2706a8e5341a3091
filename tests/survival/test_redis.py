"""J7 to J12, J18: Redis dies, freezes, fills up or cannot save, and the network to it breaks."""

import contextlib

import pytest
from stack import PROFILES, TERMINAL

from intelli_fixtures.processes import until
from intelli_fixtures.proxy import proxy

MEMORY_ONLY, APPEND_ONLY = {}, {"appendonly": "yes", "appendfsync": "everysec"}
QUICK_SECONDS = 5.0  # longest answer of the API, whatever Redis does
FROZEN_SECONDS, RECOVERED_SECONDS = 30.0, 30.0
FAULT_SECONDS = 20.0  # longer than every timeout of the backend: each of them strikes


def post_quickly(stack, image, count=3):
    for _ in range(count):
        took, _job = stack.timed(lambda: stack.submit([image], ["describe"]))
        assert took < QUICK_SECONDS


@pytest.mark.parametrize("redis_config", [MEMORY_ONLY, APPEND_ONLY], ids=["j7-memory-only", "j8-append-only"])
def test_a_killed_redis_costs_no_queued_job(stack, image, redis_config):
    stack.serve()
    for _ in range(20):
        stack.submit([image] * 3, ["describe"])
    assert stack.redis.command("LLEN", "ingestion_io")  # not exactly 60: what was not published in time is the sweep's
    stack.redis.command("SET", "remembered", "yes")
    stack.redis.restart()
    assert stack.redis.command("EXISTS", "remembered") == (redis_config == APPEND_ONLY)
    stack.worker()
    stack.all_succeeded()
    assert {task["attempt"] for job in stack.all_finished() for task in job["tasks"]} == {1}


def test_j9_a_frozen_redis_delays_nothing_but_the_work(stack, image):
    stack.serve()
    worker = stack.worker()
    stack.redis.freeze()
    try:
        post_quickly(stack, image)
        stack.hold(FROZEN_SECONDS)
        post_quickly(stack, image, count=1)
    finally:
        stack.redis.thaw()
    took, _ = stack.timed(stack.all_succeeded)
    assert took < RECOVERED_SECONDS
    assert worker.child.returncode is None


def cut(link):
    link.down()
    return link.up


def black_hole(link):
    link.add("timeout", timeout=0)
    link.add("timeout", stream="upstream", timeout=0)
    return link.clear


def reset(link):
    link.add("reset_peer", timeout=0)
    return link.clear


@contextlib.contextmanager
def network(stack):
    """The way of every process of the stack to its Redis; the test itself still goes the direct one."""
    with proxy(stack.redis.port) as link:
        for name in ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "REDIS_URL"):
            stack.env[name] = link.redirect(stack.env[name])
        yield link


@pytest.mark.parametrize("fault", [cut, black_hole, reset])
def test_j10_a_broken_network_to_redis(stack, image, fault):
    with network(stack) as link:
        stack.serve()
        worker = stack.worker()
        mend = fault(link)
        post_quickly(stack, image)
        # Nothing to wait for in the log: kombu, and redis-py with its own retries, may reconnect without a word.
        stack.hold(FAULT_SECONDS)
        post_quickly(stack, image, count=1)
        mend()
        stack.all_succeeded(90)
        assert worker.child.returncode is None
        stack.assert_invariants()


def test_j10_a_silent_connection_is_replaced(stack, record_property):
    """With kombu's default of 25 s between two health checks it takes 51 s."""
    with network(stack) as link:
        stack.worker()
        before = link.connections
        black_hole(link)
        took, _ = stack.timed(lambda: until(lambda: link.connections > before, 40, "a new connection"))
    record_property("replaced after, seconds", round(took, 1))


def test_j11_a_redis_without_memory(stack, image):
    stack.serve()
    stack.worker()
    stack.redis.command("CONFIG", "SET", "maxmemory", "1")
    post_quickly(stack, image)
    stack.redis.command("CONFIG", "SET", "maxmemory", "0")
    until(stack.redis.answers, 5, "Redis")
    all_succeed_supervised(stack)


def test_j12_a_redis_that_cannot_save(stack, image):
    """Redis refuses writes after a failed save, which ends a Celery worker; its supervisor starts it again."""
    stack.serve()
    stack.worker()
    stack.redis.command("CONFIG", "SET", "save", "1 1")
    (stack.redis.folder / "data" / "dump.rdb").mkdir()  # no file can take the place of a folder
    stack.redis.command("SET", "changed", "1")
    until(lambda: "rdb_last_bgsave_status:err" in persistence(stack), 20, "a failed save")
    post_quickly(stack, image)
    stack.redis.command("CONFIG", "SET", "save", "")
    all_succeed_supervised(stack)


def persistence(stack):
    with stack.redis.client() as client:
        return "".join(f"{key}:{value}\n" for key, value in client.info("persistence").items())


def all_succeed_supervised(stack):
    """Play the supervisor meanwhile: a worker that ends is started again, and it may end after Redis has recovered."""

    def ended():
        if all(worker.child.returncode is not None for worker in stack.workers.started):
            stack.worker()
        return all(stack.job(job_id)["status"] in TERMINAL for job_id in stack.submitted)

    until(ended, 90, lambda: f"all ended; {stack.workers.started[-1].child.tail()}")
    stack.all_succeeded()


def test_j18_a_web_process_that_dies_between_commit_and_publish(stack, image):
    stack.env["DJANGO_SETTINGS_MODULE"] = "crashing"
    stack.serve()
    with pytest.raises(Exception, match=r"."):
        stack.post([image], ["describe"])
    assert stack.live.child.wait(10) == 70
    (row,) = stack.rows("SELECT status FROM jobs_job")
    assert row["status"] == "queued"
    assert stack.redis.command("LLEN", "ingestion_io") == 0
    stack.env["DJANGO_SETTINGS_MODULE"] = "config.settings.development"
    stack.serve()
    stack.request("GET", "/health/live")
    stack.worker(PROFILES["ingestion_io"])
    stack.worker(PROFILES["ai"])
    stack.wait_for_row("SELECT 1 FROM jobs_job WHERE status = 'succeeded'")
