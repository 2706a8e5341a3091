"""What the tasks do: read the image, run the algorithm or ask for the description, hand the outcome to the flow."""

import json
from pathlib import Path

from django.conf import settings

from apps.jobs import flow, storage
from apps.jobs.models import Image


class Refused(Exception):
    """The task cannot succeed, however often it is tried."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.failure = flow.Failure(code, message)


class RetryLater(Exception):
    """The task may succeed if tried again after `seconds`."""

    def __init__(self, seconds: float, code: str, message: str) -> None:
        super().__init__(message)
        self.seconds = seconds
        self.failure = flow.Failure(code, message)


def ingest(held: flow.Claim) -> bool:
    """Fetch or read the image, re-encode it, and let its other tasks start."""
    from apps.jobs import imaging

    image = Image.objects.get(pk=held.image_id)
    source = storage.upload_path(held.job_id, held.image_id)
    if image.source_url and not source.exists():
        _fetch(image.source_url, source)
    target = storage.image_path(held.job_id, held.image_id)
    try:
        with storage.written_whole(target) as temporary:
            info = imaging.normalise(source, temporary)
    except imaging.BadImage as error:
        raise Refused(error.code, error.message) from error
    ready = flow.image_ready(held, info.width, info.height)
    if ready:
        storage.discard_upload(held.job_id, held.image_id)
    return ready


def chart(held: flow.Claim) -> bool:
    """Run one algorithm: a figure for people, its numbers for programs."""
    from apps.jobs.algorithms import ALGORITHMS

    output = ALGORITHMS[held.algorithm].run(_pixels(storage.image_path(held.job_id, held.image_id)))
    figure = _artifact(held, f"{held.algorithm}.png", "image/png", output.figure)
    numbers = _artifact(held, f"{held.algorithm}.json", "application/json", _json(output.data))
    return flow.succeed(held, [figure, numbers])


def describe(held: flow.Claim) -> bool:
    """Describe the image in words, by the configured endpoint or from its statistics."""
    from apps.jobs import ai

    config = ai.AiConfig(base_url=settings.AI_BASE_URL, model=settings.AI_MODEL, api_key=settings.AI_API_KEY)
    try:
        description = ai.describe(storage.image_path(held.job_id, held.image_id), config)
    except ai.AiUnavailable as error:
        raise _ai_trouble(held, error.retryable, str(error)) from error
    content = {"text": description.text, "provider": description.provider, "model": description.model}
    document = _json({**content, "data": description.data})
    return flow.succeed(held, [_artifact(held, "describe.json", "application/json", document)])


def _ai_trouble(held: flow.Claim, retryable: bool, message: str) -> Exception:  # noqa: FBT001  a field of the error
    if retryable and held.attempt < settings.INTELLI_AI_ATTEMPTS:
        return RetryLater(min(60.0, 5.0 * 2**held.attempt), "ai_unavailable", message)
    return Refused("ai_unavailable", message)


def _fetch(url: str, target: Path) -> None:
    from apps.jobs import fetch

    try:
        with storage.written_whole(target) as temporary:
            fetch.fetch(url, temporary)
    except fetch.BadUrl as error:
        raise Refused(error.code, error.message) from error


def _pixels(path: Path) -> "object":
    import numpy as np
    from PIL import Image as Picture

    with Picture.open(path, formats=["PNG"]) as picture:
        return np.asarray(picture.convert("RGB"))


def _artifact(held: flow.Claim, name: str, media_type: str, content: bytes) -> storage.Draft:
    folder = storage.artifact_dir(held.job_id, held.task_id)
    return storage.save_artifact(folder, held.attempt, name, media_type, content)


def _json(data: object) -> bytes:
    return json.dumps(data, allow_nan=False, indent=1).encode()
