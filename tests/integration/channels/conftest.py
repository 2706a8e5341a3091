"""A small Channels project of another shape than the reference system, on a Redis of its own database."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.integration.channels.harness import place

from intelli_checks.target import Place


@pytest.fixture
def places(intelli_redis: Any, tmp_path: Path) -> Callable[..., Place]:
    """`places("web", prefix="a")`: a place of the project whose channel layer is configured so."""
    intelli_redis.flush()

    def make(name: str, **layer: Any) -> Place:
        url = layer.pop("url", intelli_redis.url(1))
        data = {"RELAY_DATA": str(tmp_path), "BROKER": intelli_redis.url(0), "LAYER_URL": url}
        return place(name, **data, LAYER=json.dumps(layer), PATH=os.environ["PATH"])

    return make
