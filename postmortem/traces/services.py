"""Writes of the traces room: evidence comes in here and nowhere else. Connections are written in connections.py."""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from django.conf import settings
from django.db import transaction
from django.db.models import F

from postmortem.accounts import audit
from postmortem.accounts.models import Person
from postmortem.incidents.models import Incident
from postmortem.incidents.permissions import Capability, require
from postmortem.lib.hashing import sha256_hex
from postmortem.traces.connections import (
    check_connection,
    connection_for_link,
    create_connection,
    delete_connection,
    open_source,
    update_connection,
)
from postmortem.traces.files import read_file
from postmortem.traces.models import Connection, EvidenceBlob, EvidenceImport, Score, Trace, TraceBlob
from postmortem.traces.records import ScoreRecord, SourcePage, TraceRecord
from postmortem.traces.reread import read_small_blobs
from postmortem.traces.sources import Interval
from postmortem.traces.texts import read_blob

__all__ = [
    "begin_import",
    "check_connection",
    "connection_for_link",
    "create_connection",
    "delete_connection",
    "finish_import",
    "import_file",
    "open_source",
    "read_blob",
    "store_blob",
    "store_page",
    "update_connection",
]

_CHUNK = 500
_Item = TypeVar("_Item")


def store_blob(data: bytes, media_type: str = "application/json") -> EvidenceBlob:
    """Keep bytes once, named by their SHA-256, compressed with zlib. Storing the same again gives the same row."""
    digest = sha256_hex(data)
    blob = EvidenceBlob.objects.filter(pk=digest).first()
    if blob is None:
        blob = EvidenceBlob(
            sha256=digest, size_bytes=len(data), media_type=media_type[:100], compressed=zlib.compress(data, 6)
        )
        EvidenceBlob.objects.bulk_create([blob], ignore_conflicts=True)
    return blob


def begin_import(
    *,
    incident: Incident,
    by: Person,
    kind: str,
    origin: str,
    connection: Connection | None = None,
    asked: dict[str, Any] | None = None,
) -> EvidenceImport:
    """Open an import; `origin` is the link or file name, for people to trace back.

    `asked`: of a window its filters, start and end.
    """
    require(by, Capability.IMPORT, incident)
    with transaction.atomic():
        evidence_import = EvidenceImport.objects.create(
            incident=incident,
            kind=kind,
            origin=origin[:1000],
            connection=connection,
            imported_by=by,
            asked=asked or {},
        )
        audit.record(
            person=by, action="begin import", subject=origin, incident_number=incident.number, after={"kind": kind}
        )
    return evidence_import


def store_page(
    *,
    evidence_import: EvidenceImport,
    records: Sequence[TraceRecord],
    pages: Sequence[bytes | SourcePage],
    anchor: bool = False,
) -> int:
    """Store traces and the bytes they came in; all of it or nothing. Returns how many traces are new.

    A trace that the incident has already keeps its facts; it gains the bytes and newer scores. `anchor` marks
    the traces as the ones that somebody pasted or uploaded to be read.
    """
    with transaction.atomic():
        stored = [(store_blob(_body(page)).pk, page) for page in pages]
        _create(EvidenceImport.blobs.through, (
            {"evidenceimport_id": evidence_import.pk, "evidenceblob_id": digest} for digest, _ in stored
        ))  # fmt: skip
        added = scores_added = 0
        for chunk in _chunks(records):
            new, scores = _store_chunk(evidence_import, chunk, stored, anchor=anchor)
            added, scores_added = added + new, scores_added + scores
        EvidenceImport.objects.filter(pk=evidence_import.pk).update(
            trace_count=F("trace_count") + added, score_count=F("score_count") + scores_added
        )
    evidence_import.refresh_from_db(fields=["trace_count", "score_count"])
    return added


def finish_import(
    *, evidence_import: EvidenceImport, truncated: bool = False, covered: Interval | None = None
) -> EvidenceImport:
    """Close an import; `truncated` says that the cap was reached before the end.

    `covered`: the span of a window that need not be read again.
    """
    with transaction.atomic():
        evidence_import.finished, evidence_import.truncated_at_cap = True, truncated
        evidence_import.covered_from, evidence_import.covered_to = covered or (None, None)
        evidence_import.save(update_fields=["finished", "truncated_at_cap", "covered_from", "covered_to"])
        audit.record(
            person=evidence_import.imported_by,
            action="finish import",
            subject=evidence_import.origin,
            incident_number=evidence_import.incident.number,
            after={"traces": evidence_import.trace_count, "scores": evidence_import.score_count},
        )
    read_small_blobs(evidence_import)
    return evidence_import


