"""A file's entries one after another: lines of JSON, elements of a JSON list, rows of CSV. No Django here.

At most one entry is in memory, so that a file may be of any size; an entry has bounds. An entry that cannot be read
carries its fault, and the next one is read all the same.
"""

import codecs
import csv
import io
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from postmortem.lib.errors import UserError
from postmortem.traces.json_list import elements_of
from postmortem.traces.streams import BrokenOff
from postmortem.traces.values import MAX_DEPTH, check_depth, clean, load_json

MAX_ENTRY_BYTES = 32 * 1024 * 1024
MAX_BLANK_BYTES = 1024 * 1024  # of blank lines in a row
MAX_CELL = 5_000_000  # characters: an input may be long
MAX_COLUMNS = 300
_BOM = codecs.BOM_UTF8
_READ = 64 * 1024
_LARGEST = 2**63


@dataclass(slots=True)
class Entry:
    """One object of a file. `line` counts from 1, and is 0 where the format has no lines; `where` begins sentences.

    `raw` are its bytes; `fault` is the sentence that says why there is no `value`.
    """

    line: int
    where: str
    raw: bytes
    value: Any = None
    fault: str = ""
    table: str = ""  # "csv" or "parquet": its cells have names and no nesting of their own
    packed: bytes = b""  # JSON of the value that UTF-8 and 64 bits hold


