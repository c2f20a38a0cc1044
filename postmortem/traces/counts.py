"""How much is in evidence, and the key by which everybody knows whether that changed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from django.db.models import Count, Max, Min, OuterRef, Q, Subquery, Sum

from postmortem.incidents.models import Incident
from postmortem.traces.models import Score, Trace
from postmortem.traces.signals import LABEL_ID
from postmortem.traces.stored_columns import NUMBERS, spans


class EvidenceState(NamedTuple):
    """What differs whenever an incident's traces, scores or facets do; two that are equal tell of the same evidence."""

    incident_id: int
    created_at: datetime
    first: int | None = None
    last: int | None = None
    imports: int = 0
    imported_at: datetime | None = None
    traces: int | None = None
    scores: int | None = None
    facets_read_at: datetime | None = None
    written_at: datetime | None = None


@dataclass(slots=True)
class ColumnCounts:
    """How much is in evidence. `numbers` has the traces with each built-in number; `scores` {name: (traces, rows)}.

    Labels do not count. `first_at` and `last_at` are the span of the traces, UTC.
    """

    traces: int = 0
    errors: int = 0
    anchors: int = 0
    score_rows: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None
    numbers: dict[str, int] = field(default_factory=lambda: dict.fromkeys(NUMBERS, 0))
    scores: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, summary: Mapping[str, Any]) -> None:
        """Count a segment's summary."""
        self.traces += summary["traces"]
        self.errors += summary["errors"]
        self.anchors += summary["anchors"]
        for name, count in summary["numbers"].items():
            self.numbers[name] = self.numbers.get(name, 0) + count
        for name, (traces, rows) in summary["scores"].items():
            before = self.scores.get(name, (0, 0))
            self.scores[name] = (before[0] + traces, before[1] + rows)
            self.score_rows += rows
        for moment in (summary["first"], summary["last"]):
            if moment is not None:
                at = datetime.fromtimestamp(moment, UTC)
                self.first_at = min(self.first_at or at, at)
                self.last_at = max(self.last_at or at, at)


def evidence_state(incident: Incident) -> EvidenceState:
    """A key that changes whenever the incident's traces do, for what is computed from them.

    One query, which costs the same however many traces there are: the ends of the traces, and the imports.
    """
    traces = Trace.objects.filter(incident=OuterRef("pk"))
    earliest, latest = traces.order_by("timestamp", "pk"), traces.order_by("-timestamp", "-pk")
    found = (
        Incident.objects.filter(pk=incident.pk)
        .order_by()
        .annotate(
            first=Subquery(earliest.values("pk")[:1]),
            last=Subquery(latest.values("pk")[:1]),
            imports=Count("evidence_imports"),
            imported=Max("evidence_imports__imported_at"),
            traces_in=Sum("evidence_imports__trace_count"),
            scores_in=Sum("evidence_imports__score_count"),
            facets_read=Max("evidence_imports__facets_read_at"),
            written=Max("evidence_imports__written_at"),
        )
        .values_list("first", "last", "imports", "imported", "traces_in", "scores_in", "facets_read", "written")
    )
    return EvidenceState(incident.pk, incident.created_at, *(found.first() or ()))


@lru_cache(maxsize=64)
def column_counts(state: EvidenceState) -> ColumnCounts:
    """Counts of the evidence: of segments as they were noted, of the rest from its rows. Three queries."""
    incident_id = state.incident_id
    found = ColumnCounts()
    gaps = Q()
    score_gaps = Q()
    for span in spans(incident_id):
        if span.segment is not None:
            found.add(span.segment.summary)
        else:
            gaps |= Q(pk__gte=span.low, pk__lte=span.high)
            score_gaps |= Q(trace_id__gte=span.low, trace_id__lte=span.high)
    traces = Trace.objects.filter(gaps, incident_id=incident_id).aggregate(
        traces=Count("pk"),
        errors=Count("pk", filter=Q(has_error=True)),
        anchors=Count("pk", filter=Q(is_anchor=True)),
        first=Min("timestamp"),
        last=Max("timestamp"),
        **{f"with_{name}": Count(column) for name, column in NUMBERS.items()},
    )
    scores = (
        Score.objects.filter(score_gaps, trace__incident_id=incident_id)
        .exclude(external_id=LABEL_ID)
        .order_by()
        .values_list("name")
        .annotate(traces=Count("trace", distinct=True, filter=Q(value__isnull=False)), rows=Count("pk"))
    )
    found.add(
        {
            "traces": traces["traces"],
            "errors": traces["errors"],
            "anchors": traces["anchors"],
            "first": traces["first"].timestamp() if traces["first"] else None,
            "last": traces["last"].timestamp() if traces["last"] else None,
            "numbers": {name: traces[f"with_{name}"] for name in NUMBERS},
            "scores": {name: (count, rows) for name, count, rows in scores},
        }
    )
    return found
