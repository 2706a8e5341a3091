"""EAGER for one command: a settings module in a temporary folder that changes two names of the real one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_MODULE = "intelli_ops_eager_overlay"
_ORIGINAL = "INTELLI_OPS_EAGER_ORIGINAL_SETTINGS"
_SOURCE = f'''\
"""The project's settings with EAGER on."""
import importlib
import os

_settings = importlib.import_module(os.environ["{_ORIGINAL}"])
globals().update({{name: value for name, value in vars(_settings).items() if name.isupper()}})
CELERY_TASK_ALWAYS_EAGER = True
CELERY_TASK_EAGER_PROPAGATES = True
'''


@contextmanager
def overlay(settings: str, environ: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """The environment for one eager command; the folder behind it is gone afterwards.

    manage.py and config/celery.py set DJANGO_SETTINGS_MODULE with `setdefault`, so a value that is there already wins.
    """
    with tempfile.TemporaryDirectory(prefix="intelli-ops-eager-") as folder:
        Path(folder, f"{_MODULE}.py").write_text(_SOURCE, encoding="utf-8")
        path = os.pathsep.join(part for part in (folder, environ.get("PYTHONPATH")) if part)
        yield {**environ, "PYTHONPATH": path, "DJANGO_SETTINGS_MODULE": _MODULE, _ORIGINAL: settings}
