"""An incident's traces as columns: read from stored segments, and from the rows where there is no segment yet.

Segments follow one another by key and cover all keys up to the last one's `high`. Whoever writes traces, scores or
facets calls `forget_columns` in the same transaction; whoever reads many traces builds what is missing.

Two rules keep a segment true to its rows. A builder commits an empty segment before it reads; a writer deletes the
segments of what it wrote after it wrote. So a builder that read too early finds its segment gone, and keeps nothing.
Both take one lock for that moment.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
from django.db import DatabaseError, connection, transaction
from django.db.models import Q, Sum, TextField
from django.db.models.functions import Cast

from postmortem.lib.clock import utc_now
from postmortem.traces.columns import pack, pack_facets, pack_numbers
from postmortem.traces.models import ColumnData, ColumnSegment, EvidenceImport, Score, Trace
from postmortem.traces.signals import LABEL_ID
from postmortem.traces.values import load_json

SEGMENT_ROWS = 20_000
NUMBERS = {
    "latency": "latency_seconds",
    "time_to_first_token": "time_to_first_token_seconds",
    "cost": "cost_usd",
    "input_tokens": "input_tokens",
}
SCORE = "score:"
LAST_KEY = 2**63 - 1
_ABANDONED = timedelta(minutes=10)
_LOCK = 0x504D  # of PostgreSQL's advisory locks, beside the incident's key
_PATIENCE_MILLISECONDS = 200
_CHUNK = 5_000


# How many traces without columns may be read while somebody waits; None in workers and commands, which build them.
most_waiting: ContextVar[int | None] = ContextVar("most_waiting", default=None)


class ColumnsMissing(Exception):
    """More traces than somebody should wait for have no columns yet; a worker builds them first."""

    def __init__(self, incident_id: int) -> None:
        super().__init__("The traces are being prepared for reading; ask again in a moment.")
        self.incident_id = incident_id


@dataclass(frozen=True, slots=True)
class Part:
    """Columns of the traces with keys from low to high, by name, packed; `segment` is None for unstored ones."""

    low: int
    high: int
    size: int
    segment: int | None
    columns: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Span:
    """Keys from low to high; `segment` holds their columns, None where there are none yet."""

    low: int
    high: int
    segment: ColumnSegment | None


def spans(incident_id: int) -> list[Span]:
    """What covers all possible keys, in order: segments and the gaps between and behind them. One query, or two.

    Raises ColumnsMissing where that is more than may be waited for.
    """
    found: list[Span] = []
    next_key = 0
    segments = list(ColumnSegment.objects.filter(incident_id=incident_id, built=True).order_by("low"))
    if (most := most_waiting.get()) is not None and missing_columns(incident_id, segments) > most:
        raise ColumnsMissing(incident_id)
    for segment in segments:
        if segment.low > next_key:
            found.append(Span(next_key, segment.low - 1, None))
        found.append(Span(segment.low, segment.high, segment))
        next_key = segment.high + 1
    if next_key <= LAST_KEY:
        found.append(Span(next_key, LAST_KEY, None))
    return found


def missing_columns(incident_id: int, segments: Sequence[ColumnSegment]) -> int:
    """How many traces no segment covers. One query, which costs the same however many they are; a second if many."""
    imports = EvidenceImport.objects.filter(incident_id=incident_id).order_by()
    stored = imports.aggregate(n=Sum("trace_count"))["n"] or 0
    missing = int(stored) - sum(int(segment.summary.get("traces", 0)) for segment in segments)
    if missing < SEGMENT_ROWS:
        return missing
    covered = Q()
    for segment in segments:
        covered |= Q(pk__gte=segment.low, pk__lte=segment.high)
    return Trace.objects.filter(~covered if segments else Q(), incident_id=incident_id).count()


def build_columns(incident_id: int, *, tell: Callable[[int], None] = lambda traces: None) -> None:
    """Build the segments that are missing. What is behind the last one waits until it fills a segment.

    `tell` is given how many traces each new one holds; what it raises ends the building.
    """
    for span in spans(incident_id):
        if span.segment is None:
            for part in _parts_of_gap(incident_id, span, only_whole=True):
                tell(part.size)


def build_next_columns() -> bool:
    """Build the columns of an incident that has many traces and none of them; False when there is no such one.

    Imports build their own; this is for what was here before there were columns, and for what rules have changed.
    """
    sizes = EvidenceImport.objects.filter(finished=True).order_by().values("incident_id").annotate(n=Sum("trace_count"))
    waiting = sizes.filter(n__gte=SEGMENT_ROWS).exclude(incident__column_segments__isnull=False)
    incident_id = waiting.order_by("incident_id").values_list("incident_id", flat=True).first()
    if incident_id is None:
        return False
    build_columns(incident_id)
    return ColumnSegment.objects.filter(incident_id=incident_id, built=True).exists()


def read_parts(incident_id: int, names: Collection[str]) -> list[Part]:
    """Columns of all traces in the order of their keys; builds and stores the segments that are missing.

    Of stored parts only the columns in `names` are given; unstored ones hold the facts of the traces and no scores.
    """
    parts: list[Part] = []
    stored: dict[int, int] = {}
    for span in spans(incident_id):
        if span.segment is None:
            parts += _parts_of_gap(incident_id, span, only_whole=False)
        else:
            stored[span.segment.pk] = len(parts)
            parts.append(Part(span.low, span.high, span.segment.summary["traces"], span.segment.pk, {}))
    for segment, name, data in read_columns(list(stored), names):
        parts[stored[segment]].columns[name] = data
    return parts


def read_columns(segments: Sequence[int], names: Collection[str]) -> Iterator[tuple[int, str, bytes]]:
    """(segment, name, bytes) of those columns that there are. One query, none without segments."""
    if not segments or not names:
        return
    table = ColumnData._meta.db_table
    marks = [", ".join(["%s"] * len(given)) for given in (segments, names)]
    statement = f"SELECT segment_id, name, data FROM {table} WHERE segment_id IN ({marks[0]}) AND name IN ({marks[1]})"  # noqa: S608
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            import psycopg  # noqa: PLC0415  SQLite needs none

            # The server's own form of bytes: as text they are twice as long. Django's cursor cannot ask for it.
            plain = psycopg.Cursor(cursor.connection)
            yield from plain.execute(statement, [*segments, *names], binary=True).fetchall()
            return
        cursor.execute(statement, [*segments, *names])
        yield from cursor.fetchall()


def forget_columns(incident_id: int, keys: Iterable[int]) -> None:
    """Delete the segments of traces that the caller's transaction has written. One query where there are none."""
    written = np.unique(np.fromiter(keys, dtype=np.int64))
    if not written.size:
        return
    with transaction.atomic():
        _lock(incident_id)
        touched = ColumnSegment.objects.filter(
            incident_id=incident_id, low__lte=int(written[-1]), high__gte=int(written[0])
        ).values_list("pk", "low", "high")
        stale = [pk for pk, low, high in touched if _any_between(written, low, high)]
        if stale:
            ColumnSegment.objects.filter(pk__in=stale).delete()


