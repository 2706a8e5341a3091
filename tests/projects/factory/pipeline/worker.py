"""What `celery -A pipeline.worker` loads."""

from pipeline.factory import create_app

celery = create_app()
