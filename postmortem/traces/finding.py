"""Find traces: by words, facets, scores, labels and time, in pages that cost the same however far one turns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet, TextField
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast

from postmortem.incidents.models import Incident
from postmortem.lib.clock import parse_moment
from postmortem.traces.models import Score, Trace, TraceLabel
from postmortem.traces.texts import words_filter

COUNT_TO = 1_000
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


def find_traces(incident: Incident, wanted: TraceFilter) -> QuerySet[Trace]:
    """The incident's traces that fit, in no order."""
    traces = Trace.objects.filter(incident=incident).order_by()
    if text := wanted.text.strip()[:200]:
        words = words_filter(text)
        named = Q(external_id=text)
        traces = traces.filter(named if words is None or traces.filter(named).exists() else words)
    for position, (name, value) in enumerate(wanted.facets.items()):
        alias = f"facet_value_{position}"
        traces = traces.alias(**{alias: Cast(KeyTextTransform(name, "facets"), TextField())}).filter(**{alias: value})
    if wanted.score:
        scores = Score.objects.filter(trace=OuterRef("pk"), name=wanted.score)
        if wanted.lowest is not None:
            scores = scores.filter(value__gte=wanted.lowest)
        if wanted.highest is not None:
            scores = scores.filter(value__lte=wanted.highest)
        traces = traces.filter(Exists(scores))
    if wanted.start:
        traces = traces.filter(timestamp__gte=wanted.start)
    if wanted.end:
        traces = traces.filter(timestamp__lt=wanted.end)
    if wanted.errors:
        traces = traces.filter(has_error=True)
    return _labelled(traces, wanted.label)


def count_up_to(traces: QuerySet[Trace], most: int = COUNT_TO) -> tuple[int, bool]:
    """(how many, whether there are more): counting ends at `most`, so that a count never reads a million rows."""
    count = traces.order_by().values("pk")[: most + 1].count()
    return min(count, most), count > most


def trace_page(traces: QuerySet[Trace], *, order: str = "", after: str = "", before: str = "", size: int) -> TracePage:
    """One page by keyset: rows after or before a cursor that an earlier page gave. An unknown cursor is the first."""
    name, descending = ORDERS.get(order, ORDERS[""])
    if name == "latency_seconds":
        traces = traces.filter(latency_seconds__isnull=False)
    backwards = bool(before) and not after
    place = _place(before if backwards else after, name)
    down = descending != backwards
    if place is not None:
        traces = traces.filter(_beyond(name, place, down=down))
    sign = "-" if down else ""
    rows = list(traces.order_by(f"{sign}{name}", f"{sign}id")[: size + 1])
    more, rows = len(rows) > size, rows[:size]
    if backwards:
        rows.reverse()
    has_before = more if backwards else place is not None
    has_after = place is not None if backwards else more
    return TracePage(
        rows,
        _cursor(rows[0], name) if rows and has_before else "",
        _cursor(rows[-1], name) if rows and has_after else "",
    )


def _labelled(traces: QuerySet[Trace], label: str) -> QuerySet[Trace]:
    if label in TraceLabel.Value.values:
        value = 1.0 if label == TraceLabel.Value.FAIL else 0.0
        return traces.filter(Exists(Score.objects.filter(trace=OuterRef("pk"), name="label", value=value)))
    if label == "none":
        return traces.filter(~Exists(Score.objects.filter(trace=OuterRef("pk"), name="label")))
    return traces


def _beyond(name: str, place: tuple[Any, int], *, down: bool) -> Q:
    value, key = place
    side = "lt" if down else "gt"
    # The first condition alone lets the index find the place; the second settles ties.
    return Q(**{f"{name}__{side}e": value}) & (Q(**{f"{name}__{side}": value}) | Q(**{f"id__{side}": key}))


def _cursor(trace: Trace, name: str) -> str:
    value = getattr(trace, name)
    return f"{value.isoformat() if isinstance(value, datetime) else repr(value)}~{trace.pk}"


def _place(cursor: str, name: str) -> tuple[Any, int] | None:
    value, _, key = cursor.partition("~")
    if not key.isdecimal() or len(key) > 18:
        return None
    try:
        return (parse_moment(value) if name == "timestamp" else float(value)), int(key)
    except ValueError:
        return None
