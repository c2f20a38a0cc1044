"""Small files read whole: what tests and tools want of `intake`, without a database. No Django here."""

import io
import zlib
from dataclasses import dataclass
from typing import Any

from postmortem.lib.errors import UserError
from postmortem.traces.intake import Fault, take_file
from postmortem.traces.records import SourcePage, TraceRecord

MAX_FILE_BYTES = 200 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ParsedFile:
    """What a file holds: its traces, and its bytes in pages that say which traces they tell about."""

    records: list[TraceRecord]
    pages: list[SourcePage]
    faults: list[Fault]
    notes: list[str]


def parse_file(data: bytes, filename: str, *, max_bytes: int = MAX_FILE_BYTES) -> list[TraceRecord]:
    """The traces of a file, in its order.

    Reads Langfuse's trace download (with and without a trace object), table exports and blob exports as
    JSON, JSONL or CSV, bodies of `GET /api/public/traces/{id}` (one, or one a line), and the open format
    `traces.jsonl`, and OTLP/JSON (one document, or one a line); each also gzipped. Raises UserError with the line
    that is wrong.
    """
    return read_file(data, filename, max_bytes=max_bytes).records


def read_file(data: bytes, filename: str, *, max_bytes: int = MAX_FILE_BYTES, **how: Any) -> ParsedFile:
    """As parse_file, with the bytes cut into pages of whole entries (about 1 MiB), each naming its traces.

    `how` are more keywords of take_file.
    """
    with take_file(io.BytesIO(data), filename, max_bytes=max_bytes, with_observations=True, **how) as taken:
        traces = [trace for chunk in taken.traces() for trace in chunk]
        if all(trace.only_scores for trace in traces):
            raise UserError(
                f"{taken.what} holds scores but no traces; upload the traces or observations that they belong to."
            )
        of_page: dict[int, set[str]] = {}
        for trace in traces:
            for number in trace.pages:
                of_page.setdefault(number, set()).add(trace.record.external_id)
        pages = [
            SourcePage(zlib.decompress(page.compressed), frozenset(of_page.get(number, ())))
            for number, page in enumerate(taken.pages)
        ]
        records = [trace.record for trace in traces if not trace.only_scores]
        return ParsedFile(records, pages, taken.faults.told, taken.notes)
