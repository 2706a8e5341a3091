"""Real Redis servers, configured as each test needs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from intelli_fixtures.redis_servers import RedisServer


@pytest.fixture
def redis(intelli_redis_server: Callable[..., RedisServer]) -> Callable[..., RedisServer]:
    """`redis(maxmemory="1mb")`: a server process of our own, without a password unless one is given."""

    def start(*, password: str = "", certificates: Any = None, begin: bool = True, **config: str) -> RedisServer:
        directives = {name.replace("_", "-"): value for name, value in config.items()}
        return intelli_redis_server(
            engine="local", password=password, certificates=certificates, start=begin, config=directives
        )

    return start
