"""A Celery project of our own on a Redis of our own, with real workers, and the checks pointed at it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from intelli_checks.context import Context
from intelli_checks.dsn import Dsn
from intelli_checks.model import Outcome, Result
from intelli_checks.probes import workers as probe
from intelli_checks.probes.layout import Layout
from intelli_checks.probes.resp import Connection, DialError
from intelli_checks.probes.survey import QueueDecl, Survey, TaskDecl
from intelli_checks.registry import registry
from intelli_checks.runner import diagnose
from intelli_checks.target import Place, Target
from intelli_fixtures.processes import Child, until
from intelli_fixtures.redis_servers import RedisServer

APP = """
import os, signal, time
if ahead := float(os.environ.get("CLOCK_AHEAD", "0")):  # before Celery takes its own references to time.time
    real = time.time
    time.time = lambda: real() + ahead
time.sleep(float(os.environ.get("SLOW_IMPORT", "0")))
from celery import Celery
from celery.signals import worker_process_init

app = Celery("shop", broker=os.environ["BROKER"], backend=os.environ.get("RESULTS") or os.environ["BROKER"])
app.conf.update(eval(os.environ.get("CONF", "{}")))

@worker_process_init.connect
def slow_start(**_):
    time.sleep(float(os.environ.get("SLOW_START", "0")))

@app.task(acks_late=True)
def nap(seconds):
    time.sleep(seconds)

@app.task
def early_nap(seconds):
    time.sleep(seconds)

@app.task(acks_late=True, reject_on_worker_lost=True)
def die():
    os.kill(os.getpid(), signal.SIGKILL)

@app.task
def noop(*args):
    return 1

@app.task
def nan():
    return {"v": float("nan")}
