"""The workers of any Celery project, started and kept by one supervisor."""
