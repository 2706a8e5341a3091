"""The relay project with a worker and a web server, one thing broken, and its job followed."""

from __future__ import annotations

from typing import Any

import pytest
from tests.integration.channels.harness import RELAY
from tests.integration.websocket.conftest import relay

from intelli_checks.model import Result
from intelli_fixtures.workers import Workers

__all__ = ["relay"]

FLOW = {
    "path": "/orders",
    "json": {"tag": "{tag}"},
    "id": "order.number",
    "status_path": "/orders/{id}",
    "status": "state",
    "waiting": ["new"],
    "succeeded": ["shipped"],
    "failed": ["lost"],
    "error": "problem",
    "artifact": "receipt",
    "websocket": "/live/orders/{id}/live?token=sesame",
    "event_name": "state",
    "terminal": ["shipped"],
    "cleanup": {"method": "DELETE", "path": "/orders/{id}"},
    "timeout": 8,
}


@pytest.fixture
def follow(relay: Any, tmp_path: Any) -> Any:
    """Start worker and server with a fault each (or in both), and follow one order."""
    workers = Workers(tmp_path)

    def run(fault: str = "", *, web: Any = None, worker: Any = None, **flow: Any) -> dict[str, Result]:
        env = relay.env(**{"fault": fault, **(worker or {})})
        workers.start(RELAY, relay.redis.url(0), ["orders"], app="relay", env=env)
        url = relay.serve(**{"fault": fault, **(web or {})})
        return relay.check("flow.job", web=url, websocket=None, flow={**FLOW, **flow}, timeout=60.0)

    yield run
    workers.stop()
