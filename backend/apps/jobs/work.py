"""What the tasks do: read the image, run the algorithm or ask for the description, hand the outcome to the flow."""

import json
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from django.conf import settings

from apps.jobs import flow, storage
from apps.jobs.models import Image

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LONGEST_PAUSE = 300.0


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
    if image.source_url:
        _fetch(held, image.source_url, source)
    target = storage.image_path(held.job_id, held.image_id)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        info = imaging.normalise(source, target, imaging.ImageLimits(max_bytes=settings.INTELLI_MAX_UPLOAD_BYTES))
    except imaging.BadImage as error:
        raise Refused(error.code, error.message) from error
    return flow.image_ready(held, info.width, info.height)


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
    except ai.AiError as error:
        raise (
            _again(held, error, error.retry_after) if error.retryable else Refused(error.code, error.message)
        ) from error
    content = {"text": description.text, "provider": description.provider, "model": description.model}
    document = _json({**content, "data": description.data})
    return flow.succeed(held, [_artifact(held, "describe.json", "application/json", document)])


def _fetch(held: flow.Claim, url: str, target: Path) -> None:
    from apps.jobs import fetch

    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        fetch.fetch(url, target, fetch.FetchPolicy(max_bytes=settings.INTELLI_MAX_UPLOAD_BYTES))
    except fetch.BadUrl as error:
        raise _again(held, error) if error.retryable else Refused(error.code, error.message) from error


class _Trouble(Protocol):
    code: Any
    message: str


def _again(held: flow.Claim, error: _Trouble, retry_after: float | None = None) -> Exception:
    """Try later with growing, jittered pauses, as long as attempts are left. A server that names a time is obeyed."""
    if held.attempt >= settings.INTELLI_OUTBOUND_ATTEMPTS:
        return Refused(error.code, error.message)
    pause = min(_LONGEST_PAUSE, 2.0**held.attempt) * random.uniform(0.5, 1.5)  # noqa: S311  spreads load, guards nothing
    return RetryLater(max(pause, min(retry_after or 0.0, _LONGEST_PAUSE)), error.code, error.message)


def _pixels(path: Path) -> "NDArray[np.uint8]":
    import numpy as np
    from PIL import Image as Picture

    with Picture.open(path, formats=["PNG"]) as picture:
        return np.asarray(picture.convert("RGB"))


def _artifact(held: flow.Claim, name: str, media_type: str, content: bytes) -> storage.Draft:
    folder = storage.artifact_dir(held.job_id, held.task_id)
    return storage.save_artifact(folder, held.attempt, name, media_type, content)


def _json(data: object) -> bytes:
    return json.dumps(data, allow_nan=False, indent=1).encode()
