"""A file read in small pieces, with everything counted that a hostile file could make grow."""

import os
from typing import BinaryIO

from apps.jobs.imaging.model import BadImage, ImageLimits


class Reader:
    """Reads headers and steps over what they announce; never reads more than the caller asks for.

    Raises `BadImage` "truncated" where the file ends early, "metadata_too_large" and "too_many_frames" at the caps.
    """

    def __init__(self, file: BinaryIO, limits: ImageLimits) -> None:
        """Start at the beginning of a seekable file."""
        self._file = file
        self._blocks = 0
        self._metadata = 0
        self.limits = limits
        self.size = file.seek(0, os.SEEK_END)
        file.seek(0)

    def take(self, count: int) -> bytes:
        """Read exactly `count` bytes."""
        data = self._file.read(count)
        if len(data) < count:
            raise BadImage("truncated", "the file ends inside its header")
        return data

    def number(self, count: int, order: str = "big") -> int:
        """Read an unsigned number of `count` bytes."""
        return int.from_bytes(self.take(count), "little" if order == "little" else "big")

    def skip(self, count: int) -> None:
        """Step over `count` bytes, which must be there."""
        if self._file.tell() + count > self.size:
            raise BadImage("truncated", "the file is shorter than it says")
        self._file.seek(count, os.SEEK_CUR)

    @property
    def left(self) -> int:
        """Bytes from here to the end."""
        return self.size - self._file.tell()

    def goto(self, position: int) -> None:
        """Continue at `position`."""
        self._file.seek(position)

    def tell(self) -> int:
        """Where the next byte comes from."""
        return self._file.tell()

    def block(self) -> None:
        """Count one chunk or segment."""
        self._blocks += 1
        if self._blocks > self.limits.max_blocks:
            raise BadImage("metadata_too_large", f"the file has more than {self.limits.max_blocks} blocks")

    def metadata(self, count: int) -> None:
        """Count bytes of EXIF, XMP or text."""
        self._metadata += count
        if self._metadata > self.limits.max_metadata_bytes:
            raise BadImage("metadata_too_large", f"EXIF and text take more than {self.limits.max_metadata_bytes} bytes")

    def profile(self, count: int) -> None:
        """Judge the size of a colour profile."""
        if count > self.limits.max_profile_bytes:
            raise BadImage(
                "metadata_too_large", f"the colour profile takes more than {self.limits.max_profile_bytes} bytes"
            )

    def frames(self, count: int) -> None:
        """Judge a number of frames."""
        if count > self.limits.max_frames:
            raise BadImage("too_many_frames", f"the animation has more than {self.limits.max_frames} frames")
