"""Settings that look like Celery's and do nothing: unknown names, missing prefixes, values that did not arrive."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from typing import Any

from . import values

# Read by well-known packages through `app.conf` or the settings, so not Celery's own and yet not mistakes.
FOREIGN_PREFIXES = ("redbeat_", "singleton_", "once_", "results_", "beat_redis_", "email_", "haystack_", "test_")
PREFIXLESS = ("task_", "worker_", "beat_", "result_", "broker_", "event_", "control_")
CLOSE = 0.84


def judge(interview: Any, app: Any) -> list[dict[str, Any]]:
    """One entry per suspicious name: kind `unknown`, `unprefixed` or `ignored`, with what was probably meant."""
    settings = getattr(interview, "settings", None)
    if settings is None:
        return []
    from celery.app import defaults

    prefix = (getattr(app, "namespace", None) or "CELERY").upper() + "_"
    old = {name.upper(): new for name, new in vars(defaults)["_TO_NEW_KEY"].items()}
    declared = {name: settings[name] for name in settings if name.isupper()}
    known = {prefix + key.upper() for key in defaults.DEFAULTS} | set(old) | {"BROKER_URL"}
    entries = [*_unknown(declared, prefix, known), *_unprefixed(declared, prefix, app.conf)]
    return entries + list(_ignored(declared, prefix, app.conf, defaults.DEFAULTS))


def _unknown(declared: dict[str, Any], prefix: str, known: Any) -> Iterator[dict[str, Any]]:
    for name in sorted(declared):
        tail = name[len(prefix) :].lower()
        if not name.startswith(prefix) or name in known or tail.startswith(FOREIGN_PREFIXES):
            continue
        close = difflib.get_close_matches(name, known, n=1, cutoff=CLOSE)
        meant = close[0] if close else None
        yield {"kind": "unknown", "name": name, "meant": meant, "meant_is_set": meant in declared}


def _unprefixed(declared: dict[str, Any], prefix: str, conf: Any) -> Iterator[dict[str, Any]]:
    """`TASK_ALWAYS_EAGER` where `CELERY_TASK_ALWAYS_EAGER` is read, unless the value arrived all the same."""
    from celery.app import defaults

    for name in sorted(declared):
        key = name.lower()
        if key in defaults.DEFAULTS and key.startswith(PREFIXLESS) and not _same(declared[name], conf.get(key)):
            yield {
                "kind": "unprefixed",
                "name": name,
                "meant": prefix + name,
                "meant_is_set": prefix + name in declared,
            }


def _ignored(declared: dict[str, Any], prefix: str, conf: Any, known: Any) -> Iterator[dict[str, Any]]:
    """Rightly named settings whose value the app does not have."""
    for name in sorted(declared):
        key = name[len(prefix) :].lower()
        if not name.startswith(prefix) or key not in known or key == "beat_schedule":
            continue
        if not _same(declared[name], conf.get(key)) and not os.environ.get(name):
            yield {"kind": "ignored", "name": name, "meant": key, "meant_is_set": True}


def _same(one: Any, other: Any) -> bool:
    try:
        return bool(one == other) or values.plain(one) == values.plain(other)
    except Exception:  # noqa: BLE001 - settings hold objects whose comparison may do anything
        return True
