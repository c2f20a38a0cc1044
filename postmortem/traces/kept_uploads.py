"""Uploaded files in the database until they are imported: web and worker processes share nothing else."""

import hashlib
import io
from collections.abc import Collection
from datetime import timedelta
from typing import BinaryIO, cast

import zstandard
from django.conf import settings
from django.db import transaction

from postmortem.accounts.models import Person
from postmortem.incidents.models import Incident
from postmortem.incidents.permissions import Capability, require
from postmortem.incidents.services import refuse_published
from postmortem.lib.clock import utc_now
from postmortem.lib.errors import UserError
from postmortem.traces.models import Upload, UploadPart

PART_BYTES = 1024 * 1024
KEPT = timedelta(days=1)
_LEVEL = 1
_UNPACKED = 8  # how much larger what is in a packed file usually is
_PACKED = (b"\x1f\x8b", b"PAR1")
_PARTS_HELD = 3


def takes_long(file: BinaryIO) -> bool:
    """Whether nobody should wait for the import of this file."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(4)
    file.seek(0)
    return size * (_UNPACKED if head.startswith(_PACKED) else 1) > settings.IMPORT_AT_ONCE_BYTES


def keep_upload(*, incident: Incident, by: Person, filename: str, file: BinaryIO, awaits: str) -> Upload:
    """Keep a file's bytes in parts. A large one is written part by part, so that nobody else waits for it meanwhile.

    Raises UserError for a file that is larger than allowed, or empty.
    """
    require(by, Capability.IMPORT, incident)
    refuse_published(incident)
    upload = Upload.objects.create(incident=incident, person=by, filename=filename[:200], awaits=awaits)
    found, size, number = hashlib.sha256(), 0, 0
    compressor = zstandard.ZstdCompressor(level=_LEVEL)
    try:
        file.seek(0)
        while piece := file.read(PART_BYTES):
            size += len(piece)
            if size > settings.IMPORT_MAX_FILE_BYTES:
                limit = settings.IMPORT_MAX_FILE_BYTES / 2**20
                raise UserError(f"{filename[:80]} has more than {limit:,.0f} MB, the most one file may have; split it.")
            found.update(piece)
            UploadPart.objects.create(upload=upload, number=number, compressed=compressor.compress(piece))
            number += 1
        if not size:
            raise UserError(f"{filename[:80]} is empty.")
    except BaseException:
        forget_upload(upload)
        raise
    upload.size_bytes, upload.sha256 = size, found.hexdigest()
    upload.save(update_fields=["size_bytes", "sha256"])
    return upload


def open_upload(upload: Upload) -> BinaryIO:
    """The file as it came, to be read in any order; one part is in memory at a time, and few more."""
    return StoredFile(upload).buffered()


def forget_upload(upload: Upload) -> None:
    """Give the room back."""
    with transaction.atomic():
        UploadPart.objects.filter(upload=upload).delete()
        Upload.objects.filter(pk=upload.pk).delete()


def forget_old_uploads(in_use: Collection[int] = ()) -> None:
    """Throw away what nobody came back for within a day."""
    for upload in Upload.objects.filter(made_at__lt=utc_now() - KEPT).exclude(pk__in=in_use):
        forget_upload(upload)


class StoredFile(io.RawIOBase):
    """An upload's bytes, read part by part."""

    def __init__(self, upload: Upload) -> None:
        self._upload, self.size = upload, upload.size_bytes
        self._place = 0
        self._held: dict[int, bytes] = {}
        self.furthest = 0  # how much of it somebody has read

    def buffered(self) -> BinaryIO:
        """The same for many small reads."""
        return cast(BinaryIO, io.BufferedReader(self, PART_BYTES))

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As io.IOBase says."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self.size}[whence]
        self._place = max(0, base + offset)
        return self._place

    def readinto(self, buffer: object) -> int:
        """As io.RawIOBase says: at most to the end of a part."""
        view = memoryview(buffer)  # type: ignore[arg-type]
        if self._place >= self.size:
            return 0
        number, begin = divmod(self._place, PART_BYTES)
        piece = self._part(number)[begin : begin + len(view)]
        view[: len(piece)] = piece
        self._place += len(piece)
        self.furthest = max(self.furthest, self._place)
        return len(piece)

    def _part(self, number: int) -> bytes:
        if number not in self._held:
            stored = UploadPart.objects.filter(upload=self._upload, number=number).values_list("compressed", flat=True)
            found = stored.first()
            if found is None:
                raise UserError(f"{self._upload.filename[:80]} is no longer kept; upload it again.")
            while len(self._held) >= _PARTS_HELD:
                self._held.pop(next(iter(self._held)))
            self._held[number] = zstandard.decompress(bytes(found), max_output_size=PART_BYTES)
        return self._held[number]
