from pipeline.worker import celery


@celery.task(name="thumbs.make")
def make(path):
    return path


@celery.task(name="intake.accept", shared=False)
def accept(path):
    return path
