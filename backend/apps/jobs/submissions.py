"""From a request to an accepted job: read, refuse, store the files, write the rows, publish after commit."""

import hashlib
import json
import unicodedata
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeAlias, cast

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.db import DatabaseError, IntegrityError, transaction
from django.http import QueryDict
from django.utils import timezone

from apps.jobs import events, publish, storage
from apps.jobs.access import User
from apps.jobs.algorithms import ALGORITHMS
from apps.jobs.models import Image, ImageTask, Job, Kind
from apps.jobs.problems import Conflict, Invalid, TooLarge
from config.queues import ROUTES

DESCRIBE = "describe"
KNOWN_ALGORITHMS = (*ALGORITHMS, DESCRIBE)
_MAX_KEY = 200
_MAX_NAME = 200

Upload: TypeAlias = "UploadedFile[Any]"
Problem = tuple[str, str, str]
"""Field, code, message."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A request that was read and found good."""

    files: Sequence[Upload]
    urls: Sequence[str]
    algorithms: Sequence[str]

    def digest(self) -> str:
        """Fingerprint of what was asked for: the same request again has the same one."""
        files = [(display_name(file.name), _sha256(file)) for file in self.files]
        content = json.dumps([list(self.algorithms), list(self.urls), files])
        return hashlib.sha256(content.encode()).hexdigest()


def read(data: Any, files: Sequence[Upload]) -> Submission:
    """Read and judge a request.

    Raises:
        Invalid: naming every input that was refused.
        TooLarge: more images than one job may have.
    """
    if not isinstance(data, Mapping):
        raise Invalid(("body", "invalid", "the body must be an object"))
    urls = _texts(data, "image_urls")
    algorithms = list(dict.fromkeys(_texts(data, "algorithms")))
    if len(files) + len(urls) > settings.INTELLI_MAX_IMAGES:
        raise TooLarge(f"a job takes at most {settings.INTELLI_MAX_IMAGES} images")
    problems = [*_bad_algorithms(algorithms), *_bad_urls(urls), *_bad_files(files)]
    if not files and not urls:
        problems.append(("images", "required", "give at least one image file or image URL"))
    if problems:
        raise Invalid(*problems)
    return Submission(files, urls, algorithms)


def accept(user: User, submission: Submission, key: str | None) -> tuple[Job, bool]:
    """Write the job, or find the one this Idempotency-Key made before. Returns it and whether it is new.

    Raises:
        Conflict: the key was used for a different request.
        Invalid: the key is not 1 to 200 printable ASCII characters.
    """
    idempotency = _idempotency(user, key)
    digest = submission.digest()
    known = _known(idempotency, digest)
    if known is not None:
        return known, False
    job = Job(
        id=uuid.uuid4(),
        owner_id=user.pk,
        idempotency=idempotency,
        request_digest=digest,
        algorithms=list(submission.algorithms),
        created_at=timezone.now(),
    )
    try:
        _write(job, submission)
    except BaseException as error:
        if Job.objects.filter(pk=job.id).exists():  # it was committed, and the answer lost: its files are needed
            if isinstance(error, DatabaseError):
                return job, True
            raise
        storage.discard_leftovers(job.id)
        # Two equal requests at once: the unique key let one of them in.
        twin = _known(idempotency, digest) if isinstance(error, IntegrityError) else None
        if twin is None:
            raise
        return twin, False
    return job, True


def display_name(name: str | None) -> str:
    """A file name fit to be shown: no folders, no control or direction-changing characters. Never used as a path."""
    base = (name or "").replace("\\", "/").rsplit("/", 1)[-1]
    visible = "".join(c for c in base if unicodedata.category(c) not in {"Cc", "Cf", "Cs", "Zl", "Zp"})
    return visible[:_MAX_NAME] or "unnamed"


