"""Development settings of a web process that dies where it would publish: after the commit, before the message."""

from config.settings.development import *  # noqa: F403

INSTALLED_APPS = [*INSTALLED_APPS, "crash_app.apps.CrashConfig"]  # noqa: F405
INTELLI_SWEEP_IN_WEB = False
