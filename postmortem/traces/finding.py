"""Find traces: by words, facets, scores, labels and time, in pages that cost the same however far one turns.

Facets, scores and times are looked up in the columns of all traces, a few milliseconds a million. Words are looked up
in the index where few traces hold them; where many do, the next traces in order are read until the page is full.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from postmortem.incidents.models import Incident
from postmortem.lib.clock import parse_moment
from postmortem.traces.counts import EvidenceState, column_counts, evidence_state
from postmortem.traces.models import Score, Trace, TraceLabel, TraceText
from postmortem.traces.signals import LABEL
from postmortem.traces.stored_cells import TraceColumns, columns_of, signal_column
from postmortem.traces.texts import holds_words, keys_with_words, words_of

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]

READ_AHEAD = 2_000  # traces whose words are read before the index is asked
_SAMPLED = 1_000  # traces that an estimated count rests on
_SAMPLED_OFTEN = 40  # of the sample: fewer are counted exactly, as the index tells few quickly
MOST_WORDS = 12
ORDERS: dict[str, tuple[str, bool]] = {
    "": ("timestamp", False),
    "newest": ("timestamp", True),
    "slowest": ("latency_seconds", True),
}


@dataclass(frozen=True, slots=True)
class TraceFilter:
    """What to find. `score` names a score, `lowest` and `highest` bound its value; times are UTC, `end` not included.

    `label` is fail, fine, none, or empty for any; every word of `text` must begin a word of the trace.
    """

    text: str = ""
    facets: Mapping[str, str] = field(default_factory=dict)
    score: str = ""
    lowest: float | None = None
    highest: float | None = None
    start: datetime | None = None
    end: datetime | None = None
    label: str = ""
    errors: bool = False


@dataclass(frozen=True, slots=True)
class TracePage:
    """Rows in order, with the cursors of the pages before and after; empty where there is none."""

    rows: list[Trace]
    before: str
    after: str


class FoundTraces(Sequence[Trace]):
    """The traces that fit, in order of time. Rows are read when they are asked for."""

    def __init__(self, incident: Incident, wanted: TraceFilter) -> None:
        self._incident = incident
        self._state = evidence_state(incident)
        self._columns = columns_of(self._state)
        self._words = words_of(wanted.text.strip()[:200])[:MOST_WORDS]
        self._rows = np.flatnonzero(_mask(incident, self._state, self._columns, wanted))
        if wanted.text.strip():
            named = Trace.objects.filter(incident=incident, external_id=wanted.text.strip()[:200])
            keys = list(named.values_list("pk", flat=True))
            if keys or not self._words:
                self._rows = self._of_keys(np.array(keys, dtype=np.int64))
                self._words = []

    def __len__(self) -> int:
        return int(self._exact().size)

    def __getitem__(self, place: Any) -> Any:
        rows = self._exact()
        ordered = rows[np.argsort(self._columns.seconds[rows], kind="stable")]
        if isinstance(place, slice):
            return self._read(ordered[place])
        return self._read(ordered[[place]])[0]

    def count(self, value: object = None) -> int:
        """How many fit; every one counted."""
        return len(self) if value is None else super().count(value)

    def estimate(self) -> tuple[int, bool]:
        """(how many fit, whether that is exact). Of words that many traces hold, a sample is counted."""
        if not self._words:
            return int(self._rows.size), True
        if self._rows.size > READ_AHEAD:
            places = np.linspace(0, self._rows.size - 1, _SAMPLED).astype(np.intp)
            share = np.count_nonzero(self._with_words(self._rows[places])) / _SAMPLED
            if share >= _SAMPLED_OFTEN / _SAMPLED:
                return _rounded(share * self._rows.size), False
        return len(self), True

    def page(self, *, order: str = "", after: str = "", before: str = "", size: int) -> TracePage:
        """One page by keyset: rows after or before a cursor of an earlier page. An unknown cursor is the first."""
        name, descending = ORDERS.get(order, ORDERS[""])
        column = self._columns.seconds if name == "timestamp" else signal_column(self._incident, "latency", self._state)
        backwards = bool(before) and not after
        place = _place(before if backwards else after, name)
        down = descending != backwards
        rows = self._rows if name == "timestamp" else self._rows[np.isfinite(column[self._rows])]
        if place is not None:
            rows = rows[_beyond(column[rows], self._columns.keys[rows], place, down=down)]
        chosen = self._first(rows, column, size + 1, down=down)
        more, chosen = chosen.size > size, chosen[:size]
        found = self._read(chosen)
        if backwards:
            found.reverse()
        has_before = more if backwards else place is not None
        has_after = place is not None if backwards else more
        return TracePage(
            found,
            _cursor(found[0], name) if found and has_before else "",
            _cursor(found[-1], name) if found and has_after else "",
        )

    def _first(self, rows: Rows, column: Floats, count: int, *, down: bool) -> Rows:
        """The first so many of `rows` in order that hold the words."""
        if not self._words:
            return _ordered(rows, column[rows], count, down=down)
        ahead = _ordered(rows, column[rows], READ_AHEAD, down=down)
        kept = ahead[self._with_words(ahead)]
        if kept.size >= count or ahead.size < READ_AHEAD:
            return kept[:count]
        exact = self._exact()
        rows = rows[np.isin(rows, exact, assume_unique=True)]
        return _ordered(rows, column[rows], count, down=down)

    def _exact(self) -> Rows:
        if self._words:
            keys = self._columns.keys
            span = (int(keys[0]), int(keys[-1])) if keys.size else (0, 0)
            holding = self._of_keys(keys_with_words(self._words, span))
            self._rows = self._rows[np.isin(self._rows, holding, assume_unique=True)]
            self._words = []
        return self._rows

    def _with_words(self, rows: Rows) -> npt.NDArray[np.bool_]:
        keys = self._columns.keys[rows].tolist()
        texts = dict(TraceText.objects.filter(pk__in=keys).values_list("pk", "text"))
        return np.array([holds_words(texts.get(key, ""), self._words) for key in keys], dtype=np.bool_)

    def _of_keys(self, keys: npt.NDArray[np.int64]) -> Rows:
        return _rows_of_keys(self._columns, keys)

    def _read(self, rows: Rows) -> list[Trace]:
        keys = self._columns.keys[rows].tolist()
        found = Trace.objects.in_bulk(keys)
        return [found[key] for key in keys if key in found]


def find_traces(incident: Incident, wanted: TraceFilter) -> FoundTraces:
    """The incident's traces that fit."""
    return FoundTraces(incident, wanted)


