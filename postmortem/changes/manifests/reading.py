"""Manifests in JSON or JSON Lines, plain or gzipped, read as a stream of bounded size. Pure.

JSON Lines: the first line may tell about the whole (index, version, at, encoder, chunking), every other line is one
document or row. JSON: one object that has the same names beside "documents" or "rows", or only the list of them.
"""

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import PurePath
from typing import Any, BinaryIO, TypeVar

import orjson

from postmortem.changes.manifests.fields import (
    LISTS,
    NOT_JSON,
    header_of,
    is_header,
    kind_of,
    read_document,
    read_training_row,
)
from postmortem.changes.manifests.shapes import Document, Manifest, TrainingRow
from postmortem.lib.errors import UserError
from postmortem.traces.intake import Fault

MAX_UPLOAD_BYTES = 64 * 1024 * 1024
MAX_UNPACKED_BYTES = 512 * 1024 * 1024
MAX_JSON_BYTES = 64 * 1024 * 1024  # of one JSON document, which is read whole
MAX_LINE_BYTES = 64 * 1024
MAX_ENTRIES = 500_000
FAULTS_SHOWN = 20
_Item = tuple[int, Any]  # its place: the line in JSON Lines, else the number in the list; and its JSON
_Entry = TypeVar("_Entry", Document, TrainingRow)


def read_manifest(
    file: BinaryIO, filename: str, *, given: Mapping[str, str] | None = None, keep_good: bool = False
) -> Manifest:
    """Read a manifest. `given` (kind, name, version, at, …) is what a person says and wins over the file.

    A row that cannot be read refuses the file, or with `keep_good` is left out and counted.
    Raises UserError that names file, line and field.
    """
    what = PurePath(filename).name[:80] or "The file"
    told = {name: value for name, value in (given or {}).items() if value}
    whole, items, place = _items(_Bounded(file, what), what)
    kind = kind_of(told, whole)
    if kind is None:
        first = next(items, None)
        kind = kind_of({}, first[1] if first else {})
        items = chain([first] if first else [], items)
    if kind is None:
        raise UserError(
            f"{what} tells neither documents with hashes nor training rows; say in its first line which index or "
            "dataset it is about, or choose the kind."
        )
    header = header_of(kind, whole, told, what)
    gold = whole.get("gold_documents")
    reading = _Reading(what, place, keep_good)
    documents: dict[str, Document] = {}
    rows: dict[str, TrainingRow] = {}
    if kind == "corpus":
        documents = reading.entries(items, read_document)
        marked = {str(one) for one in gold} if isinstance(gold, list) else set()
        documents |= {one: documents[one]._replace(is_gold=True) for one in marked & documents.keys()}
    else:
        rows = reading.entries(items, read_training_row)
    if not documents and not rows:
        told_fault = f" {reading.faults[0].sentence}." if reading.faults else ""
        raise UserError(f"{what} lists no {'documents' if kind == 'corpus' else 'rows'}.{told_fault}")
    return Manifest(header, documents, rows, tuple(reading.faults), reading.fault_count)


@dataclass
class _Reading:
    """Reads entries one after the other; `place` says where an entry stands in the file."""

    what: str
    place: "_Place"
    keep_good: bool
    faults: list[Fault] = field(default_factory=list)
    fault_count: int = 0

    def entries(self, items: Iterator[_Item], read: Callable[[Any], tuple[str, _Entry]]) -> dict[str, _Entry]:
        """Entries by id; the same one again counts once."""
        found: dict[str, _Entry] = {}
        places: dict[str, int] = {}
        for place, value in items:
            try:
                identifier, entry = read(value)
                before = found.setdefault(identifier, entry)
                if before is entry:
                    places[identifier] = place
                elif before != entry:
                    told = self.place.text(places[identifier])
                    raise UserError(f"field “id”: “{identifier[:60]}” is told otherwise in {told} already")
            except UserError as error:
                self._fault(place, str(error))
            if len(found) > MAX_ENTRIES:
                raise UserError(f"{self.what} lists more than {MAX_ENTRIES:,} entries; split the index or the set.")
        return found

    def _fault(self, place: int, sentence: str) -> None:
        if not self.keep_good:
            raise UserError(f"{self.what}, {self.place.text(place)}: {sentence}.")
        self.fault_count += 1
        if len(self.faults) < FAULTS_SHOWN:
            self.faults.append(Fault(self.place.line(place), sentence))


