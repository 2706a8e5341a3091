"""How long, how hard, and the ground of both systems."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE / "bare"), str(HERE.parent / "backend")]

from mischief import Ground  # noqa: E402  found through the path above
from system_fixtures import *  # noqa: E402, F403

from intelli_fixtures.proxy import proxy  # noqa: E402


def pytest_addoption(parser):
    group = parser.getgroup("soak")
    group.addoption("--soak-seconds", type=float, default=600, help="how long faults go on, for each system")
    group.addoption("--soak-seed", type=int, default=1, help="the same seed is the same sequence of faults")


@pytest.fixture
def ground(intelli_redis_server, request):
    options, redis = request.config.option, intelli_redis_server()
    with proxy(redis.port) as link:
        yield Ground(redis, link, options.soak_seconds, options.soak_seed)
