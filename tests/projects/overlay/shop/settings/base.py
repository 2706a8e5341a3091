import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parents[2]
SECRET_KEY = os.environ.get("SECRET_KEY", "x" * 10 + "not-a-secret-of-anybody-0123456789")
ROOT_URLCONF = "shop.urls"
INSTALLED_APPS = ["orders"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}}
USE_TZ = True

CELERY_BROKER_URL = os.environ.get("BROKER", "redis://:0verlay-s3cret@127.0.0.1:6379/3")
CELERY_RESULT_BACKEND = "redis://127.0.0.1:6379/4"
CELERY_TASK_ALWAYS_EAGER = os.environ.get("EAGER", "") == "1"
CELERY_TASK_TIME_LIMIT = 300
CELERY_TASK_ROUTES = {"orders.tasks.ship": {"queue": "shipping"}}
CELERY_BEAT_SCHEDULE = {"nightly": {"task": "orders.tasks.nightly", "schedule": 3600}}
