"""Is each Redis one that Celery and Channels can trust?"""
