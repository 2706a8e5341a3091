"""The relay project with a worker and a web server, one thing broken, and its job followed."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from tests.integration.channels.harness import RELAY
from tests.integration.websocket.conftest import relay

from intelli_checks.model import Result
from intelli_fixtures.workers import Workers

__all__ = ["relay"]

FLOW = tomllib.loads((RELAY / "intelli-ops.toml").read_text())["flow"]


@pytest.fixture
def follow(relay: Any, start: Any) -> Any:
    """Start the system and follow one order."""

    def run(
        fault: str = "", *, web: Any = None, worker: Any = None, limit: float = 60.0, **flow: Any
    ) -> dict[str, Result]:
        url = start(fault, web=web, worker=worker)
        return relay.check("flow.job", web=url, websocket=None, flow={**FLOW, **flow}, timeout=limit)

    return run


@pytest.fixture
def start(relay: Any, tmp_path: Any) -> Any:
    """Start worker and server with a fault each, or in both; tells where the server is."""
    workers = Workers(tmp_path)

    def run(fault: str = "", *, web: Any = None, worker: Any = None) -> str:
        env = relay.env(**{"fault": fault, **(worker or {})})
        workers.start(relay.project, relay.redis.url(0), ["orders"], app="relay", env=env)
        return str(relay.serve(**{"fault": fault, **(web or {})}))

    yield run
    workers.stop()
