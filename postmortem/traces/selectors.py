"""Reads of the traces room."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

import numpy as np
from django.db.models import Count, F, Min, Q, QuerySet, Value
from django.db.models.lookups import Exact

from postmortem.incidents.models import Incident
from postmortem.lib.errors import UserError
from postmortem.traces.counts import EvidenceState, column_counts, evidence_state
from postmortem.traces.facets import FACETS
from postmortem.traces.labelling import labels_of
from postmortem.traces.models import Connection, EvidenceBlob, EvidenceImport, Score, Trace
from postmortem.traces.records import TraceRecord
from postmortem.traces.rows import TraceRows, rows_of
from postmortem.traces.signals import LABEL, SIGNALS, signal_label
from postmortem.traces.sources import Interval
from postmortem.traces.stored_cells import columns_of
from postmortem.traces.texts import read_blob
from postmortem.traces.tree import ObservationNode, build_tree
from postmortem.traces.values import long_text, mapping

_TOP_VALUES = 12
_REMEMBERED_BYTES = 5_000_000


@dataclass(frozen=True, slots=True)
class TraceReading:
    """One trace to be read: its tree of observations, scores, and the bytes that it was read from.

    `input`, `output` and `metadata` are the trace's own where its source has trace objects (v1, open format).
    """

    trace: Trace
    roots: list[ObservationNode]
    scores: list[Score]
    blobs: list[EvidenceBlob]
    missing_facets: list[str]
    input: str = ""
    output: str = ""
    metadata: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class FacetCoverage:
    """How many of the incident's traces carry a facet (`share` 0 to 1), and its most frequent (value, count)."""

    name: str
    count: int
    share: float
    values: list[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class SignalChoice:
    """A signal that can be chosen, and how many traces carry it."""

    name: str
    label: str
    count: int


@dataclass(frozen=True, slots=True)
class EvidenceCounts:
    """What is in evidence; `first_at` and `last_at` are the span of the traces, UTC."""

    traces: int
    scores: int
    imports: int
    anchors: int
    first_at: datetime | None
    last_at: datetime | None


def trace_records(
    incident: Incident, *, start: datetime | None = None, end: datetime | None = None, every: int = 1
) -> list[TraceRecord]:
    """The incident's traces in order of time as pure records, from `start` up to but not at `end` (UTC).

    `every` takes each n-th of them. Scores are the one number for each name, as in normalise.scores_by_name.
    Two queries, whatever the number.
    """
    within = Q(incident=incident)
    if start is not None:
        within &= Q(timestamp__gte=start)
    if end is not None:
        within &= Q(timestamp__lt=end)
    if every > 1:
        within &= Q(Exact(F("pk") % every, Value(0)))
    scores = _scores_of(within)
    fields = (
        "pk", "external_id", "timestamp", "facets", "latency_seconds", "cost_usd", "input_tokens", "has_error", "name",
        "environment", "session_id", "user_id", "input_preview", "output_preview", "time_to_first_token_seconds",
    )  # fmt: skip
    return [
        TraceRecord(
            external_id=external_id,
            timestamp=timestamp,
            facets=facets,
            scores=scores.get(pk, {}),
            latency_seconds=latency,
            cost_usd=cost,
            input_tokens=tokens,
            has_error=has_error,
            name=name,
            environment=environment,
            session_id=session,
            user_id=user,
            input_preview=shown_input,
            output_preview=shown_output,
            time_to_first_token_seconds=first_token,
        )
        for (
            pk, external_id, timestamp, facets, latency, cost, tokens, has_error, name, environment, session, user,
            shown_input, shown_output, first_token,
        ) in Trace.objects.filter(within).values_list(*fields)
    ]  # fmt: skip


def trace_keys(incident: Incident, external_ids: Collection[str]) -> dict[str, int]:
    """Which of these traces the incident holds: {external id: key}. One query, none without ids."""
    if not external_ids:
        return {}
    found = Trace.objects.filter(incident=incident, external_id__in=external_ids).order_by()
    return dict(found.values_list("external_id", "pk"))


def trace_reading(trace: Trace) -> TraceReading:
    """Read a trace back from its stored bytes, whose hashes are verified.

    Raises UserError when the bytes no longer match their hash.
    """
    blobs = list(EvidenceBlob.objects.filter(trace_blobs__trace=trace).order_by("stored_at", "sha256"))
    parts = tuple(_Bytes(blob.sha256, read_blob(blob)) for blob in blobs)
    small = sum(len(part.data) for part in parts) <= _REMEMBERED_BYTES
    roots, own = (_parsed if small else _parsed.__wrapped__)(trace.external_id, parts)
    return TraceReading(
        trace=trace,
        roots=list(roots),
        scores=list(trace.scores.order_by("observation_id", "name", "timestamp")),
        blobs=blobs,
        missing_facets=[name for name in FACETS if name not in trace.facets],
        input=long_text(own.get("input")),
        output=long_text(own.get("output")),
        metadata=mapping(own.get("metadata")),
    )


@dataclass(frozen=True, slots=True)
class _Bytes:
    """Verified bytes; their hash is what they are remembered by."""

    sha256: str
    data: bytes = field(compare=False)


@lru_cache(maxsize=8)
def _parsed(external_id: str, parts: tuple[_Bytes, ...]) -> tuple[tuple[ObservationNode, ...], dict[str, Any]]:
    """The trace's tree, and its own row where there is one. Whoever opens a trace opens its parts next."""
    collected = TraceRows()
    for part in parts:
        try:
            for row in rows_of(part.data, part.sha256[:12], skip_faults=True):
                if row.kind != "score" and row.trace_id == external_id:
                    collected.add(row)
        except UserError:
            continue  # a page of another kind, e.g. prompts; its bytes are listed all the same
    if not collected.trace_ids():
        return (), {}
    own = dict(collected.traces[external_id].value) if external_id in collected.traces else {}
    own = {name: own.get(name) for name in ("input", "output", "metadata")}
    return tuple(build_tree(collected.record(external_id).observations)), own


def facet_coverage(incident: Incident) -> list[FacetCoverage]:
    """Every facet of the map, and whatever else the traces carry, with its share of the traces.

    Evidence does not change once it is stored, so it is counted once for a state of the evidence.
    """
    return _facet_coverage(evidence_state(incident))


@lru_cache(maxsize=32)
def _facet_coverage(state: EvidenceState) -> list[FacetCoverage]:
    columns = columns_of(state)
    total = columns.keys.size
    found = []
    for name in dict.fromkeys([*FACETS, *columns.facet_names()]):
        facet = columns.facet(name)
        counts = facet.counts()
        count = int(counts.sum())
        most = np.argsort(-counts, kind="stable")[:_TOP_VALUES]
        values = [(facet.values[place], int(counts[place])) for place in most if counts[place]]
        found.append(FacetCoverage(name, count, count / total if total else 0.0, values))
    return found


def signals(incident: Incident) -> list[SignalChoice]:
    """Signals that at least one trace carries: scores by how many traces have them, then the built-in ones.

    Counted once for a state of the evidence, but for the labels, which come one by one.
    """
    labelled = labels_of(incident).filter(withdrawn_at=None).aggregate(count=Count("trace", distinct=True))["count"]
    state = evidence_state(incident)
    labelled = max(labelled, column_counts(state).scores.get(LABEL, (0, 0))[0])  # a source may call a score so
    label = [SignalChoice(LABEL, signal_label(LABEL), labelled)] if labelled else []
    return [*_signals(state), *label]


@lru_cache(maxsize=32)
def _signals(state: EvidenceState) -> list[SignalChoice]:
    counts = column_counts(state)
    found = {name: count for name, count in counts.numbers.items() if name in SIGNALS}
    found["error"] = counts.traces if counts.errors else 0
    scored = sorted(counts.scores.items(), key=lambda item: (-item[1][0], item[0]))
    choices = [
        SignalChoice(name, signal_label(name), traces) for name, (traces, _) in scored if traces and name not in SIGNALS
    ]
    return choices + [SignalChoice(name, signal_label(name), count) for name, count in found.items() if count]


def evidence_counts(incident: Incident) -> EvidenceCounts:
    """How much is in evidence, counted once for a state of the evidence."""
    state = evidence_state(incident)
    counts = column_counts(state)
    return EvidenceCounts(
        traces=counts.traces,
        scores=counts.score_rows,
        imports=state.imports,
        anchors=counts.anchors,
        first_at=counts.first_at,
        last_at=counts.last_at,
    )


def score_count(incident: Incident, name: str) -> int:
    """How many scores of this name the incident has, counted once for a state of the evidence; labels do not count."""
    return column_counts(evidence_state(incident)).scores.get(name, (0, 0))[1]


def evidence_imports(incident: Incident) -> QuerySet[EvidenceImport]:
    """The incident's imports in order of time, with who and through which connection."""
    return EvidenceImport.objects.filter(incident=incident).select_related("connection", "imported_by")


def _scores_of(within: Q) -> dict[int, dict[str, float]]:
    """{trace: {score name: value}}; later rows of the order win, as scores_by_name says."""
    rows = (
        Score.objects.filter(trace__in=Trace.objects.filter(within).order_by().values("pk"), value__isnull=False)
        .order_by()
        .values_list("trace_id", "name", "value", "observation_id", "timestamp", "external_id")
    )
    best: dict[tuple[int, str], tuple[Any, float]] = {}
    for trace_id, name, value, observation_id, timestamp, external_id in rows.iterator(chunk_size=5000):
        rank = (not observation_id, timestamp is not None, timestamp, external_id)
        key = (trace_id, name)
        if key not in best or rank > best[key][0]:
            best[key] = (rank, value)
    found: dict[int, dict[str, float]] = {}
    for (trace_id, name), (_, value) in best.items():
        found.setdefault(trace_id, {})[name] = value
    return found


def covered_spans(incident: Incident, connection: Connection, filters: dict[str, Any]) -> list[Interval]:
    """Spans that imports with exactly these filters through this connection have read to their end. One query."""
    done = EvidenceImport.objects.filter(
        incident=incident, connection=connection, finished=True, covered_from__isnull=False
    ).values_list("covered_from", "covered_to", "asked")
    return [(low, high) for low, high, asked in done if asked.get("filters") == filters]


def traces_read_through(incident: Incident, connection: Connection, after: int, limit: int) -> list[Trace]:
    """Traces that came through a connection, `limit` of them with ids behind `after`, in order of id. One query."""
    mine = Trace.objects.filter(incident=incident, evidence_import__connection=connection, pk__gt=after)
    return list(mine.only("pk", "external_id", "timestamp").order_by("pk")[:limit])


def known_scores(traces: list[Trace]) -> dict[tuple[str, str], tuple[float | None, str]]:
    """Value and text of the scores that the traces have, by (trace, score) as their source calls them. One query."""
    rows = Score.objects.filter(trace__in=traces)
    told = rows.values_list("trace__external_id", "external_id", "value", "text_value")
    return {(trace, score): (value, text) for trace, score, value, text in told}


def first_read_at(incident: Incident, connection: Connection) -> datetime | None:
    """When traces were first read through a connection: scores that came earlier came with them."""
    done = EvidenceImport.objects.filter(incident=incident, connection=connection)
    return done.aggregate(at=Min("imported_at"))["at"]
