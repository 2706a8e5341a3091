"""Where workers say they write results: what they tell of the URL, and what they leave out."""

from __future__ import annotations

import pytest
from tests.unit.celery.states import node

from intelli_checks.dsn import Dsn
from intelli_checks.probes import results
from intelli_checks.probes.workers import WorkerFleet

SOCKET = "redis+socket:///run/r.sock"


@pytest.mark.parametrize(
    ("expected", "told", "elsewhere"),
    [
        # A worker masks its URL with kombu.utils.url.maybe_sanitize_url, which drops the options.
        (f"{SOCKET}?virtual_host=4", SOCKET, False),
        (SOCKET, SOCKET, False),
        (f"{SOCKET}?virtual_host=4", "redis+socket:///run/other.sock", True),
        ("redis://h:1/?virtual_host=4", "redis://h:1/", False),
        ("redis://h:1/?virtual_host=4", "redis://other:1/", True),
        ("redis://h:1/?db=4", "redis://h:1/5", True),
        ("redis://h:1/4", "redis://h:1/4", False),
        ("redis://h:1/4", "redis://h:1/5", True),
        ("redis://h:1/4", "redis://h:1/", True),
    ],
)
def test_a_database_that_is_not_told_is_no_other_database(expected, told, elsewhere):
    worker = node(conf={"result_backend": told})
    assert results.stored_elsewhere(worker, Dsn(expected)) is elsewhere


@pytest.mark.parametrize(
    ("broker", "told", "known"),
    [
        ("redis://h:1/0", "redis://h:1/4", "redis://h:1/4"),
        (f"{SOCKET}?virtual_host=3", SOCKET, None),
        ("redis://h:1/0", SOCKET, None),
    ],
)
def test_without_a_project_a_socket_does_not_tell_the_database_of_results(broker, told, known):
    fleet = WorkerFleet(1, (node(conf={"result_backend": told}),))
    store = results.store(None, None, fleet, Dsn(broker))
    assert (store.dsn.raw if store else None) == known
