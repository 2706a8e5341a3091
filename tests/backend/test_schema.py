"""The OpenAPI document against the server it describes: generated requests, valid and invalid, and what they get."""

from __future__ import annotations

import gc

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def described(monkeypatch, settings, tmp_path):
    """The API in this process, its document as it serves it; nothing is published and files go to a folder of ours."""
    from config.wsgi import application

    settings.MEDIA_ROOT = tmp_path
    monkeypatch.setattr("apps.jobs.publish.publish", lambda tasks: None)
    monkeypatch.setattr("apps.jobs.events.announce", lambda job_id: None)
    yield schemathesis.openapi.from_wsgi("/api/schema/?format=json", application)
    gc.collect()


def test_every_answer_is_one_that_the_document_describes(described):
    operations = [found.ok() for found in described.get_all_operations()]
    assert len(operations) == 5
    for operation in operations:

        @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
        @given(case=operation.as_strategy())
        def holds(case):
            case.call_and_validate()

        holds()