class Entries:
    """The entries of a UTF-8 stream; raises UserError for a file that holds none, BrokenOff at a damaged place.

    With `strict`, numbers that are not finite and keys that come twice are faults; bytes that are stored already are
    read without, so that what an older version took in can still be read.
    """

    def __init__(self, reader: io.BufferedReader, what: str, *, strict: bool = True, any_table: bool = False) -> None:
        self._reader, self.what, self._strict, self._any_table = reader, what, strict, any_table
        self.header = b""  # of CSV: its first line
        self.is_list = False

    def page(self, raws: list[bytes]) -> bytes:
        """Some entries in a row as bytes that can be read back by themselves."""
        if self.is_list:
            return b"[" + b",\n".join(raws) + b"]"
        whole = b"".join(raws)
        return whole if not self.header or whole.startswith(self.header) else self.header + whole

    def __iter__(self) -> Iterator[Entry]:
        head = self._reader.peek(_READ)[:_READ]
        start = head.removeprefix(_BOM).lstrip()[:1]
        if start == b"[":
            self.is_list = True
            return self._of_list()
        if start in {b"{", b""}:
            return self._of_lines()
        return self._of_csv()

    def _of_lines(self) -> Iterator[Entry]:
        line, held = 0, bytearray()
        begun = False
        while raw := self.line(line + 1):
            line += 1
            text = raw.removeprefix(_BOM) if line == 1 else raw
            if not text.strip():
                held += raw  # blank lines belong to the bytes of what follows
                if len(held) > MAX_BLANK_BYTES:
                    raise BrokenOff(f"{self.what}, line {line}: nothing but blank lines; export the file again.")
                continue
            if not begun and text.lstrip()[:1] not in {b"{", b"["}:  # blank lines before a table
                yield from self._of_csv(bytes(held), raw, line)
                return
            where = f"{self.what}, line {line}"
            entry = self._entry(line, where, text, bytes(held) + raw)
            if not begun and entry.fault and not text.rstrip().endswith(b"}"):
                yield from self._document(bytes(held) + raw, entry)
                return
            begun, held = True, bytearray()
            yield entry
        if not begun:
            raise UserError(f"{self.what} is empty.")
        if held:
            yield Entry(0, self.what, bytes(held))

    def _document(self, begin: bytes, first: Entry) -> Iterator[Entry]:
        """One value over many lines; what is no such thing is a first line that cannot be read."""
        data = begin + self._reader.read(MAX_ENTRY_BYTES + 1 - len(begin))
        if data.count(b"\n", 0, len(data) - 1) == 0:  # it was the only line
            yield first
            return
        if len(data) > MAX_ENTRY_BYTES:
            raise UserError(
                f"{self.what} is one JSON document of more than {MAX_ENTRY_BYTES // 1024 // 1024} MB, or broken in "
                "its first line; export it as JSON Lines, one object a line."
            )
        entry = self._entry(0, self.what, data.removeprefix(_BOM), data)
        if entry.fault:
            raise BrokenOff(entry.fault)
        yield entry

    def _of_list(self) -> Iterator[Entry]:
        count = 0
        for count, raw in enumerate(elements_of(self._reader, self.what, most=MAX_ENTRY_BYTES), start=1):
            yield self._entry(0, f"{self.what}, entry {count}", raw, raw)
        if not count:
            raise UserError(f"{self.what} holds no traces: it is an empty list.")

    def _of_csv(self, held: bytes = b"", first: bytes = b"", line: int = 1) -> Iterator[Entry]:
        """Rows of a table; `first` is its first line where that is read already, `held` the blank lines before it."""
        csv.field_size_limit(MAX_CELL)
        first = first or self.line(line)
        lines = _CsvLines(self, first, line)
        begin = lines.text(first)
        delimiter = max(",;\t", key=begin.count) if self._any_table else ","
        rows = csv.reader(lines, delimiter=delimiter, strict=True)
        try:
            names = [name.strip()[:200] for name in next(rows, [])]
            self.header = held + lines.taken()
            self._check_header(names)
            blank = bytearray()
            for cells in rows:
                number = rows.line_num + line - 1
                if not any(cells):
                    blank += lines.taken()
                    if len(blank) > MAX_BLANK_BYTES:
                        raise BrokenOff(f"{self.what}, line {number}: nothing but empty rows; export the file again.")
                    continue
                raw, blank = bytes(blank) + lines.taken(), bytearray()
                where = f"{self.what}, line {number}"
                if len(cells) != len(names):
                    said = f"{where}: {len(cells)} cells, but the header names {len(names)} columns."
                    yield Entry(number, where, raw, fault=said)
                    continue
                filled = {name: cell for name, cell in zip(names, cells, strict=True) if name and cell != ""}
                yield Entry(number, where, raw, filled, table="csv")
        except csv.Error as error:
            where = f"{self.what}, line {rows.line_num + line - 1}"
            raise BrokenOff(f"{where}: this is not valid CSV ({error}).") from error

    def _check_header(self, names: list[str]) -> None:
        what = self.what
        if len(names) > MAX_COLUMNS:
            raise UserError(f"{what} has more than {MAX_COLUMNS} columns; that is no table of traces.")
        if self._any_table and len(names) < 2:
            raise UserError(
                f"{what} has one column; a table of traces names at least an id and a time in its first line."
            )
        if not self._any_table and (not {"id", "traceId", "trace_id"} & set(names) or len(names) < 2):
            raise UserError(
                f"{what} is neither JSON nor a Langfuse table export: its first line names no id column. "
                "Upload a trace download, a table export or traces.jsonl; a table of your own make needs its columns "
                "mapped."
            )
        named = [name for name in names if name]
        if twice := next((name for place, name in enumerate(named) if name in named[:place]), ""):
            raise UserError(f"{what}, line 1: the column “{twice[:60]}” is named twice; give each its own name.")

    def line(self, number: int) -> bytes:
        """The next line with its end. Raises BrokenOff for one that is too long."""
        raw = self._reader.readline(MAX_ENTRY_BYTES + 1)
        if len(raw) > MAX_ENTRY_BYTES:
            raise BrokenOff(self.too_long(f"{self.what}, line {number}"))
        return raw

    def too_long(self, where: str) -> str:
        """The sentence for an entry that is too large."""
        return f"{where} has more than {MAX_ENTRY_BYTES // 1024 // 1024} MB; split it into several."

    def _entry(self, line: int, where: str, text: bytes, raw: bytes) -> Entry:
        try:
            value, packed = parse_json(text, where, strict=self._strict)
            return Entry(line, where, raw, value, packed=packed)
        except UserError as error:
            return Entry(line, where, raw, fault=str(error))


