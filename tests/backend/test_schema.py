"""The OpenAPI document against the server it describes: generated requests, valid and invalid, and what they get."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import schemathesis
from django.contrib.auth import get_user_model
from hypothesis import HealthCheck, given
from hypothesis import settings as limits
from rest_framework.authtoken.models import Token
from schemathesis.specs.openapi.checks import positive_data_acceptance

CANNOT_BE_SAID = [positive_data_acceptance]
"""A document cannot say that a file must be a picture, or that either files or URLs must be given."""
COMMITTED = Path(__file__).resolve().parents[2] / "docs" / "openapi.json"
OPERATIONS = [
    "GET /api/artifacts/{artifact_id}/",
    "GET /api/jobs/",
    "POST /api/jobs/",
    "GET /api/jobs/{job_id}/",
    "POST /api/jobs/{job_id}/cancel/",
]

pytestmark = [
    pytest.mark.django_db(transaction=True),
    # As in test_api: files of a request that was refused half-way.
    pytest.mark.filterwarnings("ignore:Exception ignored in. <_io.FileIO:pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def described(monkeypatch, settings, tmp_path):
    """The API in this process, which lets nobody in unknown; nothing is published, files go to a folder of ours."""
    from config.wsgi import application

    settings.MEDIA_ROOT = tmp_path
    settings.INTELLI_ANONYMOUS = False
    monkeypatch.setattr("apps.jobs.publish.publish", lambda tasks: None)
    monkeypatch.setattr("apps.jobs.events.announce", lambda job_id: None)
    return schemathesis.openapi.from_wsgi("/api/schema/?format=json", application)


@pytest.fixture
def known():
    """The headers of a user."""
    return {"Authorization": f"Token {Token.objects.create(user=get_user_model().objects.create_user('u')).key}"}


def test_every_operation_is_tried(described):
    assert sorted(found.ok().label for found in described.get_all_operations()) == sorted(OPERATIONS)


def test_the_committed_document_is_the_one_that_is_served(described):
    """Whoever changes the API sees it in the difference: backend/manage.py spectacular, as CONTRIBUTING says."""
    assert described.raw_schema == json.loads(COMMITTED.read_text(encoding="utf-8"))


@pytest.mark.parametrize("label", OPERATIONS)
def test_every_answer_is_one_that_the_document_describes(described, known, label):
    (operation,) = (found.ok() for found in described.get_all_operations() if found.ok().label == label)

    @limits(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(case=operation.as_strategy())
    def holds(case):
        case.call_and_validate(headers=known, excluded_checks=CANNOT_BE_SAID)

    holds()
