"""Does the project load, and is its Celery configuration what it seems to be?"""
