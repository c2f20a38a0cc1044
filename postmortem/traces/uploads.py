"""Uploads are refused while they come in, so that one that is too large fills neither memory nor disk."""

from typing import Any

from django.conf import settings
from django.core.files.uploadhandler import FileUploadHandler, SkipFile

_NOTE = "postmortem.refused_upload"


class BoundedUploads(FileUploadHandler):
    """Stands before the handlers that keep files: past the bound nothing more of a file is kept.

    The rest of the request is read and thrown away, so that the answer with its sentence reaches the browser.
    """

    chunk_size = 256 * 1024

    def __init__(self, request: Any = None) -> None:
        super().__init__(request)
        self._size = 0

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        """Count from the beginning."""
        super().new_file(*args, **kwargs)
        self._size = 0

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        """Pass it on. Raises SkipFile past the bound."""
        self._size += len(raw_data)
        if self._size > settings.IMPORT_MAX_FILE_BYTES:
            if self.request is not None:
                self.request.META[_NOTE] = too_large(str(self.file_name))
            raise SkipFile
        return raw_data

    def file_complete(self, file_size: int) -> None:
        """Another handler keeps it."""


def refused_upload(request: Any) -> str:
    """The sentence for an upload of this request that was too large; empty when there was none."""
    _ = request.FILES  # reads the body, if nobody has
    return str(request.META.get(_NOTE, ""))


def too_large(name: str) -> str:
    """The sentence for a file with more bytes than one may have."""
    limit = settings.IMPORT_MAX_FILE_BYTES
    return f"{name[:80]} has more than {limit / 2**20:,.0f} MB, the most that one file may have; split it."