def _write(job: Job, submission: Submission) -> None:
    images = [Image(job=job, position=n, name=display_name(f.name)) for n, f in enumerate(submission.files)]
    for image, file in zip(images, submission.files, strict=True):
        file.seek(0)
        storage.save_upload(storage.upload_path(job.id, image.id), file.chunks())
    images += [
        Image(job=job, position=n, name=display_name(url.split("?", 1)[0]), source_url=url)
        for n, url in enumerate(submission.urls, start=len(images))
    ]
    tasks = [task for image in images for task in _tasks(image, submission.algorithms)]
    for position, task in enumerate(tasks):
        task.position = position
    job.tasks_total = len(tasks)
    with transaction.atomic():
        job.save(force_insert=True)
        Image.objects.bulk_create(images)
        ImageTask.objects.bulk_create(tasks)
        events.record(job, "job.queued", {"progress": {"total": len(tasks), "finished": 0}})
        job.save(update_fields=["seq"])
        publish.publish_on_commit([task.id for task in tasks if task.kind == Kind.INGEST])


def _tasks(image: Image, algorithms: Sequence[str]) -> list[ImageTask]:
    """The ingestion, which may start now, and one task per algorithm, which waits for it."""
    tasks = [ImageTask(job=image.job, image=image, kind=Kind.INGEST, available_at=image.job.created_at)]
    for name in algorithms:
        kind = Kind.DESCRIBE if name == DESCRIBE else Kind.CHART
        tasks.append(ImageTask(job=image.job, image=image, kind=kind, algorithm=name))
    for task in tasks:
        task.queue = ROUTES[publish.TASK_NAMES[Kind(task.kind)]]
    return tasks


def _idempotency(user: User, key: str | None) -> str | None:
    if key is None:
        return None
    if not (1 <= len(key) <= _MAX_KEY and key.isascii() and key.isprintable()):
        raise Invalid(("Idempotency-Key", "invalid", f"use 1 to {_MAX_KEY} printable ASCII characters"))
    return hashlib.sha256(f"{user.pk}\0{key}".encode()).hexdigest()


def _known(idempotency: str | None, digest: str) -> Job | None:
    job = Job.objects.filter(idempotency=idempotency).first() if idempotency else None
    if job is not None and job.request_digest != digest:
        raise Conflict("this Idempotency-Key was used for a different request")
    return job


def _texts(data: Mapping[str, Any], name: str) -> list[str]:
    """Values of a field that may be repeated, comma-separated (never inside a URL) or a JSON list."""
    value = data.getlist(name) if isinstance(data, QueryDict) else data.get(name, [])
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(item, str) for item in values):
        raise Invalid((name, "invalid", "give text, or a list of texts"))
    parts = values if name == "image_urls" else [part for item in values for part in item.split(",")]
    return [part.strip() for part in parts if part.strip()]


def _bad_algorithms(names: Sequence[str]) -> list[Problem]:
    if not names:
        return [("algorithms", "required", f"give at least one of: {', '.join(KNOWN_ALGORITHMS)}")]
    unknown = [name for name in names if name not in KNOWN_ALGORITHMS]
    text = f"unknown: {', '.join(unknown)[:200]}; known: {', '.join(KNOWN_ALGORITHMS)}"
    return [("algorithms", "unknown_algorithm", text)] if unknown else []


def _bad_urls(urls: Sequence[str]) -> list[Problem]:
    from apps.jobs import fetch

    problems: list[Problem] = []
    for number, url in enumerate(urls):
        try:
            fetch.check_url(url)
        except fetch.BadUrl as error:
            problems.append((f"image_urls[{number}]", error.code, error.message))
    return problems


def _bad_files(files: Sequence[Upload]) -> list[Problem]:
    from apps.jobs import imaging

    problems: list[Problem] = []
    limits = imaging.ImageLimits(max_bytes=settings.INTELLI_MAX_UPLOAD_BYTES)
    for number, file in enumerate(files):
        file.seek(0)
        try:
            imaging.inspect(cast("BinaryIO", file), limits)
        except imaging.BadImage as error:
            problems.append((f"images[{number}]", error.code, error.message))
    return problems


def _sha256(file: Upload) -> str:
    file.seek(0)
    digest = hashlib.sha256()
    for chunk in file.chunks():
        digest.update(chunk)
    return digest.hexdigest()