def parse_json(text: bytes, where: str, *, strict: bool = True) -> tuple[Any, bytes]:
    """A JSON value, nested at most 100 deep, without what UTF-8 cannot hold, and JSON that says just that.

    Raises UserError, which begins with `where`, for what is not valid; with `strict` also for a number that is not
    finite and for a key that comes twice in one object.
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = _carefully(text, where, strict=strict)
        return value, orjson.dumps(value)
    if text.count(b"[") + text.count(b"{") > MAX_DEPTH:
        check_depth(value, where)
    # Written again, an object whose key came twice has fewer quotes.
    if strict and _quotes(orjson.dumps(value)) != _quotes(text):
        _check_keys(text, where)
    return value, text


def not_utf8(where: str, error: UnicodeDecodeError) -> str:
    """The sentence for bytes that are no text, with the first of them."""
    return (
        f"{where}: this is not UTF-8 text (byte {error.object[error.start]:#04x} at place {error.start + 1}); "
        "export it again as UTF-8."
    )


def not_finite(where: str, place: str) -> str:
    """The sentence for NaN and numbers that are too large."""
    return f"{where}: “{place[:100]}” is not a finite number (NaN or too large); leave it out or mend it."


def _carefully(text: bytes, where: str, *, strict: bool) -> Any:
    """What the fast reader refused: broken, or halves of surrogate pairs, NaN, very large numbers."""
    try:
        text.decode()
    except UnicodeDecodeError as error:
        raise UserError(not_utf8(where, error)) from error
    value = load_json(text, where)
    if strict:
        if place := _not_finite(value):
            raise UserError(not_finite(where, place))
        _check_keys(text, where)
    return _storable(value)


def _quotes(text: bytes) -> int:
    return text.count(b'"') - (text.count(b'\\"') if b"\\" in text else 0)


def _check_keys(text: bytes, where: str) -> None:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for place, name in enumerate(names) if name in names[:place])
            raise UserError(
                f"{where}: the field “{clean(twice[:60])}” comes twice; export it again with each field once."
            )
        return found

    try:
        json.loads(text, object_pairs_hook=unique)
    except UserError:
        raise
    except (ValueError, RecursionError):
        return  # another reader said already what is wrong


def _not_finite(value: Any, place: str = "") -> str:
    """The path of the first number that is not finite; empty when all are."""
    if isinstance(value, float):
        return "" if math.isfinite(value) else place or "the value"
    items: Iterator[tuple[Any, Any]] = iter(())
    if isinstance(value, Mapping):
        items = iter(value.items())
    elif isinstance(value, list):
        items = iter(enumerate(value, start=1))
    for name, item in items:
        if found := _not_finite(item, f"{place}.{name}" if place else str(name)):
            return clean(found)
    return ""


def _storable(value: Any) -> Any:
    """Text without halves of surrogate pairs, numbers that 64 bits hold or as text."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if -_LARGEST <= value < _LARGEST else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {clean(str(key)): _storable(item) for key, item in value.items()}
    return [_storable(item) for item in value]


class _CsvLines:
    """Lines as text for the CSV reader, and the bytes of those that it has taken since the last row."""

    def __init__(self, entries: Entries, first: bytes, number: int) -> None:
        self._entries, self._next, self._number = entries, first, number
        self._taken: list[bytes] = []
        self._size = 0

    def __iter__(self) -> "_CsvLines":
        return self

    def __next__(self) -> str:
        raw = self._next or self._entries.line(self._number)
        self._next = b""
        if not raw:
            raise StopIteration
        self._size += len(raw)
        if self._size > MAX_ENTRY_BYTES:
            raise BrokenOff(self._entries.too_long(f"{self._entries.what}, line {self._number}"))
        self._taken.append(raw)
        text = self.text(raw)
        self._number += 1
        return text

    def text(self, raw: bytes) -> str:
        """A line as text. Raises BrokenOff for what is none."""
        try:
            return raw.removeprefix(_BOM).decode() if self._number == 1 else raw.decode()
        except UnicodeDecodeError as error:
            raise BrokenOff(not_utf8(f"{self._entries.what}, line {self._number}", error)) from error

    def taken(self) -> bytes:
        """The bytes since the last call."""
        taken, self._taken, self._size = b"".join(self._taken), [], 0
        return taken