def _any_between(keys: npt.NDArray[np.int64], low: int, high: int) -> bool:
    place = int(np.searchsorted(keys, low))
    return place < keys.size and int(keys[place]) <= high


def _parts_of_gap(incident_id: int, span: Span, *, only_whole: bool) -> Iterator[Part]:
    """Build what lies in a gap, segment by segment; with `only_whole` the rest behind the last one is left alone."""
    low = span.low
    while low <= span.high:
        within = Trace.objects.filter(incident_id=incident_id, pk__gte=low, pk__lte=span.high).order_by("pk")
        ends = list(within.values_list("pk", flat=True)[SEGMENT_ROWS - 1 : SEGMENT_ROWS])
        whole = bool(ends) or span.high < LAST_KEY
        if not whole and only_whole:
            return
        high = ends[0] if ends else span.high
        part = _built(incident_id, low, high) if whole else _read(incident_id, low, high, scored=False)[0]
        if part.size:
            yield part
        low = high + 1


def _built(incident_id: int, low: int, high: int) -> Part:
    """One segment, stored unless somebody else is at it or the traces change meanwhile."""
    begun = None
    with suppress(DatabaseError), _impatient(), transaction.atomic():
        _lock(incident_id)
        mine = ColumnSegment.objects.filter(incident_id=incident_id, low=low)
        mine.filter(built=False, begun_at__lt=utc_now() - _ABANDONED).delete()
        begun = ColumnSegment.objects.create(incident_id=incident_id, low=low, high=high)
    part, summary = _read(incident_id, low, high, scored=begun is not None)
    if begun is None:
        return part
    with suppress(DatabaseError), _impatient():
        with transaction.atomic():
            _lock(incident_id)
            kept = ColumnSegment.objects.filter(pk=begun.pk, built=False).update(built=True, summary=summary)
            columns = part.columns.items() if kept else ()
            ColumnData.objects.bulk_create(
                [ColumnData(segment=begun, name=name, data=data) for name, data in columns], batch_size=100
            )
        return replace(part, segment=begun.pk) if kept else part
    return part


