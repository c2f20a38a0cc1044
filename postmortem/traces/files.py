"""Files that people upload instead of a link: downloads, exports and the open format. No Django here."""

import zlib
from dataclasses import dataclass
from pathlib import PurePath

from postmortem.lib.errors import UserError
from postmortem.traces.records import SourcePage, TraceRecord
from postmortem.traces.rows import TraceRows, rows_of

MAX_FILE_BYTES = 200 * 1024 * 1024
_SLICE_BYTES = 1024 * 1024
_FOREIGN = {b"PK\x03\x04": "a ZIP archive", b"%PDF": "PDF", b"\x89PNG": "a picture"}


@dataclass(frozen=True, slots=True)
class ParsedFile:
    """What a file holds: its traces, and its bytes in pages that say which traces they tell about."""

    records: list[TraceRecord]
    pages: list[SourcePage]


def parse_file(data: bytes, filename: str, *, max_bytes: int = MAX_FILE_BYTES) -> list[TraceRecord]:
    """The traces of a file, in its order.

    Reads Langfuse's trace download (with and without a trace object), table exports and blob exports as
    JSON, JSONL or CSV, bodies of `GET /api/public/traces/{id}` (one, or one a line), and the open format
    `traces.jsonl`, and OTLP/JSON (one document, or one a line); each also gzipped. Raises UserError with the line
    that is wrong.
    """
    return read_file(data, filename, max_bytes=max_bytes).records


def read_file(data: bytes, filename: str, *, max_bytes: int = MAX_FILE_BYTES) -> ParsedFile:
    """As parse_file, with the bytes cut into pages of whole lines (about 1 MiB), each naming its traces."""
    what = PurePath(filename).name[:80] or "The file"
    data = unpack(data, what, max_bytes=max_bytes)
    for magic, kind in _FOREIGN.items():
        if data.startswith(magic):
            raise UserError(f"{what} is {kind}; export the traces as JSON, JSONL or CSV.")
    collected = TraceRows()
    lines: dict[int, set[str]] = {}
    for row in rows_of(data, what):
        collected.add(row)
        if row.line:
            lines.setdefault(row.line, set()).add(row.trace_id)
    identifiers = collected.trace_ids()
    if not identifiers:
        raise UserError(f"{what} holds scores but no traces; upload the traces or observations that they belong to.")
    try:
        records = [collected.record(identifier) for identifier in identifiers]
    except UserError as error:
        raise UserError(f"{what}, {error}.".replace("..", ".")) from error
    is_table = data.lstrip()[:1] not in {b"{", b"[", b"\xef"}
    pages = _slices(data, lines) if lines and not is_table else [SourcePage(data)]
    return ParsedFile(records, pages)


def unpack(data: bytes, what: str, *, max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """`data`, gunzipped if it is gzip. Raises UserError past `max_bytes` of content, however small the packed file."""
    if data[:2] != b"\x1f\x8b":
        if len(data) > max_bytes:
            raise UserError(_too_large(what, max_bytes))
        return data
    pieces: list[bytes] = []
    left = max_bytes
    try:
        while data:
            stream = zlib.decompressobj(wbits=31)
            piece = stream.decompress(data, left + 1)
            pieces.append(piece)
            left -= len(piece)
            if left < 0:
                raise UserError(_too_large(what, max_bytes))
            if not stream.eof:
                raise UserError(f"{what} breaks off in the middle; pack or copy it again.")
            data = stream.unused_data
    except zlib.error as error:
        raise UserError(f"{what} is a damaged gzip file ({error}); pack or copy it again.") from error
    return b"".join(pieces)


def _too_large(what: str, max_bytes: int) -> str:
    return f"{what} holds more than {max_bytes // 1024 // 1024:,} MB; upload a shorter span of time."


def _slices(data: bytes, traces_of_lines: dict[int, set[str]]) -> list[SourcePage]:
    """Whole lines, about 1 MiB together: reading one trace later need not read the whole file."""
    pages: list[SourcePage] = []
    begin, identifiers = 0, set()
    end, line = 0, 0
    while end < len(data):
        stop = data.find(b"\n", end)
        end = len(data) if stop < 0 else stop + 1
        line += 1
        identifiers |= traces_of_lines.get(line, set())
        if end - begin >= _SLICE_BYTES or end == len(data):
            pages.append(SourcePage(data[begin:end], frozenset(identifiers)))
            begin, identifiers = end, set()
    return pages
