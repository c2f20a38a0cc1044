"""An uploaded file of any size, read once: its traces and its bytes, ready to be stored. No Django here.

First every entry is checked, its bytes go into pages and its rows are gathered by trace; then each trace is made of
its rows. What is more than a little lies on disk meanwhile, so that memory does not grow with the file. Nothing is
stored before all of it is read: a file that is refused leaves nothing.
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import PurePath
from typing import BinaryIO, TypeVar

import orjson

from postmortem.lib.clock import utc_now
from postmortem.lib.errors import UserError
from postmortem.traces.clocks import ClockDoubts
from postmortem.traces.crowded import CrowdedFacets
from postmortem.traces.entries import Entries, Entry
from postmortem.traces.parquet import ParquetEntries, is_parquet
from postmortem.traces.records import TraceRecord
from postmortem.traces.row_checks import check_row
from postmortem.traces.rows import Row, TraceRows, rows_of_entry
from postmortem.traces.spill import MAX_TRACE_BYTES, PackedPage, Pages, Rows, SpilledRow, Staged
from postmortem.traces.streams import BrokenOff, open_text, unpacked
from postmortem.traces.tables import Cells, cells_of

MOST_FAULTS = 200
_PART_BYTES = 1024 * 1024
_COPY_BYTES = 1024 * 1024
_WATCH_EVERY = 200  # entries or traces
MakeRows = Callable[[Entry], Iterable[Row]]
Watch = Callable[[], None]
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that cannot be read: its line (0 where there are none), and one sentence that names file and field."""

    line: int
    sentence: str


@dataclass(slots=True)
class Faults:
    """Counts what cannot be read, or refuses the file at the first of it."""

    keep_good: bool
    count: int = 0
    told: list[Fault] = field(default_factory=list)

    def add(self, line: int, sentence: str) -> None:
        """Note one. Raises UserError when the whole is to be refused."""
        if not self.keep_good:
            raise UserError(sentence)
        self.count += 1
        if len(self.told) < MOST_FAULTS:
            self.told.append(Fault(line, sentence))


@dataclass(frozen=True, slots=True)
class TakenTrace:
    """A trace as read, and the numbers of the pages that hold its rows; or scores of a trace that the file has not."""

    record: TraceRecord
    pages: tuple[int, ...]
    only_scores: bool


class Taken:
    """What a file holds. `notes` are sentences for people: what was read in a way that they should know of."""

    def __init__(self, what: str, *, keep_good: bool) -> None:
        self.what = what
        self.faults = Faults(keep_good)
        self.notes: list[str] = []
        self.trace_count = 0
        self.score_trace_count = 0  # of which the file has scores alone
        self.sha256 = ""
        self.size = 0
        self.pages: Iterable[PackedPage] = ()
        self._staged = Staged()

    def traces(self) -> Iterator[list[TakenTrace]]:
        """All traces, some hundreds together."""
        return self._staged.chunks()

    def stage(self, trace: TakenTrace) -> None:
        """Keep one trace until it is stored."""
        self._staged.add(trace)
        self.trace_count += not trace.only_scores
        self.score_trace_count += trace.only_scores

    def close(self) -> None:
        """Give the disk back."""
        self._staged.close()


@contextmanager
def take_file(
    file: BinaryIO,
    filename: str,
    *,
    max_bytes: int,
    keep_good: bool = False,
    rows_of_entry: MakeRows = rows_of_entry,
    any_table: bool = False,
    with_observations: bool = False,
    watch: Watch = lambda: None,
    digest: tuple[str, int] | None = None,
) -> Iterator[Taken]:
    """Read a file that can be read twice. With `keep_good` faults are counted and left out, else the first refuses it.

    `rows_of_entry` and `any_table` read a table that a person has mapped; its own bytes are kept beside what was read.
    `watch` is called again and again meanwhile; what it raises ends the reading. The same bytes with the same bounds
    give traces and pages in the same order, in any process. `digest` is the file's SHA-256 and size where they are
    known. Raises UserError naming file, line and field.
    """
    what = PurePath(filename).name[:80] or "The file"
    taken = Taken(what, keep_good=keep_good)
    with tempfile.TemporaryFile() as copy:
        entries, is_table = _entries(file, copy, what, max_bytes=max_bytes, any_table=any_table)
        pages = Pages(_join if any_table else entries.page)
        rows = Rows(expected_bytes=max_bytes)
        try:
            _read(taken, watched(entries, watch), rows, pages, rows_of_entry, derived=any_table)
            pages.cut()
            if is_table or any_table:
                pages.add_original(_pieces(file))
            _make_traces(taken, watched(rows, watch), with_observations=with_observations)
            taken.sha256, taken.size, taken.pages = *(digest or _digest(file)), pages
            yield taken
        finally:
            for part in (rows, pages, taken):
                part.close()


def first_rows(file: BinaryIO, filename: str, *, max_bytes: int, count: int) -> Iterator[tuple[int, Cells]]:
    """(line, cells) of the first `count` rows of a table of any make. Raises UserError for what is none."""
    what = PurePath(filename).name[:80] or "The file"
    with tempfile.TemporaryFile() as copy:
        entries, _ = _entries(file, copy, what, max_bytes=max_bytes, any_table=True)
        found = 0
        for found, entry in enumerate(islice(entries, count), start=1):
            yield entry.line or found, cells_of(entry)
        if not found:
            raise UserError(f"{what} has no rows.")


