"""Settings shared by every environment. What differs between machines comes from the environment or from `.env`."""

import sys
from pathlib import Path

import environ
from kombu import Queue

from config.logs import logging_config
from config.queues import POLICIES, ROUTES, VISIBILITY_TIMEOUT, as_settings, task_annotations

BASE_DIR = Path(__file__).resolve().parents[2]

env = environ.Env()
if (BASE_DIR / ".env").is_file():
    env.read_env(BASE_DIR / ".env")

DEBUG = False
ALLOWED_HOSTS: list[str] = env.list("DJANGO_ALLOWED_HOSTS", default=[])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("DJANGO_CSRF_TRUSTED_ORIGINS", default=[])

INSTALLED_APPS = [
    "config.apps.RunserverConfig",  # before staticfiles: the runserver of daphne, which speaks WebSocket
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "rest_framework.authtoken",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "channels",
    "apps.jobs",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
WSGI_APPLICATION = "config.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# --- Database -------------------------------------------------------------------------------------------------------
DATABASES = {"default": env.db("DATABASE_URL", default=f"sqlite:///{BASE_DIR / 'db.sqlite3'}")}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        # A transaction that reads first and then writes cannot wait for the lock in SQLite's default mode: it fails
        # with "database is locked" at once, whatever the timeout. IMMEDIATE takes the write lock first and waits.
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL;",
    }
else:
    DATABASES["default"]["CONN_MAX_AGE"] = env.int("DATABASE_CONN_MAX_AGE", default=60)
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True

# --- Files ----------------------------------------------------------------------------------------------------------
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
MEDIA_ROOT = Path(env.str("MEDIA_ROOT", default=str(BASE_DIR / "media")))
FILE_UPLOAD_HANDLERS = [
    "apps.jobs.uploads.CappedUploadHandler",
    "django.core.files.uploadhandler.TemporaryFileUploadHandler",
]
FILE_UPLOAD_PERMISSIONS = 0o600

# --- Job flow -------------------------------------------------------------------------------------------------------
INTELLI_ANONYMOUS = False
INTELLI_MAX_IMAGES = env.int("INTELLI_MAX_IMAGES", default=20)
INTELLI_MAX_UPLOAD_BYTES = env.int("INTELLI_MAX_UPLOAD_BYTES", default=20 * 1024 * 1024)
INTELLI_MAX_BODY_BYTES = env.int("INTELLI_MAX_BODY_BYTES", default=100 * 1024 * 1024)
# Longest time a request may take to arrive; a sender that drips holds its connection no longer.
INTELLI_MAX_BODY_SECONDS = env.float("INTELLI_MAX_BODY_SECONDS", default=300.0)
INTELLI_LEASE_SECONDS = env.float("INTELLI_LEASE_SECONDS", default=30.0)
INTELLI_SWEEP_SECONDS = env.float("INTELLI_SWEEP_SECONDS", default=5.0)
INTELLI_MAX_ATTEMPTS = env.int("INTELLI_MAX_ATTEMPTS", default=3)
# How often a task may be started for a server of somebody else (images by URL, AI) that is busy or down.
INTELLI_OUTBOUND_ATTEMPTS = env.int("INTELLI_OUTBOUND_ATTEMPTS", default=5)
# Longest wait of a request for the broker. Past it the job stays accepted and the sweep publishes it.
INTELLI_PUBLISH_SECONDS = env.float("INTELLI_PUBLISH_SECONDS", default=2.0)
# Longest wait for the channel layer. The broadcast is a hint; the numbered events in the database are the record.
INTELLI_BROADCAST_SECONDS = env.float("INTELLI_BROADCAST_SECONDS", default=1.0)
# How often an open socket looks for events it got no hint of.
INTELLI_SOCKET_POLL_SECONDS = env.float("INTELLI_SOCKET_POLL_SECONDS", default=2.0)
INTELLI_MAX_SOCKETS = env.int("INTELLI_MAX_SOCKETS", default=50)
# The sweep can also run inside the web process, so that web + workers alone keep the promise. `manage.py sweep --loop`
# runs it as a process of its own.
INTELLI_SWEEP_IN_WEB = env.bool("INTELLI_SWEEP_IN_WEB", default=False)
INTELLI_QUEUE_POLICIES = as_settings()
DATA_UPLOAD_MAX_NUMBER_FILES = INTELLI_MAX_IMAGES + 1