def _mask(
    incident: Incident, state: EvidenceState, columns: TraceColumns, wanted: TraceFilter
) -> npt.NDArray[np.bool_]:
    """Which rows fit all but the words."""
    fits = np.ones(columns.keys.size, dtype=np.bool_)
    for name, value in wanted.facets.items():
        facet = columns.facet(name)
        fits &= facet.codes == (facet.values.index(value) if value in facet.values else len(facet.values))
    if wanted.score:
        fits &= _scored(incident, state, columns, wanted)
    if wanted.start:
        fits &= columns.seconds >= wanted.start.timestamp()
    if wanted.end:
        fits &= columns.seconds < wanted.end.timestamp()
    if wanted.errors:
        fits &= columns.failed
    if wanted.label in (*TraceLabel.Value.values, "none"):
        values = signal_column(incident, LABEL, state)
        labelled = {
            TraceLabel.Value.FAIL: values == 1.0, TraceLabel.Value.FINE: values == 0.0, "none": np.isnan(values)
        }[wanted.label]  # fmt: skip
        fits &= labelled
    return fits


def _scored(
    incident: Incident, state: EvidenceState, columns: TraceColumns, wanted: TraceFilter
) -> npt.NDArray[np.bool_]:
    if wanted.lowest is None and wanted.highest is None and wanted.score != LABEL:
        numeric, rows = column_counts(state).scores.get(wanted.score, (0, 0))
        if numeric != rows:  # some are texts, which columns do not hold
            scores = Score.objects.filter(trace__incident=incident, name=wanted.score).order_by()
            keys = np.fromiter(scores.values_list("trace_id", flat=True).iterator(chunk_size=10_000), dtype=np.int64)
            fits = np.zeros(columns.keys.size, dtype=np.bool_)
            fits[_rows_of_keys(columns, np.unique(keys))] = True
            return fits
    values = signal_column(incident, wanted.score, state, built_in=False)
    fits = np.isfinite(values)
    if wanted.lowest is not None:
        fits &= values >= wanted.lowest
    if wanted.highest is not None:
        fits &= values <= wanted.highest
    return fits


def _rows_of_keys(columns: TraceColumns, keys: npt.NDArray[np.int64]) -> Rows:
    """Where those of `keys` that are the incident's traces stand."""
    places = np.searchsorted(columns.keys, keys)
    known = places < columns.keys.size
    known[known] = columns.keys[places[known]] == keys[known]
    return np.unique(places[known])


def _ordered(rows: Rows, values: Floats, count: int, *, down: bool) -> Rows:
    """The first `count` of `rows` (in order of key) by value, then key; `down`: from the largest on."""
    if rows.size > 4 * count:
        bound = np.partition(-values if down else values, count - 1)[count - 1]
        near = (-values if down else values) <= bound
        rows, values = rows[near], values[near]
    order = np.argsort(values, kind="stable")
    return (rows[order][::-1] if down else rows[order])[:count]


def _beyond(values: Floats, keys: npt.NDArray[np.int64], place: tuple[float, int], *, down: bool) -> Any:
    value, key = place
    if down:
        return (values < value) | ((values == value) & (keys < key))
    return (values > value) | ((values == value) & (keys > key))


def _rounded(count: float) -> int:
    """To two digits: it is an estimate."""
    digits = max(len(str(int(count))) - 2, 0)
    return round(count / 10**digits) * 10**digits


def _cursor(trace: Trace, name: str) -> str:
    value = getattr(trace, name)
    return f"{value.isoformat() if isinstance(value, datetime) else repr(value)}~{trace.pk}"


def _place(cursor: str, name: str) -> tuple[float, int] | None:
    value, _, key = cursor.partition("~")
    if not key.isdecimal() or len(key) > 18:
        return None
    try:
        return (parse_moment(value).timestamp() if name == "timestamp" else float(value)), int(key)
    except ValueError:
        return None
