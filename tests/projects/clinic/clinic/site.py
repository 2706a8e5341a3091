"""One flat settings module that takes its addresses from the environment."""

import os
from pathlib import Path

BASE = Path(__file__).resolve().parents[1]
SECRET_KEY = os.environ["CLINIC_KEY"]
DEBUG = os.environ.get("CLINIC_DEBUG") == "1"
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
ROOT_URLCONF = "clinic.urls"
ASGI_APPLICATION = "clinic.asgi.application"
INSTALLED_APPS = ["daphne", "django.contrib.contenttypes", "django.contrib.auth", "channels", "visits"]
MIDDLEWARE = ["django.middleware.security.SecurityMiddleware", "django.middleware.common.CommonMiddleware"]
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ.get("CLINIC_DB", BASE / "clinic.sqlite3")}
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True

CELERY_BROKER_URL = os.environ["CLINIC_BROKER"]
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_timeout": 10, "socket_connect_timeout": 5, "socket_keepalive": True}
CELERY_RESULT_BACKEND = os.environ["CLINIC_RESULTS"]
CELERY_RESULT_EXPIRES = 3600
CELERY_TASK_DEFAULT_QUEUE = "desk"
CELERY_TASK_TIME_LIMIT = 120
CELERY_TASK_TRACK_STARTED = True
CELERY_TASK_ROUTES = {"visits.tasks.letter": {"queue": "letters"}, "visits.tasks.scan*": {"queue": "scans"}}

CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {
            "hosts": [{"address": os.environ["CLINIC_LAYER"], "socket_timeout": None}],
            "prefix": "clinic",
        },
    }
}
