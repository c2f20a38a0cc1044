"""The elements of a JSON list one after another, in a window of text that grows only as far as one needs. Pure."""

import codecs
import json
from collections.abc import Iterator
from typing import BinaryIO

from postmortem.traces.streams import BrokenOff
from postmortem.traces.values import MAX_DEPTH

_READ = 64 * 1024
_BLANKS = " \t\r\n\ufeff"


def elements_of(stream: BinaryIO, what: str, *, most: int) -> Iterator[bytes]:
    """The bytes of each element, at most `most` characters. Raises BrokenOff at the first place that is no list."""
    window = _Window(stream, what, most)
    window.take("[")
    if window.next() == "]":
        window.take("]")
    else:
        while True:
            yield window.value()
            if window.take(",]") == "]":
                break
    if window.next():
        raise BrokenOff(f"{what}: there is more behind the end of its list; export it again.")


class _Window:
    def __init__(self, stream: BinaryIO, what: str, most: int) -> None:
        self._stream, self._what, self._most = stream, what, most
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        self._find = json.JSONDecoder().raw_decode
        self._text, self._at, self._count, self._ended = "", 0, 0, False

    def next(self) -> str:
        """The next character that is no blank, which stays; empty at the end."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in _BLANKS:
                    return self._text[self._at]
                self._at += 1
            if not self._fill():
                return ""

    def take(self, expected: str) -> str:
        """One of `expected`, and on behind it."""
        found = self.next()
        if not found:
            raise BrokenOff(f"{self._place} is not valid JSON (the file ends before its list does).")
        if found not in expected:
            raise BrokenOff(f"{self._what}, entry {self._count}: no comma or ] behind it; export it again.")
        self._at += 1
        return found

    def value(self) -> bytes:
        """The next element."""
        self.next()
        while True:
            try:
                _, end = self._find(self._text, self._at)
            except RecursionError:
                raise BrokenOff(
                    f"{self._place} is nested more than {MAX_DEPTH} levels deep; that is no trace."
                ) from None
            except ValueError as error:
                if self._ended:
                    raise BrokenOff(f"{self._place} is not valid JSON ({str(error)[:120]}).") from error
                end = len(self._text)
            # At the very end of what is read a number may go on.
            if end < len(self._text) or self._ended:
                raw = self._text[self._at : end].encode("utf-8", "surrogatepass")
                self._at, self._count = end, self._count + 1
                return raw
            if len(self._text) - self._at > self._most:
                raise BrokenOff(
                    f"{self._place} has more than {self._most // 1024 // 1024} MB or is not valid JSON; split the file."
                )
            self._fill()

    @property
    def _place(self) -> str:
        return f"{self._what}, entry {self._count + 1}"

    def _fill(self) -> bool:
        """Read on: twice as much as waits, so that a long element is looked at a few times only."""
        piece = self._stream.read(max(_READ, len(self._text) - self._at))
        self._ended = not piece
        try:
            self._text, self._at = self._text[self._at :] + self._decode(piece, self._ended), 0
        except UnicodeDecodeError as error:
            raise BrokenOff(f"{self._place}: this is not UTF-8 text; export it again as UTF-8.") from error
        return not self._ended
