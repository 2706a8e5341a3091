"""The project package. Importing it creates the Celery app, so that web processes publish to the configured broker."""

from config.celery import app as celery_app

__all__ = ["celery_app"]
