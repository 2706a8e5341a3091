"""Settings for one developer's machine: anonymous use, no throttles, everything on loopback."""

from config.settings.base import *  # noqa: F403  settings are layered by star import, Django's own convention
from config.settings.base import env

DEBUG = env.bool("DJANGO_DEBUG", default=True)
SECRET_KEY = env.str("DJANGO_SECRET_KEY", default="development-only-not-a-secret-" + "x" * 32)
ALLOWED_HOSTS = env.list("DJANGO_ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]", "testserver"])

# Anybody who reaches this server may submit jobs and see those that belong to nobody. Never outside development.
INTELLI_ANONYMOUS = env.bool("INTELLI_ANONYMOUS", default=True)
INTELLI_SWEEP_IN_WEB = env.bool("INTELLI_SWEEP_IN_WEB", default=True)
INTELLI_MAX_SOCKETS = env.int("INTELLI_MAX_SOCKETS", default=1000)

# EAGER mode: uncomment to run tasks inside the web process (debugging only; requests block until every task is done).
# CELERY_TASK_ALWAYS_EAGER = True
# CELERY_TASK_EAGER_PROPAGATES = True
