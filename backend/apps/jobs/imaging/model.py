"""The words of this package: limits, what an image is, and why one is refused."""

from dataclasses import dataclass
from typing import Literal, get_args

BadImageCode = Literal[
    "empty",
    "too_large",
    "not_an_image",
    "unsupported_format",
    "truncated",
    "corrupt",
    "too_many_pixels",
    "side_too_long",
    "too_many_frames",
    "metadata_too_large",
    "decode_timeout",
    "decode_memory",
    "decode_crashed",
]
CODES: tuple[BadImageCode, ...] = get_args(BadImageCode)

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What is accepted, and what decoding may cost.

    Attributes:
        max_bytes: size of the file.
        max_pixels: width times height of the canvas. 40 million is a 40-megapixel camera; as RGB it takes 120 MB.
        max_side: longer side in pixels.
        max_frames: frames of an animation; only the first is used, but a file of a million is an attack.
        max_profile_bytes: embedded ICC profile; printing profiles reach 3 MB.
        max_metadata_bytes: EXIF, XMP, comments and other text, together.
        max_blocks: chunks, segments or blocks of the container.
        decode_seconds: wall time of the decoding child, start included.
        decode_memory_bytes: address space of the child (where the system has RLIMIT_AS).
    """

    max_bytes: int = 20 * MEBIBYTE
    max_pixels: int = 40_000_000
    max_side: int = 20_000
    max_frames: int = 1_000
    max_profile_bytes: int = 4 * MEBIBYTE
    max_metadata_bytes: int = 2 * MEBIBYTE
    max_blocks: int = 100_000
    decode_seconds: float = 20.0
    decode_memory_bytes: int = 1024 * MEBIBYTE


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What a container says about its picture. `mode` is Pillow's word: L, LA, P, RGB, RGBA, CMYK, I;16, 1."""

    format: str
    width: int
    height: int
    frames: int
    mode: str


class BadImage(ValueError):
    """A picture that is refused: the uploader's fault, so trying again is useless.

    Attributes:
        code: one of `CODES`, stable.
        message: one sentence for the uploader, without file names.
    """

    def __init__(self, code: BadImageCode, message: str) -> None:
        """Keep both; the text of the exception has the code in front."""
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        """Code and message."""
        return f"{self.code}: {self.message}"
