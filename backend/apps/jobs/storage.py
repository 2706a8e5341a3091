"""Where files live, all under MEDIA_ROOT and all named by ids the server made. Nothing a user typed becomes a path."""

import contextlib
import hashlib
import shutil
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings


@dataclass(frozen=True, slots=True)
class Draft:
    """A file that is complete on disk and not yet recorded. `path` is relative to MEDIA_ROOT."""

    name: str
    media_type: str
    size: int
    sha256: str
    path: str


def upload_path(job_id: uuid.UUID, image_id: uuid.UUID) -> Path:
    """The bytes as they were sent; never served to anybody."""
    return _root() / "uploads" / str(job_id) / str(image_id)


def image_path(job_id: uuid.UUID, image_id: uuid.UUID) -> Path:
    """The image as the algorithms read it: re-encoded by us."""
    return _root() / "images" / str(job_id) / f"{image_id}.png"


def artifact_file(relative: str) -> Path:
    """An artifact's file.

    Raises:
        FileNotFoundError: when the recorded path is not a regular file inside the artifact folder (gone, or a symlink).
    """
    folder = (_root() / "artifacts").resolve()
    path = _root() / relative
    if path.is_symlink() or not path.resolve().is_relative_to(folder) or not path.is_file():
        raise FileNotFoundError(relative)
    return path


def save_upload(target: Path, chunks: Iterable[bytes]) -> None:
    """Write an upload; complete or not there at all."""
    with written_whole(target) as temporary, temporary.open("wb") as file:
        for chunk in chunks:
            file.write(chunk)


def save_artifact(task_dir: Path, attempt: int, name: str, media_type: str, content: bytes) -> Draft:
    """Write one artifact of one attempt; complete or not there at all.

    Raises:
        OSError: the disk did not take it; nothing is left behind.
    """
    path = task_dir / f"{attempt}-{name}"
    with written_whole(path) as temporary:
        temporary.write_bytes(content)
    return Draft(
        name, media_type, len(content), hashlib.sha256(content).hexdigest(), path.relative_to(_root()).as_posix()
    )


def artifact_dir(job_id: uuid.UUID, task_id: uuid.UUID) -> Path:
    """The folder of everything one task makes, whatever the attempt."""
    return _root() / "artifacts" / str(job_id) / str(task_id)


def discard_attempt(job_id: uuid.UUID, task_id: uuid.UUID, attempt: int) -> None:
    """Remove what an attempt that did not succeed wrote; other attempts' files stay."""
    for path in artifact_dir(job_id, task_id).glob(f"{attempt}-*"):
        path.unlink(missing_ok=True)


def discard_leftovers(job_id: uuid.UUID) -> None:
    """Once a job has ended: remove its uploads, and the half-written images of attempts that were killed."""
    shutil.rmtree(_root() / "uploads" / str(job_id), ignore_errors=True)
    for path in (_root() / "images" / str(job_id)).glob("*"):
        if path.suffix != ".png" or path.name.startswith("."):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """Give a temporary name beside `target`; renamed when the block ends well, removed when it does not."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f"{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _root() -> Path:
    return Path(settings.MEDIA_ROOT)