"""
FAMILIES = "intelli_checks.families."
RUNTIME = {
    f"celery_{name}"
    for name in ("workers", "pools", "queues", "delivery", "tasks", "skew", "earlier", "canary", "results", "beat")
}
"""The families that ask workers and queues; what the project declares is judged by others."""
TASKS = ("shop.nap", "shop.early_nap", "shop.noop", "shop.die")
READY_SECONDS = 40.0


class Lab:
    """One project: its Redis, its workers, and what the checks say about them."""

    def __init__(self, redis: RedisServer, folder: Path) -> None:
        self.redis, self.folder, self.url = redis, folder, redis.url(0)
        self.children: list[Child] = []
        self.conf: dict[str, Any] = {}
        (folder / "shop.py").write_text(APP)

    def env(self, **changed: str) -> dict[str, str]:
        return {"BROKER": self.url, "CONF": repr(self.conf), "PYTHONDONTWRITEBYTECODE": "1", **changed}

    def run(self, name: str, *arguments: str, **env: str) -> Child:
        """Start one of Celery's programs and do not wait for it."""
        argv = [sys.executable, "-m", "celery", "-A", "shop", *arguments]
        log = self.folder / f"{name}-{len(self.children)}.log"
        child = Child(argv, log=log, cwd=self.folder, env=self.env(**env), name=name)
        self.children.append(child)
        return child

    def worker(self, name: str, *options: str, queues: str = "ai", wait: bool = True, **env: str) -> Child:
        """Start a worker called `name`; return when it answers and says that it consumes."""
        child = self.run(
            name, "worker", "-n", f"{name}@lab", "-Q", queues, "--without-gossip", "--without-mingle", *options, **env
        )
        if wait:
            child.wait_until(lambda: self.answers(f"{name}@lab"), READY_SECONDS, "answering")
        return child

    def layout(self, url: str | None = None) -> Layout:
        return Layout.of(Dsn(url or self.url), self.conf)

    def fleet(self) -> probe.WorkerFleet:
        with Connection.open(Dsn(self.url), 5.0) as connection:
            return probe.gather(connection, self.layout(), 1.0)

    def answers(self, node: str) -> bool:
        with contextlib.suppress(DialError):
            return any(found.name == node and found.queues for found in self.fleet().nodes)
        return False

    def app(self, backend: str | None = None) -> Any:
        from celery import Celery

        app = Celery("shop", broker=self.url, backend=backend or self.url, set_as_current=False)
        app.conf.update(self.conf)
        return app

    def send(self, task: str, *args: object, queue: str = "ai", times: int = 1, **options: Any) -> list[str]:
        """Publish as a producer of the project would; returns the ids."""
        app = self.app(backend="disabled://")  # a forgotten AsyncResult would wait for a Redis that is gone
        try:
            sent = [app.send_task(f"shop.{task}", args, queue=queue, **options) for _ in range(times)]
            return [str(result.id) for result in sent]
        finally:
            app.close()

    def redis_client(self, database: int = 0) -> Any:
        return self.redis.client(database)

    def oldest_unacked(self) -> float:
        """Seconds since the oldest unacknowledged message was delivered."""
        client = self.redis_client()
        scores = [score for _, score in client.zrange("unacked_index", 0, 0, withscores=True)]
        return float(client.time()[0] - min(scores, default=client.time()[0]))

    def wait(self, predicate: Callable[[], object], what: str, timeout: float = 20.0) -> None:
        until(predicate, timeout, what)

    def active(self, number: int) -> None:
        """Wait until `number` tasks run."""
        self.wait(lambda: sum(len(node.active) for node in self.fleet().nodes) >= number, f"{number} running tasks")

    def survey(self, *queues: str, tasks: tuple[str, ...] = TASKS, **more: Any) -> Survey:
        """What the project would declare, each task routed to the first queue."""
        return Survey(
            "here",
            project=str(self.folder),
            celery_app="shop",
            broker=Dsn(self.url),
            results=None if "result_backend" in self.conf else Dsn(self.url),
            conf=self.conf,
            queues=tuple(QueueDecl(name) for name in queues),
            tasks=tuple(
                TaskDecl(name, queue=queues[0] if queues else "celery", acks_late=name in {"shop.nap", "shop.die"})
                for name in tasks
            ),
            **more,
        )

    def context(self, survey: Survey | None = None, **target: Any) -> Context:
        """A context of this project; with a survey it needs no `--broker`."""
        if survey is None:
            return Context(Target(self.folder, broker=Dsn(self.url), timeout=20.0, **target))
        ctx = Context(Target(self.folder, places=(Place("here", (sys.executable,)),), timeout=20.0, **target))
        told: Future[Any] = Future()
        told.set_result({"here": survey})
        ctx.gathered["surveys"] = told
        return ctx

    def check(self, *ids: str, survey: Survey | None = None) -> dict[str, Result]:
        """Run the checks of the running system (or those given) and return their results by id."""
        registry.load()
        mine = [check.id for check in registry if check.run.__module__.removeprefix(FAMILIES) in RUNTIME]
        report = diagnose(registry.select(ids or mine), self.context(survey))
        return {result.check.id: result for result in report.results}

    def stop(self) -> None:
        for child in self.children:
            child.kill()


@pytest.fixture
def lab(intelli_redis_server: Callable[..., RedisServer], tmp_path: Path) -> Iterator[Lab]:
    """A project without workers yet, on a Redis nobody else uses."""
    laboratory = Lab(intelli_redis_server(engine="local"), tmp_path)
    yield laboratory
    laboratory.stop()


@pytest.fixture
def durable(intelli_redis_server: Callable[..., RedisServer], tmp_path: Path) -> Iterator[Lab]:
    """The same on a Redis that keeps every message over a restart."""
    config = {"appendonly": "yes", "appendfsync": "always"}
    laboratory = Lab(intelli_redis_server(engine="local", config=config), tmp_path)
    yield laboratory
    laboratory.stop()


def told(result: Result) -> str:
    """Everything a result says, for assertions that explain themselves."""
    return "; ".join(f"{f.severity.name} [{f.subject}] {f.message}" for f in result.findings) or str(result.reason)


def failing(results: dict[str, Result]) -> dict[str, str]:
    """The checks that failed or broke, in order, with what they say."""
    bad = {Outcome.FAILED, Outcome.ERRORED}
    return {id_: told(result) for id_, result in results.items() if result.outcome in bad}


@pytest.fixture(name="failing")
def failing_fixture() -> Callable[[dict[str, Result]], dict[str, str]]:
    return failing


@pytest.fixture(name="told")
def told_fixture() -> Callable[[Result], str]:
    return told
