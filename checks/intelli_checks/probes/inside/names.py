"""Settings that look like Celery's and do nothing: unknown names, missing prefixes, values that did not arrive."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator
from typing import Any

from . import values

# Read by well-known packages through `app.conf` or the settings, so not Celery's own and yet not mistakes.
FOREIGN_PREFIXES = ("redbeat_", "singleton_", "once_", "results_", "beat_redis_", "email_", "haystack_", "test_")
PREFIXLESS = ("task_", "worker_", "beat_", "result_", "broker_", "event_", "control_")
CLOSE = 0.84


def judge(interview: Any, app: Any) -> list[dict[str, Any]]:
    """One entry per suspicious name: kind `unknown`, `unprefixed` or `ignored`, with what was probably meant."""
    entries = list(_misspelt(app.conf))
    settings = getattr(interview, "settings", None)
    return entries if settings is None else entries + _of_django(settings, app)


def _of_django(settings: Any, app: Any) -> list[dict[str, Any]]:
    from celery.app import defaults

    prefix = (getattr(app, "namespace", None) or "CELERY").upper() + "_"
    old = {name.upper(): new for name, new in vars(defaults)["_TO_NEW_KEY"].items()}
    declared = {name: settings[name] for name in settings if name.isupper()}
    known = {prefix + key.upper() for key in defaults.DEFAULTS} | set(old) | {"BROKER_URL"}
    entries = [*_unknown(declared, prefix, known), *_unprefixed(declared, prefix, app.conf)]
    return entries + list(_ignored(declared, prefix, app.conf, defaults.DEFAULTS))


def _misspelt(conf: Any) -> Iterator[dict[str, Any]]:
    """What `app.conf.NAME = ...` or a configuration module sets under a name close to one that is not set.

    A module has names of its own, so that one which is close to nothing is no mistake.
    """
    from celery.app import defaults

    told = {str(name) for layer in list(getattr(conf, "maps", ()))[:-1] for name in layer}
    for name in sorted(told - defaults.DEFAULTS.keys()):
        meant = _close(name, defaults.DEFAULTS) if name.islower() else None
        if meant and not conf.value_set_for(meant):
            yield {"kind": "unknown", "name": name, "meant": meant, "meant_is_set": False}


def options(app: Any) -> Iterator[dict[str, Any]]:
    """Transport options kombu does not know, where one it knows is close; it takes any without a word."""
    given = app.conf.get("broker_transport_options")
    if not isinstance(given, dict):
        return
    try:
        known = app.connection().get_transport_cls().Channel.from_transport_options
    except Exception:  # noqa: BLE001 - no driver, no such transport: another check tells
        return
    for name in sorted(str(name) for name in given.keys() - set(known)):
        if (meant := _close(name, known)) and meant not in given:
            place = f"broker_transport_options[{name!r}]"
            yield {"kind": "unknown", "name": place, "meant": meant, "meant_is_set": False}


def _close(name: str, known: Iterable[str]) -> str | None:
    close = difflib.get_close_matches(name, known, n=1, cutoff=CLOSE)
    return close[0] if close else None


def _unknown(declared: dict[str, Any], prefix: str, known: Any) -> Iterator[dict[str, Any]]:
    for name in sorted(declared):
        tail = name[len(prefix) :].lower()
        if not name.startswith(prefix) or name in known or tail.startswith(FOREIGN_PREFIXES):
            continue
        meant = _close(name, known)
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
