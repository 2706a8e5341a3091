"""Django for the tests of the backend, and a live copy of the whole system.

The settings are loaded without leaving DJANGO_SETTINGS_MODULE in the environment: other tests of the same run start
foreign projects in child processes, which must find their own.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

BACKEND = Path(__file__).resolve().parents[2] / "backend"
sys.path.insert(0, str(BACKEND))
sys.path.insert(0, str(Path(__file__).parent))


def _load_django() -> None:
    before = os.environ.get("DJANGO_SETTINGS_MODULE")
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings.development"
    import django
    from django.conf import settings

    settings.LOGGING_CONFIG = None  # the handlers of the test run stay as they are
    django.setup()
    if before is None:
        del os.environ["DJANGO_SETTINGS_MODULE"]
    else:
        os.environ["DJANGO_SETTINGS_MODULE"] = before


_load_django()

from stack import Stack  # noqa: E402
from system_fixtures import *  # noqa: E402, F403  found beside this file, as is the next


@pytest.fixture
def stack(intelli_redis_server, starters, database, tmp_path) -> Iterator[Stack]:
    """An empty system with short leases: its own Redis, database and media folder; no process of ours started yet."""
    made = Stack(intelli_redis_server(), starters, database, tmp_path)
    yield made
    made.assert_invariants()
