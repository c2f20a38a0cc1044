"""Traces, scores and bytes into the database, many at once. Called by `services`, inside its transactions."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from postmortem.lib.clock import utc_now
from postmortem.traces.bulk import in_chunks, insert_rows
from postmortem.traces.models import EvidenceBlob, EvidenceImport, ReadBlob, Score, Trace, TraceBlob
from postmortem.traces.records import ScoreRecord, TraceRecord
from postmortem.traces.spill import PackedPage
from postmortem.traces.stored_columns import forget_columns

_CHUNK = 2_000
_PAGES = 16
_FACTS = (
    "external_id", "name", "timestamp", "environment", "session_id", "user_id", "latency_seconds", "cost_usd",
    "time_to_first_token_seconds", "input_tokens", "has_error", "input_preview", "output_preview",
)  # fmt: skip
_SCORE = ("external_id", "name", "value", "text_value", "source", "timestamp", "observation_id")


@dataclass(frozen=True, slots=True)
class Arrival:
    """A trace to be stored, and the hashes of the blobs that tell about it; or only scores, for one that is here."""

    record: TraceRecord
    blobs: Collection[str]
    only_scores: bool = False


@dataclass(frozen=True, slots=True)
class Stored:
    """What was new: traces, and scores on them. `unknown`: how many had only scores, and no trace here to take them."""

    traces: int = 0
    scores: int = 0
    unknown: int = 0

    def __add__(self, other: "Stored") -> "Stored":
        return Stored(self.traces + other.traces, self.scores + other.scores, self.unknown + other.unknown)


def store_blobs(evidence_import: EvidenceImport, pages: Iterable[PackedPage]) -> list[str]:
    """Keep bytes, each once; the hashes in the order of the pages."""
    digests: list[str] = []
    for chunk in in_chunks(pages, _PAGES):
        mine = [page.sha256 for page in chunk]
        known = set(EvidenceBlob.objects.filter(pk__in=mine).values_list("pk", flat=True))
        new = {page.sha256: page for page in chunk if page.sha256 not in known}
        insert_rows(
            EvidenceBlob, ("sha256", "size_bytes", "media_type", "compressed", "stored_at"),
            ((key, page.size, page.media_type, page.compressed, utc_now()) for key, page in new.items()),
        )  # fmt: skip
        insert_rows(
            EvidenceImport.blobs.through, ("evidenceimport", "evidenceblob"),
            ((evidence_import.pk, digest) for digest in dict.fromkeys(mine)),
        )  # fmt: skip
        digests += mine
    return digests


def store_traces(evidence_import: EvidenceImport, arrivals: Iterable[Arrival], *, anchor: bool = False) -> Stored:
    """Store traces with their scores; one that the incident has keeps its facts, and gains bytes and newer scores."""
    stored = Stored()
    for chunk in in_chunks(arrivals, _CHUNK):
        stored += _store_chunk(evidence_import, chunk, anchor=anchor)
    return stored


def _store_chunk(evidence_import: EvidenceImport, arrivals: Sequence[Arrival], *, anchor: bool) -> Stored:
    by_id = {arrival.record.external_id: arrival for arrival in arrivals}
    mine = Trace.objects.filter(incident=evidence_import.incident_id, external_id__in=by_id).order_by()
    before = set(mine.values_list("external_id", flat=True))
    new = [one.record for key, one in by_id.items() if key not in before and not one.only_scores]
    insert_rows(
        Trace, ("incident", "evidence_import", "facets", "is_anchor", *_FACTS),
        (
            (evidence_import.incident_id, evidence_import.pk, dict(record.facets), anchor,
             *(getattr(record, name) for name in _FACTS))
            for record in new
        ),
    )  # fmt: skip
    if anchor and before:
        mine.update(is_anchor=True)
    keys = dict(mine.values_list("external_id", "pk"))
    here = {key: one for key, one in by_id.items() if key in keys}
    insert_rows(TraceBlob, ("trace", "blob"), ((keys[key], blob) for key, one in here.items() for blob in one.blobs))
    if new:  # bytes that were read for other incidents are to be read for these traces too
        told = {blob for record in new for blob in here[record.external_id].blobs}
        for some in in_chunks(told, _CHUNK):
            ReadBlob.objects.filter(pk__in=some).delete()
    rows = {
        (keys[key], score.external_id): score
        for key, one in here.items()
        for score in (one.record.score_records or _plain_scores(one.record))
    }
    counted = {keys[record.external_id] for record in new}
    added = sum(trace in counted for trace, _ in rows) + _late_scores(
        rows, {keys[k] for k in here if here[k].only_scores}
    )
    insert_rows(
        Score, ("trace", *_SCORE),
        ((trace, *(getattr(score, name) for name in _SCORE)) for (trace, _), score in rows.items()),
        unique=("trace", "external_id"),
    )  # fmt: skip
    forget_columns(evidence_import.incident_id, keys.values())
    return Stored(len(new), added, len(by_id) - len(here))


def _late_scores(rows: Iterable[tuple[int, str]], traces: set[int]) -> int:
    """How many scores for these traces are not here yet."""
    if not traces:
        return 0
    known = set(Score.objects.filter(trace__in=traces).values_list("trace_id", "external_id"))
    return sum(trace in traces and (trace, name) not in known for trace, name in rows)


def _plain_scores(record: TraceRecord) -> list[ScoreRecord]:
    """The open format names its scores and no more; the name serves as id."""
    return [ScoreRecord(name, name, value, timestamp=record.timestamp) for name, value in record.scores.items()]
