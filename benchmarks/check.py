"""What `intelli-ops check` costs: beside `celery inspect ping`, by number of workers, by length of a queue.

python benchmarks/check.py [--rounds 9] [--workers 1,3,10,30] [--messages 1000000] [inspect messages workers]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from common import Run, celery, clean_environment, measure, ms, paired, reference_system, show, tool

from intelli_checks.dsn import Dsn
from intelli_checks.fleet import WorkerProfile
from intelli_checks.probes import fleet, queues
from intelli_checks.probes.layout import Layout
from intelli_checks.probes.resp import Connection
from intelli_fixtures import engines
from intelli_fixtures.redis_servers import RedisServer
from intelli_fixtures.workers import Workers

APP = """
import os
from celery import Celery
app = Celery("idle", broker=os.environ["CELERY_BROKER_URL"])

@app.task
def work(number):
    return number
"""
FILL = """
for _ = 1, tonumber(ARGV[2]) do redis.call('RPUSH', KEYS[1], ARGV[1]) end
redis.call('SADD', '_kombu.binding.' .. KEYS[1], KEYS[1] .. '\\6\\22\\6\\22' .. KEYS[1])
"""
IDLE = WorkerProfile("idle", ("work",), concurrency=1, prefetch=1, pool="solo")
STEP = 50_000
COLD = (0, 1)
"""A queue that nobody consumes is a failure, and the check must say so: exit code 1 is the right answer."""


def against_inspect(rounds: int) -> None:
    """All that `check celery` asks beside the one thing that `inspect ping` tells."""
    with reference_system() as system:

        def run(*argv: str) -> Run:
            return measure(argv, cwd=system.backend, env=system.environment)

        medians = paired(
            rounds,
            everything=lambda: run(*tool(), "check", "-q"),
            ours=lambda: run(*tool(), "check", "celery", "-q"),
            theirs=lambda: run(*celery(), "-A", "config", "inspect", "ping"),
        )
    theirs = medians["theirs"].wall
    names = {
        "ours": "`intelli-ops check celery`",
        "everything": "`intelli-ops check`",
        "theirs": "`celery -A config inspect ping`",
    }
    rows = [
        (name, ms(medians[key].wall), ms(medians[key].cpu), f"{medians[key].wall / theirs:.2f}")
        for key, name in names.items()
    ]
    note = f"Reference system, healthy, three workers; medians of {rounds} whole processes each, in turns."
    show("A whole check", ("command", "wall", "processor", "wall, `inspect ping` = 1"), rows, note)


def by_workers(sizes: list[int], rounds: int) -> None:
    """One round of questions to every worker: ping, stats, queues, running, reserved, registered, configuration."""
    rows = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="intelli-bench-")))
        redis = private_redis(stack, folder)
        (folder / "idle.py").write_text(APP)
        workers = Workers(folder)
        stack.callback(workers.stop)
        env = {**clean_environment(), "CELERY_BROKER_URL": redis.url(0)}
        layout = Layout.of(Dsn(redis.url(0)))
        for size in sizes:
            fresh = [
                workers.start(folder, redis.url(0), IDLE, app="idle", env=env, wait=False)
                for _ in range(size - len(workers.started))
            ]
            for worker in fresh:
                worker.wait_consuming(120)
            seconds = [one.seconds for one in (fleet.gather(layout, 10, declared=True) for _ in range(rounds + 1))][1:]
            walls = [timed(lambda: fleet.gather(layout, 10, declared=True)) for _ in range(rounds)]
            rows.append((size, ms(statistics.median(seconds)), ms(statistics.median(walls)), ms(max(walls))))
    note = f"Idle workers (solo), medians of {rounds} rounds: the questions alone, and with connecting and profiles."
    show("The worker round", ("workers", "round", "all of the probe", "slowest"), rows, note)


def by_messages(many: int, rounds: int) -> None:
    """The same checks, with ten messages waiting and with very many."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="intelli-bench-")))
        redis = private_redis(stack, folder)
        sizes = {10: redis.url(0), many: redis.url(1)}
        for size, url in sizes.items():
            fill(redis, url, size)

        def run(url: str) -> Run:
            env = {**clean_environment(), "INTELLI_OPS_BROKER": url}
            return measure((*tool(), "check", "celery", "-q"), cwd=folder, env=env, codes=COLD)

        medians = paired(rounds, few=lambda: run(sizes[10]), many=lambda: run(sizes[many]))
        probes = {
            size: statistics.median(timed(lambda url=url: look(url)) for _ in range(rounds))
            for size, url in sizes.items()
        }
    rows = [
        (f"{size:,}", ms(probes[size]), ms(medians[name].wall), ms(medians[name].cpu))
        for size, name in ((10, "few"), (many, "many"))
    ]
    note = f"A queue nobody consumes, no project (`--broker`); medians of {rounds}, in turns."
    show("A long queue", ("messages", "the probe of queues", "`check celery`, wall", "processor"), rows, note)


def look(url: str) -> None:
    """What the probe of queues asks."""
    dsn = Dsn(url)
    with Connection.open(dsn, 10) as connection:
        queues.gather(connection, Layout.of(dsn), ["work"])


def timed(call: object) -> float:
    """Seconds that `call()` takes."""
    began = time.perf_counter()
    call()  # type: ignore[operator]
    return time.perf_counter() - began


def private_redis(stack: ExitStack, folder: Path) -> RedisServer:
    """A Redis of our own, without persistence: what is measured is the looking."""
    (folder / "redis").mkdir()
    redis = RedisServer(engines.find(os.environ.get("INTELLI_OPS_TEST_REDIS", "auto")), folder / "redis")
    stack.callback(redis.stop)
    return redis.start()


def fill(redis: RedisServer, url: str, count: int) -> None:
    """Leave `count` real messages in the queue `work`; they are copies of one, made inside Redis."""
    from celery import Celery
    from kombu import Queue

    app = Celery("idle", broker=url, set_as_current=False)
    app.conf.task_queues = [Queue("work")]
    app.send_task("idle.work", args=[1], queue="work")
    app.close()
    with redis.client(int(url.rpartition("/")[2]), socket_timeout=60) as client:
        message = client.lindex("work", 0)
        left = count - 1
        while left > 0:
            client.eval(FILL, 1, "work", message, min(left, STEP))
            left -= STEP
        if client.llen("work") != count:
            raise RuntimeError(f"the queue holds {client.llen('work')} messages instead of {count}")


def main() -> None:
    """Measure, print three tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--workers", default="1,3,10,30")
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("parts", nargs="*", default=["inspect", "messages", "workers"])
    options = parser.parse_args()
    if "inspect" in options.parts:
        against_inspect(options.rounds)
    if "messages" in options.parts:
        by_messages(options.messages, options.rounds)
    if "workers" in options.parts:
        by_workers([int(size) for size in options.workers.split(",")], options.rounds)


if __name__ == "__main__":
    main()
