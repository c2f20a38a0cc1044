"""Change logs as files, JSONL or CSV: refused whole for one bad entry, or the good ones kept and the others told."""

import csv
import io
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from postmortem.changes.parse import COLUMNS, read_change, refuse_constant
from postmortem.changes.records import ChangeRecord
from postmortem.lib.errors import UserError
from postmortem.traces.values import clean

MAX_FILE_BYTES = 20 * 1024 * 1024
MAX_LINE_CHARACTERS = 64 * 1024
MAX_CHANGES = 20_000
MOST_FAULTS = 200
_ZONE = re.compile(r"(?:[zZ]|[+-]\d\d(?::?\d\d)?)$")


@dataclass(frozen=True, slots=True)
class ParsedChange:
    """One change of a file, the bytes it was written in (with the header for CSV) and its first line, from 1."""

    record: ChangeRecord
    raw: bytes
    line: int
    without_zone: bool = False  # a time of it says of no zone and was read as UTC


@dataclass(slots=True)
class ParsedLog:
    """What a file holds. `faults` are the first of what was left out: (line, sentence naming file, line and field)."""

    changes: list[ParsedChange] = field(default_factory=list)
    left_out: int = 0
    faults: list[tuple[int, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Row:
    """An entry of the file, or why it is none."""

    line: int
    fields: Mapping[str, Any]
    raw: bytes = b""
    fault: str = ""


def parse_changes(data: bytes, filename: str) -> list[ParsedChange]:
    """Read a change log. `.csv` is CSV with a header line, anything else JSONL; either may be gzipped.

    A repeated line counts once. Raises UserError with one sentence that names file, line and field of the first fault.
    """
    return parse_log(data, filename, keep_good=False).changes


def parse_log(data: bytes, filename: str, *, keep_good: bool) -> ParsedLog:
    """`parse_changes`; with `keep_good`, entries that cannot be read are left out and told instead.

    Raises UserError when there is no good entry at all.
    """
    what = PurePath(filename).name[:80] or "The change log"
    log = ParsedLog()
    seen: dict[str, ParsedChange] = {}
    try:
        for row in _rows(data, is_table=filename.lower().removesuffix(".gz").endswith(".csv")):
            fault = row.fault or _add(log, seen, row)
            if not fault:
                continue
            if not keep_good:
                raise UserError(fault)
            log.left_out += 1
            if len(log.faults) < MOST_FAULTS:
                log.faults.append((row.line, _named(fault, what)))
        if not log.changes:
            first = log.faults[0][1] if log.faults else "The change log holds no changes; write one change a line."
            raise UserError(first)
    except UserError as error:
        raise UserError(_named(str(error), what)) from error
    return log


def _named(fault: str, what: str) -> str:
    return f"{what}, l{fault[1:]}" if fault.startswith("Line ") else fault.replace("The change log", what, 1)


def _add(log: ParsedLog, seen: dict[str, ParsedChange], row: _Row) -> str:
    """Add an entry, or say why not. Raises UserError for one too many."""
    try:
        change = ParsedChange(read_change(row.fields), row.raw, row.line, _without_zone(row.fields))
    except UserError as error:
        return f"Line {row.line}: {error}"
    first = seen.setdefault(change.record.id, change)
    if first is change:
        log.changes.append(change)
    elif first.record != change.record:
        return (
            f"Line {row.line}: the id “{change.record.id}” is already used in line {first.line} for another change; "
            "give each change its own id."
        )
    if len(log.changes) > MAX_CHANGES:
        raise UserError(f"The change log has more than {MAX_CHANGES:,} changes; split it into several files.")
    return ""


def _rows(data: bytes, *, is_table: bool) -> Iterator[_Row]:
    broken = ""
    if data[:2] == b"\x1f\x8b":
        data, broken = _unzip(data)
    if broken:
        data = data[: data.rfind(b"\n") + 1]  # half of a line says nothing
        yield _Row(0, {}, fault=broken)
    if len(data) > MAX_FILE_BYTES:
        megabytes = MAX_FILE_BYTES // 1024 // 1024
        raise UserError(f"The change log is larger than {megabytes} MB; split it into several files.")
    data = data.removeprefix(b"\xef\xbb\xbf")
    if is_table:
        yield from _csv_rows(data)
    else:
        yield from _json_rows(data)


def _unzip(data: bytes) -> tuple[bytes, str]:
    """At most one byte more than the largest file, so that a small archive fills no memory; and what is wrong."""
    found, left = bytearray(), data
    damaged = "The change log breaks off or is damaged inside its gzip; pack or copy it again."
    while left and len(found) <= MAX_FILE_BYTES:
        stream = zlib.decompressobj(wbits=31)  # a gzip file may be several, one after another
        try:
            found += stream.decompress(left, MAX_FILE_BYTES + 1 - len(found))
        except zlib.error:
            return bytes(found), damaged
        if not stream.eof and len(found) <= MAX_FILE_BYTES:
            return bytes(found), damaged
        left = stream.unused_data.lstrip(b"\x00")
    return bytes(found), ""


def _not_text(line: int) -> str:
    return f"Line {line}: this is not UTF-8 text; save the change log as UTF-8."


def _json_rows(data: bytes) -> Iterator[_Row]:
    for number, line in enumerate(data.split(b"\n"), start=1):
        raw = line.strip()
        if raw:
            fields, fault = _json_row(number, raw)
            yield _Row(number, fields, raw, fault)


def _json_row(number: int, raw: bytes) -> tuple[Mapping[str, Any], str]:
    try:
        written = raw.decode()
    except UnicodeDecodeError:
        return {}, _not_text(number)
    if len(written) > MAX_LINE_CHARACTERS:
        return {}, f"Line {number}: longer than {MAX_LINE_CHARACTERS:,} characters; a change fits in less."
    try:
        fields = json.loads(written, parse_constant=refuse_constant, object_pairs_hook=_each_once)
    except _Twice as error:
        return {}, f"Line {number}: the field “{str(error)[:60]}” comes twice; write it once."
    except (ValueError, RecursionError):
        return {}, f"Line {number}: this is not JSON; write one change a line as a JSON object."
    if not isinstance(fields, dict):
        return {}, f'Line {number}: this is not a JSON object; write one change a line like {{"id": …}}.'
    return fields, ""


class _Twice(Exception):
    """A key comes twice in one object; its text is the key."""


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise _Twice(clean(next(name for place, name in enumerate(names) if name in names[:place])))
    return found


def _without_zone(fields: Mapping[str, Any]) -> bool:
    times = (fields.get(name) for name in ("at", "until"))
    return any(isinstance(time, str) and time.strip() and not _ZONE.search(time.strip()) for time in times)


def _csv_rows(data: bytes) -> Iterator[_Row]:
    """Rows of a table; what follows bytes that are no text, or quotes that do not close, cannot be told apart."""
    broken = ""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        text = data[: data.rfind(b"\n", 0, error.start) + 1].decode()
        broken = _not_text(data[: error.start].count(b"\n") + 1)
    lines = text.splitlines(keepends=True)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    header_end = done = 0
    try:
        for row in reader:
            start, done = done, reader.line_num
            if not any(cell.strip() for cell in row):
                continue
            if not header:
                header, header_end = _csv_header(row, start + 1), done
                continue
            cells = {name: cell.strip() for name, cell in zip(header, row, strict=False) if cell.strip()}
            raw = "".join([*lines[:header_end], *lines[start:done]]).encode()
            yield _Row(start + 1, cells, raw, _csv_fault(start + 1, row, header))
    except csv.Error as error:
        broken = f"Line {done + 1}: this is not CSV ({error}); check the quotes."
    if broken:
        yield _Row(done + 1, {}, fault=broken)


def _csv_fault(line: int, row: list[str], header: list[str]) -> str:
    if len(row) != len(header):
        return f"Line {line}: {len(row)} values for {len(header)} columns; quote values with commas."
    if sum(map(len, row)) > MAX_LINE_CHARACTERS:
        return f"Line {line}: longer than {MAX_LINE_CHARACTERS:,} characters."
    return ""


def _csv_header(row: list[str], line: int) -> list[str]:
    names = [name.strip().lower() for name in row]
    missing = [name for name in ("id", "layer", "at") if name not in names]
    if missing:
        raise UserError(
            f"Line {line}: the column “{missing[0]}” is missing; the first line names the columns: "
            f"{', '.join(COLUMNS)}."
        )
    if len(set(names)) != len(names):
        raise UserError(f"Line {line}: a column is named twice; give each column its own name.")
    return names
