"""A disk for artifacts that is really full: 64 KiB mounted where only the project's interpreter sees it."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest
from tests.integration.channels.harness import check, context, failing, place, told

MOUNTED = 'mount -t tmpfs -o size=64k tmpfs "$0" && exec "$@"'
OWN_MOUNTS = ("unshare", "--map-root-user", "--mount", "sh", "-c", MOUNTED)


@pytest.fixture
def tight(relay):
    """Arguments before a command that give it a small disk for media."""
    media = relay.folder / "media"
    media.mkdir()
    before = (*OWN_MOUNTS, str(media))
    try:
        subprocess.run([*before, "true"], check=True, capture_output=True, timeout=10)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this machine lets nobody mount")
    return before


def test_a_disk_without_room_for_artifacts_is_named(relay, tight):
    here = place("here", **relay.env())
    results = check(context(replace(here, argv=(*tight, *here.argv))), "django.media")
    assert list(failing(results)) == ["django.media"]
    assert "0.0 GiB are left for MEDIA_ROOT" in told(results["django.media"])
    assert failing(check(context(here), "django.media")) == {}