def watched(items: Iterable[_Item], watch: Watch) -> Iterator[_Item]:
    """The items, with `watch` called between some of them."""
    for number, item in enumerate(items):
        if number % _WATCH_EVERY == 0:
            watch()
        yield item


def _entries(
    file: BinaryIO, copy: BinaryIO, what: str, *, max_bytes: int, any_table: bool
) -> tuple[Entries | ParquetEntries, bool]:
    """The entries, and whether they come from Parquet, whose bytes are no pages of lines."""
    if is_parquet(file):
        return ParquetEntries(file, what, max_bytes=max_bytes), True
    reader = unpacked(file, what, max_bytes=max_bytes)
    if reader.peek(4)[:4] == b"PAR1":  # gzipped: it is read from its end, so it is unpacked first
        while piece := reader.read(_COPY_BYTES):
            copy.write(piece)
        return ParquetEntries(copy, what, max_bytes=max_bytes), True
    return Entries(open_text(reader, what), what, any_table=any_table), False


def _read(
    taken: Taken, entries: Iterable[Entry], rows: Rows, pages: Pages, make_rows: MakeRows, *, derived: bool
) -> None:
    without_zone, first_line = 0, 0
    try:
        for entry in entries:
            if entry.value is None and not entry.fault:  # blank lines at the end
                pages.add(b"" if derived else entry.raw)
                continue
            found: list[tuple[Row, bytes]] = []
            naive = 0
            try:
                for row in make_rows(entry):
                    naive += not check_row(row, entry.where)
                    # The writer gives more memory than it wrote: what is kept is a copy.
                    found.append(
                        (row, entry.packed if row.value is entry.value else bytes(memoryview(orjson.dumps(row.value))))
                    )
            except UserError as error:
                taken.faults.add(entry.line, _sentence(str(error)))
                pages.add(b"" if derived else entry.raw)
                continue
            without_zone += naive
            first_line = first_line or (entry.line if naive else 0)
            page = pages.add(found[0][1] + b"\n" if derived else entry.raw) if found else pages.add(b"")
            for row, value in found:
                rows.add(row.trace_id, SpilledRow(page, row.line, row.kind, row.flat, value))
    except BrokenOff as error:
        taken.faults.add(0, _sentence(f"{str(error).rstrip('.')}; what came before that place is kept"
                                      if taken.faults.keep_good else str(error)))  # fmt: skip
    if without_zone:
        many = f"{without_zone:,} times are without their zone" if without_zone > 1 else "One time is without its zone"
        at = f" (the first in line {first_line})" if first_line else ""
        taken.notes.append(f"{many}{at}; read as UTC.")


def _make_traces(taken: Taken, rows: Iterable[tuple[str, list[SpilledRow]]], *, with_observations: bool) -> None:
    doubts, crowded = ClockDoubts(now=utc_now()), CrowdedFacets()
    for trace_id, spilled in rows:
        if sum(len(row.value) for row in spilled) > MAX_TRACE_BYTES:
            taken.faults.add(
                spilled[0].line,
                f"{taken.what}: the trace {trace_id[:60]} has more than {MAX_TRACE_BYTES // 1024 // 1024} MB of rows; "
                "import it by its link.",
            )
            continue
        collected = TraceRows()
        for row in spilled:
            collected.add(Row(row.line, row.kind, orjson.loads(row.value), row.flat), trace_id)
        try:
            if not collected.trace_ids():
                record = _scores_alone(trace_id, collected)
            else:
                record = collected.record(trace_id)
                doubts.add(record)
                crowded.add(record)
        except UserError as error:
            taken.faults.add(spilled[0].line, _sentence(f"{taken.what}, {error}"))
            continue
        places = tuple(sorted({row.page for row in spilled}))
        taken.stage(
            TakenTrace(
                record if with_observations else replace(record, observations=()), places, not collected.trace_ids()
            )
        )
    taken.notes += [*doubts.notes(), *crowded.notes()]
    if not taken.trace_count and not taken.score_trace_count:
        first = f" {taken.faults.told[0].sentence}" if taken.faults.told else ""
        raise UserError(f"{taken.what} holds no traces that can be read.{first}")


def _scores_alone(trace_id: str, collected: TraceRows) -> TraceRecord:
    scores = collected.score_records(trace_id)
    at = max((score.timestamp for score in scores if score.timestamp), default=datetime(1970, 1, 1, tzinfo=UTC))
    return TraceRecord(trace_id, at, {}, score_records=scores)


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    file.seek(0)
    while piece := file.read(_PART_BYTES):
        yield piece


def _digest(file: BinaryIO) -> tuple[str, int]:
    """SHA-256 and size of the file as it came, whatever was read of it."""
    found, size = hashlib.sha256(), 0
    for piece in _pieces(file):
        found.update(piece)
        size += len(piece)
    return found.hexdigest(), size


def _join(raws: list[bytes]) -> bytes:
    return b"".join(raws)


def _sentence(text: str) -> str:
    return f"{text.rstrip('. ')}."
