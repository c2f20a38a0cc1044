"""Files as streams of bytes: gunzipped, recoded and bounded while they are read. No Django here."""

import codecs
import io
import zlib
from typing import BinaryIO

from postmortem.lib.errors import UserError

_READ = 256 * 1024
_MOST_MEMBERS = 100_000  # files in one gzip; block-wise packers write one for each 64 KB
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_FOREIGN = {b"PK\x03\x04": "a ZIP archive", b"%PDF": "PDF", b"\x89PNG": "a picture"}


class BrokenOff(UserError):
    """The file is damaged from some place on; what came before that place could be read."""


class Unpacked(io.RawIOBase):
    """The bytes of a file that can be read twice, gunzipped if it is gzip, at most `max_bytes` of them.

    Reading raises UserError past `max_bytes` of content, however small the packed file, and BrokenOff where the
    packing is damaged.
    """

    def __init__(self, file: BinaryIO, what: str, *, max_bytes: int) -> None:
        self._file, self._what, self._max_bytes = file, what, max_bytes
        file.seek(0)
        self._is_gzip = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        self._left = max_bytes
        self._waiting = b""
        self._members = 1
        self._stream = zlib.decompressobj(wbits=31)

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: object) -> int:
        """As io.RawIOBase says."""
        view = memoryview(buffer)  # type: ignore[arg-type]
        data = self._unzipped(len(view)) if self._is_gzip else self._file.read(len(view))
        self._left -= len(data)
        if self._left < 0:
            raise UserError(too_large(self._what, self._max_bytes))
        view[: len(data)] = data
        return len(data)

    def _unzipped(self, size: int) -> bytes:
        while True:
            if not self._waiting:
                self._waiting = self._file.read(_READ // 8)
            if not self._waiting:
                if self._stream.eof:
                    return b""
                raise BrokenOff(f"{self._what} breaks off in the middle; pack or copy it again.")
            if self._stream.eof:  # a gzip file may be several, one after another
                self._members += 1
                if self._members > _MOST_MEMBERS:
                    raise UserError(f"{self._what} is packed in more than {_MOST_MEMBERS:,} pieces; pack it again.")
                self._stream = zlib.decompressobj(wbits=31)
            try:
                data = self._stream.decompress(self._waiting, size)
            except zlib.error as error:
                raise BrokenOff(f"{self._what} is a damaged gzip file ({error}); pack or copy it again.") from error
            self._waiting = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail
            if data:
                return data


class _FromUtf16(io.RawIOBase):
    """UTF-16 with its mark, as UTF-8."""

    def __init__(self, stream: BinaryIO, what: str) -> None:
        self._stream, self._what = stream, what
        self._decoder = codecs.getincrementaldecoder("utf-16")()
        self._waiting = b""
        self._ended = False

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: object) -> int:
        """As io.RawIOBase says."""
        view = memoryview(buffer)  # type: ignore[arg-type]
        while not self._waiting and not self._ended:
            data = self._stream.read(_READ)
            self._ended = not data
            try:
                self._waiting = self._decoder.decode(data, self._ended).encode()
            except UnicodeError as error:
                raise BrokenOff(f"{self._what} is damaged UTF-16 text; export it again as UTF-8.") from error
        data, self._waiting = self._waiting[: len(view)], self._waiting[len(view) :]
        view[: len(data)] = data
        return len(data)


def open_text(reader: io.BufferedReader, what: str) -> io.BufferedReader:
    """A reader of UTF-8 bytes; UTF-16 with its mark is recoded.

    Raises UserError for what is no text: archives, pictures, UTF-16 without its mark.
    """
    head = reader.peek(4)[:4]
    for magic, kind in _FOREIGN.items():
        if head.startswith(magic):
            raise UserError(f"{what} is {kind}; export the traces as JSON, JSONL or CSV.")
    if head[:2] in _UTF16:
        return io.BufferedReader(_FromUtf16(reader, what), _READ)
    if b"\x00" in head:
        raise UserError(f"{what} is not UTF-8 text, perhaps UTF-16 without its mark; export it again as UTF-8.")
    return reader


def too_large(what: str, max_bytes: int) -> str:
    """The sentence for a file with more content than allowed."""
    return f"{what} holds more than {max_bytes // 1024 // 1024:,} MB; upload a shorter span of time."


def unpacked(file: BinaryIO, what: str, *, max_bytes: int) -> io.BufferedReader:
    """A reader of a file's content; see Unpacked."""
    return io.BufferedReader(Unpacked(file, what, max_bytes=max_bytes), _READ)
