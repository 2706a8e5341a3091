"""Structured logs: one line per event, with the request, job and task ids bound around it."""

from typing import Any

import structlog

_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def logging_config(*, json_lines: bool, level: str) -> dict[str, Any]:
    """Django's LOGGING dictionary, with structlog set up to feed the same handler."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.processors.StackInfoRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    formatter = {
        "()": structlog.stdlib.ProcessorFormatter,
        "foreign_pre_chain": _SHARED,
        "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(json_lines=json_lines)],
    }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"lines": formatter},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "lines"}},
        "root": {"handlers": ["stderr"], "level": level},
        # Handlers of their own would print everything twice.
        "loggers": {name: {"handlers": [], "propagate": True} for name in ("django", "django.server", "daphne")},
    }


def _renderers(*, json_lines: bool) -> list[Any]:
    if json_lines:
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    return [structlog.processors.format_exc_info, _key_values]


def _key_values(logger: Any, method: str, event: Any) -> str:
    """One `key='value'` line: values are quoted, so a newline in a name made by a user cannot forge a second line."""
    trace = str(event.pop("exception", ""))
    render = structlog.processors.KeyValueRenderer(
        key_order=["timestamp", "level", "logger", "event"], drop_missing=True
    )
    return str(render(logger, method, event)) + "".join(f"\n    | {_visible(line)}" for line in trace.splitlines())


def _visible(line: str) -> str:
    """What a terminal would obey instead of show, as an escape: an error may repeat what somebody sent."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in line)
