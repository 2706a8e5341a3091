"""Which settings look like production, and which do not (E10)."""

from __future__ import annotations

from pathlib import Path

import pytest

from intelli_ops.eager.guard import production_reason


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("production.py", "", "name"),
        ("PROD.py", "", "name"),
        ("staging.py", "DEBUG = True\n", "name"),
        ("settings.py", "A = 1\nDEBUG = False\n", "DEBUG = False"),
        ("settings.py", "DEBUG: bool = False\n", "DEBUG = False"),
        ("settings.py", "DEBUG=False  # really\n", "DEBUG = False"),
        ("settings.py", "SECURE_HSTS_SECONDS = 60\n", "HSTS"),
        ("settings.py", "SECURE_SSL_REDIRECT = True\n", "SSL_REDIRECT"),
    ],
)
def test_e10_production_is_known_by_its_name_by_debug_and_by_content(name: str, text: str, reason: str) -> None:
    assert reason in (production_reason(Path(name), text) or "")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("development.py", "DEBUG = True\n"),
        ("local.py", "# DEBUG = False\nTEMPLATE_DEBUG = False\n"),
        ("producers.py", "DEBUG = env.bool('DEBUG')\n"),
        ("livestock.py", "SECURE_SSL_REDIRECT = False\n"),
    ],
)
def test_e10_development_is_not(name: str, text: str) -> None:
    assert production_reason(Path(name), text) is None
