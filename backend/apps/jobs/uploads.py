"""Caps on what a request may upload, kept while it arrives rather than after."""

from typing import Any

from django.conf import settings
from django.core.files.uploadhandler import FileUploadHandler

from apps.jobs.problems import TooLarge


class CappedUploadHandler(FileUploadHandler):
    """Refuses a request as soon as one file or all of them together pass their cap; stores nothing itself.

    Django's own body limit does not count file parts.
    """

    def __init__(self, request: Any = None) -> None:
        super().__init__(request)
        self._file_bytes = 0
        self._all_bytes = 0

    def handle_raw_input(  # the names are Django's
        self,
        input_data: Any,
        META: dict[str, Any],  # noqa: N803
        content_length: int,
        boundary: Any,
        encoding: Any = None,
    ) -> None:
        """Refuse by the announced length, before the first byte is read."""
        if content_length > settings.INTELLI_MAX_BODY_BYTES:
            raise _too_large("the request", settings.INTELLI_MAX_BODY_BYTES)

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        """Start counting the next file."""
        super().new_file(*args, **kwargs)
        self._file_bytes = 0

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        """Count, and pass on to the handler that stores."""
        self._file_bytes += len(raw_data)
        self._all_bytes += len(raw_data)
        if self._file_bytes > settings.INTELLI_MAX_UPLOAD_BYTES:
            raise _too_large("one file", settings.INTELLI_MAX_UPLOAD_BYTES)
        if self._all_bytes > settings.INTELLI_MAX_BODY_BYTES:
            raise _too_large("the request", settings.INTELLI_MAX_BODY_BYTES)
        return raw_data

    def file_complete(self, file_size: int) -> None:
        """Leave the file to the next handler."""


def _too_large(what: str, limit: int) -> TooLarge:
    return TooLarge(f"{what} is larger than {limit} bytes")