def import_file(
    *, incident: Incident, by: Person, filename: str, data: bytes, kind: str = EvidenceImport.Kind.FILE
) -> EvidenceImport:
    """Read an uploaded file and store its traces; a file that is wrong anywhere stores nothing.

    A file of a single trace was uploaded to be read, so that trace becomes an anchor.
    Raises UserError naming the line that is wrong.
    """
    require(by, Capability.IMPORT, incident)
    parsed = read_file(data, filename, max_bytes=settings.IMPORT_MAX_FILE_BYTES)
    with transaction.atomic():
        evidence_import = begin_import(incident=incident, by=by, kind=kind, origin=filename)
        store_page(
            evidence_import=evidence_import,
            records=parsed.records,
            pages=parsed.pages,
            anchor=len(parsed.records) == 1,
        )
        return finish_import(evidence_import=evidence_import)


def _store_chunk(
    evidence_import: EvidenceImport,
    records: list[TraceRecord],
    stored: list[tuple[str, bytes | SourcePage]],
    *,
    anchor: bool,
) -> tuple[int, int]:
    by_id = {record.external_id: record for record in records}
    mine = Trace.objects.filter(incident=evidence_import.incident_id, external_id__in=by_id)
    before = set(mine.values_list("external_id", flat=True))
    new = [record for identifier, record in by_id.items() if identifier not in before]
    Trace.objects.bulk_create(
        [_trace_row(evidence_import, record, anchor=anchor) for record in new], ignore_conflicts=True
    )
    if anchor and before:
        mine.update(is_anchor=True)
    keys = dict(mine.values_list("external_id", "pk"))
    _create(TraceBlob, (
        {"trace_id": keys[identifier], "blob_id": digest}
        for digest, page in stored
        for identifier in by_id
        if not isinstance(page, SourcePage) or page.trace_ids is None or identifier in page.trace_ids
    ))  # fmt: skip
    rows = {
        (keys[identifier], score.external_id): score
        for identifier, record in by_id.items()
        for score in (record.score_records or _plain_scores(record))
    }
    for chunk in _chunks(rows.items()):
        Score.objects.bulk_create(
            [_score_row(trace_id, score) for (trace_id, _), score in chunk],
            update_conflicts=True,
            unique_fields=["trace", "external_id"],
            update_fields=["name", "value", "text_value", "source", "timestamp", "observation_id"],
        )
    added_keys = {keys[record.external_id] for record in new}
    return len(new), sum(trace_id in added_keys for trace_id, _ in rows)


def _trace_row(evidence_import: EvidenceImport, record: TraceRecord, *, anchor: bool) -> Trace:
    same = (
        "external_id", "name", "timestamp", "environment", "session_id", "user_id", "latency_seconds", "cost_usd",
        "time_to_first_token_seconds", "input_tokens", "has_error", "input_preview", "output_preview",
    )  # fmt: skip
    return Trace(
        incident_id=evidence_import.incident_id,
        evidence_import=evidence_import,
        facets=dict(record.facets),
        is_anchor=anchor,
        **{name: getattr(record, name) for name in same},
    )


def _score_row(trace_id: int, score: ScoreRecord) -> Score:
    same = ("external_id", "name", "value", "text_value", "source", "timestamp", "observation_id")
    return Score(trace_id=trace_id, **{name: getattr(score, name) for name in same})


def _plain_scores(record: TraceRecord) -> list[ScoreRecord]:
    """The open format names its scores and no more; the name serves as id."""
    return [ScoreRecord(name, name, value, timestamp=record.timestamp) for name, value in record.scores.items()]


def _body(page: bytes | SourcePage) -> bytes:
    return page.body if isinstance(page, SourcePage) else page


def _create(model: Any, rows: Iterable[dict[str, Any]]) -> None:
    for chunk in _chunks(rows):
        model.objects.bulk_create([model(**row) for row in chunk], ignore_conflicts=True)


def _chunks(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    waiting = iter(items)
    while chunk := list(islice(waiting, _CHUNK)):
        yield chunk
