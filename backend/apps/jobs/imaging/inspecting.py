"""What a file claims to be, judged against the limits, without decoding a pixel."""

from pathlib import Path
from typing import BinaryIO

from apps.jobs.imaging.containers import WALKERS
from apps.jobs.imaging.model import BadImage, ImageInfo, ImageLimits
from apps.jobs.imaging.reader import Reader

HEAD_BYTES = 512
# Real pictures in formats we refuse: the uploader deserves to know that the format is the trouble, not the file.
REFUSED = {
    "TIFF": (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"),
    "JPEG 2000": (b"\x00\x00\x00\x0cjP  ", b"\xff\x4f\xff\x51"),
    "Photoshop": (b"8BPS",),
    "icon": (b"\x00\x00\x01\x00",),
    "JPEG XL": (b"\xff\x0a", b"\x00\x00\x00\x0cJXL "),
    "PDF": (b"%PDF",),
}


def inspect(file: Path | BinaryIO, limits: ImageLimits | None = None) -> ImageInfo:
    """Read the container of an image and judge it.

    Args:
        file: a path, or a seekable binary file, which is read from its beginning and left there.
        limits: what is accepted; the defaults of `ImageLimits` otherwise.

    Returns:
        Format, size and frames as the container states them, before any rotation.

    Raises:
        BadImage: the file is refused.
        OSError: the file cannot be read.
    """
    chosen = limits or ImageLimits()
    if isinstance(file, Path):
        with file.open("rb") as opened:
            return _walk(opened, chosen)
    try:
        return _walk(file, chosen)
    finally:
        file.seek(0)


def _walk(file: BinaryIO, limits: ImageLimits) -> ImageInfo:
    reader = Reader(file, limits)
    if reader.size == 0:
        raise BadImage("empty", "the file is empty")
    if reader.size > limits.max_bytes:
        raise BadImage("too_large", f"the file has {reader.size} bytes; at most {limits.max_bytes} are accepted")
    head = reader.take(min(HEAD_BYTES, reader.size))
    reader.goto(0)
    for recognises, walk in WALKERS:
        if recognises(head):
            info = walk(reader)
            check_size(info.width, info.height, limits)
            return info
    raise _unknown(head)


def check_size(width: int, height: int, limits: ImageLimits) -> None:
    """Raise `BadImage` unless the canvas has pixels, and not too many."""
    if width < 1 or height < 1:
        raise BadImage("corrupt", "the picture has no pixels")
    if max(width, height) > limits.max_side:
        raise BadImage("side_too_long", f"{width} x {height}: no side may exceed {limits.max_side} pixels")
    if width * height > limits.max_pixels:
        raise BadImage("too_many_pixels", f"{width} x {height} is more than {limits.max_pixels} pixels")


def _unknown(head: bytes) -> BadImage:
    accepted = "send PNG, JPEG, WebP, GIF or BMP"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<svg", b"<?xml", b"<!doctype svg")) and b"<svg" in text:
        return BadImage("unsupported_format", f"SVG files are programs and are not accepted: {accepted}")
    for name, signatures in REFUSED.items():
        if head.startswith(signatures):
            return BadImage("unsupported_format", f"{name} files are not accepted: {accepted}")
    if head[4:8] == b"ftyp":
        return BadImage("unsupported_format", f"AVIF, HEIC and video files are not accepted: {accepted}")
    return BadImage("not_an_image", f"this is not an image: {accepted}")