class _Bounded:
    """Lines of a stream, unpacked if it is gzip, counted as they come."""

    def __init__(self, file: BinaryIO, what: str) -> None:
        self._what = what
        self._left = MAX_UNPACKED_BYTES
        magic = file.read(2)
        file.seek(0)
        self._file: Any = gzip.GzipFile(fileobj=file) if magic == b"\x1f\x8b" else file
        if magic == b"PK":
            raise UserError(f"{what} is a ZIP archive; upload the manifest as JSON or JSON Lines, gzipped if you like.")

    def line(self, limit: int = MAX_LINE_BYTES) -> bytes:
        """The next line with its end, or as much of it as `limit` allows; empty at the end."""
        return self._count(self._read(self._file.readline, limit + 1))

    def rest(self, limit: int) -> bytes:
        """What is left, at most one byte more than `limit`."""
        return self._count(self._read(self._file.read, limit + 1))

    def _read(self, read: Any, size: int) -> bytes:
        try:
            return bytes(read(size))
        except EOFError as error:
            raise UserError(f"{self._what} breaks off in the middle; pack or copy it again.") from error
        except (OSError, zlib.error) as error:
            raise UserError(f"{self._what} is a damaged gzip file; pack or copy it again.") from error

    def _count(self, data: bytes) -> bytes:
        self._left -= len(data)
        if self._left < 0:
            megabytes = MAX_UNPACKED_BYTES // 1024 // 1024
            raise UserError(f"{self._what} unpacks to more than {megabytes} MB; split the index or the set.")
        return data


class _Place:
    """Where entries of JSON Lines stand: an entry's place is its line."""

    def line(self, place: int) -> int:
        """The line of an entry, from 1."""
        return place

    def text(self, place: int) -> str:
        """For people."""
        return f"line {self.line(place)}"


class _ListPlace(_Place):
    """Where the entries of a JSON list stand. Found only when somebody asks, by reading the list again."""

    def __init__(self, data: bytes, name: str) -> None:
        self._data, self._name = data, name

    def line(self, place: int) -> int:
        """The line in which the entry with this number begins."""
        return self._lines(place)[-1]

    def text(self, place: int) -> str:
        """Its line and number: in one long line the line says little."""
        return f"line {self.line(place)} ({self._name.removesuffix('s') or 'entry'} {place:,})"

    def _lines(self, most: int) -> list[int]:
        text = self._data.decode("utf-8", "replace")
        begin = re.search(rf'"{self._name}"\s*:\s*[\[{{]' if self._name else r"\[", text)
        at, line, counted = begin.end() if begin else 0, 1, 0
        read = json.JSONDecoder().raw_decode
        found: list[int] = []
        while len(found) < most:
            at = _BETWEEN.match(text, at).end()  # type: ignore[union-attr]  # it matches nothing as well
            line, counted = line + text.count("\n", counted, at), at
            found.append(line)
            _, at = read(text, at)
            if colon := _COLON.match(text, at):
                _, at = read(text, colon.end())
        return found


_BETWEEN, _COLON = re.compile(r"[\s,]*"), re.compile(r"\s*:\s*")


def _items(stream: _Bounded, what: str) -> tuple[dict[str, Any], Iterator[_Item], _Place]:
    """What the file says of the whole, its entries, and where they stand."""
    number, line = 0, b"\n"
    while line and not line.strip():
        number, line = number + 1, stream.line()
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
    if not line:
        raise UserError(f"{what} is empty.")
    try:
        first = orjson.loads(line) if len(line) <= MAX_LINE_BYTES else None
    except orjson.JSONDecodeError:
        first = None
    if isinstance(first, dict) and not any(isinstance(first.get(name), list | dict) for name in LISTS):
        whole = first if is_header(first) else {}
        return whole, _json_lines(stream, what, number, None if whole else first), _Place()
    return _json(line + stream.rest(MAX_JSON_BYTES), what)


def _json_lines(stream: _Bounded, what: str, number: int, first: dict[str, Any] | None) -> Iterator[_Item]:
    if first is not None:
        yield number, first
    while line := stream.line():
        number += 1
        if len(line) > MAX_LINE_BYTES:
            raise UserError(f"{what}, line {number}: longer than {MAX_LINE_BYTES // 1024} KB; that is no entry.")
        if not line.strip():
            continue
        try:
            yield number, orjson.loads(line)
        except orjson.JSONDecodeError:
            yield number, NOT_JSON


def _json(data: bytes, what: str) -> tuple[dict[str, Any], Iterator[_Item], _Place]:
    if len(data) > MAX_JSON_BYTES:
        raise UserError(
            f"{what} is one JSON document of more than {MAX_JSON_BYTES // 1024 // 1024} MB; write one entry a line."
        )
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise UserError(f"{what}, line {error.lineno}: this is not JSON ({error.msg[:80]}).") from error
    whole: dict[str, Any] = value if isinstance(value, dict) else {}
    name = next((one for one in LISTS if isinstance(whole.get(one), list | dict)), "")
    entries = whole[name] if name else value
    if isinstance(entries, dict) and name:
        entries = [_named(key, inner) for key, inner in entries.items()]
    if not isinstance(entries, list):
        raise UserError(f"{what} has no list “documents” or “rows”; write one of them, or one entry a line.")
    about = {key: inner for key, inner in whole.items() if key != name}
    return about | ({name: True} if name else {}), iter(enumerate(entries, start=1)), _ListPlace(data, name)


def _named(key: str, inner: Any) -> Any:
    """An entry of an object: id to hash, or id to what is known of it."""
    if isinstance(inner, str):
        return {"id": key, "hash": inner}
    return {"id": key, **inner} if isinstance(inner, dict) else inner
