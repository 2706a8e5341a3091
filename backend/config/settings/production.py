"""Settings for a real deployment: a missing secret or host list stops the process, there is no default to fall to."""

from config.logs import logging_config
from config.settings.base import *  # noqa: F403  settings are layered by star import, Django's own convention
from config.settings.base import LOG_LEVEL, REST_FRAMEWORK, env

DEBUG = False
SECRET_KEY = env.str("DJANGO_SECRET_KEY")
ALLOWED_HOSTS = env.list("DJANGO_ALLOWED_HOSTS")

# Stop at start when these are unset: a default of localhost inside a container is a fault that looks healthy.
CELERY_BROKER_URL = env.str("CELERY_BROKER_URL")
REDIS_URL = env.str("REDIS_URL")

SECURE_SSL_REDIRECT = env.bool("DJANGO_SECURE_SSL_REDIRECT", default=True)
SECURE_REDIRECT_EXEMPT = [r"^health/"]  # load balancers probe over plain HTTP inside the network
SECURE_PROXY_SSL_HEADER = (
    ("HTTP_X_FORWARDED_PROTO", "https") if env.bool("DJANGO_BEHIND_TLS_PROXY", default=False) else None
)
SECURE_HSTS_SECONDS = env.int("DJANGO_HSTS_SECONDS", default=31_536_000)
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
SECURE_HSTS_PRELOAD = True
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
X_FRAME_OPTIONS = "DENY"

REST_FRAMEWORK = {
    **REST_FRAMEWORK,
    "DEFAULT_THROTTLE_RATES": {
        "submit": env.str("INTELLI_THROTTLE_SUBMIT", default="60/min"),
        "read": env.str("INTELLI_THROTTLE_READ", default="600/min"),
    },
}
LOGGING = logging_config(json_lines=True, level=LOG_LEVEL)
