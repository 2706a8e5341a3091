"""States of workers written down by hand, and what a check says about them."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from typing import Any

from intelli_checks.context import Context
from intelli_checks.dsn import Dsn
from intelli_checks.probes.clients import Client
from intelli_checks.probes.earlier import Roll
from intelli_checks.probes.layout import Layout
from intelli_checks.probes.nodes import Node, Request
from intelli_checks.probes.queues import QueueDepths
from intelli_checks.probes.survey import Survey, TaskDecl
from intelli_checks.probes.watch import Look, watch
from intelli_checks.probes.workers import WorkerFleet
from intelli_checks.registry import registry
from intelli_checks.target import Place, Target

NOW = 1_000_000.0
CONSUMER = Client("10.0.0.1:5", 0, "brpop", blocked=True, idle=0, age=60)


def node(**more: Any) -> Node:
    usual = {"pid": 1, "pool": "prefork", "concurrency": 1, "prefetch": 4, "uptime": 600.0, "queues": ("ai",)}
    return Node("w@h", **{**usual, **more})


def context(*nodes: Node, depths: QueueDepths | None = None, survey: Survey | None = None, **facts: Any) -> Context:
    """A context whose facts are already gathered: nothing is asked."""
    places = (Place("here", ("python",)),) if survey else ()
    ctx = Context(Target(Path(), places, broker=Dsn("redis://h/0")))
    fleet = facts.pop("fleet", None) or WorkerFleet(len(nodes), nodes, clients=(CONSUMER,) * len(nodes), taken=NOW)
    depths = depths or QueueDepths(taken=NOW)
    known = {
        "surveys": {"here": survey},
        "layout": Layout(Dsn("redis://h/0")),
        "fleet": fleet,
        "depths": depths,
        "watch": watch(Look(fleet, depths), lambda: Look(fleet, depths), frozenset(), 0.7),
        "pools": {},
        "canaries": (),
        "earlier": Roll(),
        **facts,
    }
    for name, value in known.items():
        told: Future[Any] = Future()
        told.set_result(value)
        ctx.gathered[name] = told
    return ctx


def ask(id_: str, ctx: Context) -> list[str]:
    registry.load()
    return [f"{found.severity.name}: {found.message}" for found in registry[id_].run(ctx)]


def running(seconds: float, **more: Any) -> Request:
    return Request("1", "shop.nap", queue="ai", started=NOW - seconds, pid=7, **more)


def sent_here(**conf: object) -> Survey:
    return Survey("here", conf=conf, tasks=(TaskDecl("shop.tasks.nap", queue="celery"),))
