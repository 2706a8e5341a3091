from .local import *

CELERY_TASK_ALWAYS_EAGER = True