@contextmanager
def _impatient() -> Iterator[None]:
    """On SQLite a reader does not wait for a long write: columns are stored another time."""
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout")
        usual = cursor.fetchone()[0]
        cursor.execute(f"PRAGMA busy_timeout = {_PATIENCE_MILLISECONDS}")
        try:
            yield
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {int(usual)}")


def _lock(incident_id: int) -> None:
    """SQLite knows one writer at a time; on PostgreSQL the lock lasts to the end of the transaction."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_LOCK, incident_id % 2**31])


def _read(incident_id: int, low: int, high: int, *, scored: bool) -> tuple[Part, dict[str, Any]]:
    """The traces with keys from low to high as columns, with their scores or without; and the summary."""
    within = {"incident_id": incident_id, "pk__gte": low, "pk__lte": high}
    rows = (
        Trace.objects.filter(**within)
        .order_by("pk")
        .annotate(facets_text=Cast("facets", TextField()))
        .values_list("pk", "timestamp", "has_error", "is_anchor", "facets_text", *NUMBERS.values())
    )
    decoded: dict[str, dict[str, str]] = {}
    keys, seconds, failed, facets, anchors = [], [], [], [], 0
    numbers: dict[str, list[float]] = {name: [] for name in NUMBERS}
    for key, timestamp, has_error, is_anchor, text, *values in rows.iterator(chunk_size=_CHUNK):
        if text not in decoded:
            told = load_json(text, "The facets of a stored trace")
            decoded[text] = {str(name): str(value) for name, value in told.items()}
        keys.append(key)
        seconds.append(timestamp.timestamp())
        failed.append(has_error)
        anchors += is_anchor
        facets.append(decoded[text])
        for name, value in zip(numbers, values, strict=True):
            numbers[name].append(np.nan if value is None else value)
    size = len(keys)
    columns = {
        "traces": pack(
            {
                "keys": np.array(keys, dtype=np.int64),
                "seconds": np.array(seconds, dtype=np.float64),
                "failed": np.array(failed, dtype=np.bool_),
            }
        ),
        "facets": pack_facets(facets, size),
    }
    summary: dict[str, Any] = {
        "traces": size,
        "errors": sum(failed),
        "anchors": anchors,
        "first": min(seconds, default=None),
        "last": max(seconds, default=None),
        "numbers": {},
    }
    for name, values in numbers.items():
        column = np.array(values, dtype=np.float64)
        summary["numbers"][name] = int(np.isfinite(column).sum())
        columns[name] = pack_numbers(column)
    if scored:
        places = np.array(keys, dtype=np.int64)
        found, rows_seen = best_scores(places)
        summary["scores"] = {name: (len(found.get(name, ())), rows) for name, rows in rows_seen.items()}
        for name, of_trace in found.items():
            column = np.full(size, np.nan)
            column[np.searchsorted(places, np.fromiter(of_trace, dtype=np.int64))] = list(of_trace.values())
            columns[SCORE + name] = pack_numbers(column)
    return Part(low, high, size, None, columns), summary


def best_scores(
    keys: npt.NDArray[np.int64], name: str | None = None
) -> tuple[dict[str, dict[int, float]], dict[str, int]]:
    """({score: {trace: value}}, {score: rows with or without a value}) of the traces with these keys, in order.

    Labels only when asked for by name. A score on the trace goes before one on an observation, then the latest, as
    normalise.scores_by_name says.
    """
    if not keys.size:
        return {}, {}
    # By the range of keys and not by the incident: else a planner may walk through all of its traces for a few labels.
    rows = Score.objects.filter(trace_id__gte=int(keys[0]), trace_id__lte=int(keys[-1])).order_by()
    rows = rows.exclude(external_id=LABEL_ID) if name is None else rows.filter(name=name)
    found: dict[str, dict[int, float]] = {}
    ranks: dict[tuple[str, int], tuple[bool, bool, datetime | None, str]] = {}
    counts: Counter[str] = Counter()
    fields = ("trace_id", "name", "value", "observation_id", "timestamp", "external_id")
    for key, score, value, observation_id, timestamp, external_id in rows.values_list(*fields).iterator(
        chunk_size=_CHUNK
    ):
        place = int(np.searchsorted(keys, key))
        if keys[place] != key:
            continue  # another incident's
        counts[score] += 1
        if value is None:
            continue
        rank = (not observation_id, timestamp is not None, timestamp, external_id)
        if (score, key) not in ranks or rank > ranks[(score, key)]:
            ranks[(score, key)] = rank
            found.setdefault(score, {})[key] = value
    return found, dict(counts)
