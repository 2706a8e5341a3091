"""The promise under random faults and a steady load, and what Celery alone keeps of it under the same ones.

Each job is two tasks. One worker and one web process are hit again and again; their twins are spared, so that their
memory can be watched for the whole time.
"""

import statistics
import uuid
from collections import Counter
from pathlib import Path

import pytest
from load import Again, Load, Memory
from mischief import Mischief
from stack import ALL, BACKEND, Stack
from system_fixtures import both_databases

from intelli_checks.fleet import WorkerProfile
from intelli_fixtures.processes import free_port, until

pytestmark = pytest.mark.timeout(0)
BARE = Path(__file__).parent / "bare"
BETWEEN_JOBS_SECONDS = 1.0
DRAIN_SECONDS = 240
IDLE_SECONDS = 60  # three visibility timeouts of the bare workers
GROWTH, GROWTH_MEGABYTES = 1.1, 15


@both_databases
def test_nothing_is_lost_and_nothing_done_twice(ground, starters, database, tmp_path, intelli_images):
    stack = Stack(ground.redis, starters, database, tmp_path)
    for name in ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "REDIS_URL"):
        stack.env[name] = ground.through(stack.env[name])
    stack.serve()
    port = free_port()
    mischief = Mischief(
        ground,
        lambda: starters.workers.start(BACKEND, ground.redis.url(0), ALL, env=stack.env, wait=False),
        lambda: starters.servers.start(BACKEND, env=stack.env, port=port),
    )
    load = Load(stack, intelli_images.odd["one-row"], (stack.live.url, mischief.web.url))
    memory = Memory(lambda: {"web": stack.live.child.pid, "worker": mischief.spared.child.pid})
    threads = [Again(load.submit, BETWEEN_JOBS_SECONDS), Again(load.follow, 0.1), Again(memory.sample, 2.0)]
    mischief.run()
    for thread in threads:
        thread.stop()
    until(lambda: not unfinished(stack), DRAIN_SECONDS, lambda: f"{unfinished(stack)} jobs left", poll=1)
    statuses = Counter(row["status"] for row in stack.rows("SELECT status FROM jobs_job"))
    levels = memory.levels()
    show(
        faults=dict(sorted(mischief.done.items())),
        workers_that_ended_by_themselves=mischief.gave_up,
        accepted=len(stack.submitted),
        ended=dict(statuses),
        tasks_started_more_than_once=stack.rows("SELECT COUNT(*) AS n FROM jobs_imagetask WHERE attempt > 1")[0]["n"],
        post=f"median {statistics.median(load.posts):.2f} s, slowest {max(load.posts):.2f} s",
        followed_over_the_websocket=f"{load.followed}, {load.reconnections} reconnections",
        memory={name: f"{before:.0f} then {after:.0f} MB" for name, (before, after) in levels.items()},
    )
    stack.assert_invariants()
    assert set(statuses) == {"succeeded"}
    for name, (before, after) in levels.items():
        assert after < before * GROWTH + GROWTH_MEGABYTES, f"{name} grew from {before:.0f} to {after:.0f} MB"


def unfinished(stack):
    return stack.rows("SELECT COUNT(*) AS n FROM jobs_job WHERE finished_at IS NULL")[0]["n"]


def show(**figures):
    """What is pasted into docs/reliability.md; the session runs with `-s`."""
    lines = [f"{name.replace('_', ' ')}: {value}" for name, value in figures.items()]
    print("", *lines, sep="\n", flush=True)  # noqa: T201


def test_what_celery_alone_keeps(ground, starters, tmp_path, monkeypatch):
    """Celery promises none of it, so nothing can fail but the counting: its figures stand beside ours in the docs."""
    record = tmp_path / "record"
    record.touch()
    env = {"BROKER": ground.through(ground.redis.url(0)), "RECORD": str(record)}
    monkeypatch.setenv("BROKER", env["BROKER"])
    import bare

    profile = WorkerProfile("bare", ("celery",), concurrency=2, prefetch=1)

    def start_worker():
        return starters.workers.start(BARE, ground.redis.url(0), profile, app="bare", env=env, wait=False)

    accepted, refused = [], []

    def submit():
        job_id = str(uuid.uuid4())
        try:
            bare.submit(job_id)
        except Exception as error:  # noqa: BLE001  the caller knows, so this one is not lost
            refused.append(error)
        else:
            accepted.append(job_id)

    mischief, load = Mischief(ground, start_worker, None), Again(submit, BETWEEN_JOBS_SECONDS)
    mischief.run()
    load.stop()
    settled(record)
    counted = Counter(record.read_text().splitlines())
    done = {line.split()[2] for line in counted if line.startswith("end describe")}
    show(
        faults=dict(sorted(mischief.done.items())),
        workers_that_ended_by_themselves=mischief.gave_up,
        accepted=len(accepted),
        refused=len(refused),
        lost=len(set(accepted) - done),
        tasks_started_more_than_once=sum(n > 1 for line, n in counted.items() if line.startswith("start")),
        tasks_finished_more_than_once=sum(n > 1 for line, n in counted.items() if line.startswith("end")),
    )
    bare.app.close()
    assert done


def settled(record):
    """Nothing more happens for longer than a redelivery takes."""
    sizes = []

    def quiet():
        sizes.append(record.stat().st_size)
        return len(sizes) > IDLE_SECONDS and sizes[-IDLE_SECONDS] == sizes[-1]

    until(quiet, 10 * IDLE_SECONDS, "idle workers", poll=1)
