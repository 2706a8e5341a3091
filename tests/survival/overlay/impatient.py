"""Development settings whose broker gives a message to somebody else after three seconds."""

from config.settings.development import *  # noqa: F403

CELERY_BROKER_TRANSPORT_OPTIONS |= {  # noqa: F405
    "visibility_timeout": 3,
    "unacked_restore_interval": 1,
    "unacked_restore_throttle": 1,
}