AI_BASE_URL = env.str("AI_BASE_URL", default="")
AI_MODEL = env.str("AI_MODEL", default="")
AI_API_KEY = env.str("AI_API_KEY", default="")

# --- Celery ---------------------------------------------------------------------------------------------------------
CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", default="redis://localhost:6379/0")
CELERY_RESULT_BACKEND = env.str("CELERY_RESULT_BACKEND", default="redis://localhost:6379/0")
CELERY_TASK_SERIALIZER = "json"
CELERY_RESULT_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_QUEUES = [Queue(policy.name) for policy in POLICIES]
CELERY_TASK_DEFAULT_QUEUE = POLICIES[0].name
CELERY_TASK_CREATE_MISSING_QUEUES = False
CELERY_TASK_ROUTES = {task: {"queue": queue} for task, queue in ROUTES.items()}
CELERY_TASK_ANNOTATIONS = task_annotations()
CELERY_TASK_TRACK_STARTED = True
CELERY_TASK_PUBLISH_RETRY = False
CELERY_RESULT_EXPIRES = 3600
CELERY_WORKER_POOL = "solo" if sys.platform == "win32" else "prefork"
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# The project's own handlers stay in place (JSON lines in production); `-l` still sets the level.
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": VISIBILITY_TIMEOUT,
    # Without these a half-open connection (peer gone, no FIN) freezes a worker: no socket timeout applies to a consumer
    # that waits in the event loop, and kombu's own watch over it notices after 51 s by default, after 11 s with 5.
    "health_check_interval": 5,
    "socket_timeout": 10,
    "socket_keepalive": True,
    "socket_connect_timeout": 5,
}
CELERY_REDIS_SOCKET_TIMEOUT = 10
CELERY_REDIS_SOCKET_CONNECT_TIMEOUT = 5
CELERY_REDIS_SOCKET_KEEPALIVE = True

# --- Channels -------------------------------------------------------------------------------------------------------
REDIS_URL = env.str("REDIS_URL", default="redis://localhost:6379/1")
# channels_redis blocks 5 s at a time on an idle socket and redis-py 8 gives up after 5 s by default, which closes the
# WebSocket. Above 5, and still finite so that a half-open connection is noticed. No `retry_on_error`: it would hide a
# restart of Redis from `receive`, and the error is what makes a socket join its group again, which Redis forgot.
_LAYER_HOST = {"address": REDIS_URL, "socket_timeout": 15, "socket_connect_timeout": 3, "socket_keepalive": True}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {"hosts": [_LAYER_HOST], "capacity": 500, "expiry": 30},
    }
}

# --- API ------------------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["apps.jobs.access.MayUseJobs"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_THROTTLE_RATES": {
        "submit": env.str("INTELLI_THROTTLE_SUBMIT", default="") or None,
        "read": env.str("INTELLI_THROTTLE_READ", default="") or None,
    },
    # Throttles count by address. Without this number DRF believes whatever X-Forwarded-For a client makes up; with 0 it
    # takes the address of the connection, with 1 the one the last proxy saw.
    "NUM_PROXIES": env.int("INTELLI_NUM_PROXIES", default=0),
    "EXCEPTION_HANDLER": "apps.jobs.problems.handle",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Intelli jobs",
    "DESCRIPTION": "Submit images, run algorithms on them, follow the job live over a WebSocket.",
    "VERSION": "1.0.0",
    "SERVE_INCLUDE_SCHEMA": False,
    # The documentation page must work without a network: its scripts are served by this project, not by a CDN.
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

# --- Language, time, logs -------------------------------------------------------------------------------------------
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
LOG_LEVEL = env.str("INTELLI_LOG_LEVEL", default="INFO")
LOGGING = logging_config(json_lines=env.bool("INTELLI_JSON_LOGS", default=False), level=LOG_LEVEL)
