"""A shop that reports its orders live. FAULT breaks one thing of it, LAYER replaces parts of the channel layer."""

import json
import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
HERE = Path(os.environ.get("RELAY_DATA", BASE_DIR))
FAULT = os.environ.get("FAULT", "")
SECRET_KEY = "a-key-of-no-value-0123456789-abcdefghij-klmnopqrst"
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
ROOT_URLCONF = "relay.urls"
ASGI_APPLICATION = "relay.asgi.application"
INSTALLED_APPS = ["django.contrib.contenttypes", "channels", "orders"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": HERE / "db.sqlite3",
        "OPTIONS": {"timeout": 10, "transaction_mode": "IMMEDIATE"},
        "ATOMIC_REQUESTS": FAULT == "atomic",
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
MEDIA_ROOT = Path(os.environ.get("RELAY_MEDIA", HERE / "media"))

CELERY_BROKER_URL = os.environ.get("BROKER", "redis://127.0.0.1:6379/0")
CELERY_RESULT_BACKEND = CELERY_BROKER_URL
CELERY_TASK_DEFAULT_QUEUE = "nobody" if FAULT == "unconsumed" else "orders"
CELERY_WORKER_PREFETCH_MULTIPLIER = 1

_layer = {
    "backend": "channels_redis.core.RedisChannelLayer",
    "url": os.environ.get("LAYER_URL", "redis://127.0.0.1:6379/1"),
    **json.loads(os.environ.get("LAYER", "{}")),
}
_backend, _url = _layer.pop("backend"), _layer.pop("url")
_redis = {"hosts": [{"address": _url, "socket_timeout": 30}], **_layer}
CHANNEL_LAYERS = {"default": {"BACKEND": _backend, **({"CONFIG": _redis} if "redis" in _backend else {})}}
