"""Writes of the traces room: evidence comes in here and nowhere else. Connections are written in connections.py."""

import io
import zlib
from collections.abc import Sequence
from typing import Any, BinaryIO

from django.conf import settings
from django.db import transaction
from django.db.models import F

from postmortem.accounts import audit
from postmortem.accounts.models import Person
from postmortem.incidents.models import Incident
from postmortem.incidents.permissions import Capability, require
from postmortem.lib.clock import utc_now
from postmortem.lib.errors import UserError
from postmortem.lib.hashing import sha256_hex
from postmortem.traces.connections import (
    check_connection,
    connection_for_link,
    create_connection,
    delete_connection,
    open_source,
    update_connection,
)
from postmortem.traces.intake import Taken, TakenTrace, take_file
from postmortem.traces.models import Connection, EvidenceBlob, EvidenceImport
from postmortem.traces.records import SourcePage, TraceRecord
from postmortem.traces.reread import read_small_blobs
from postmortem.traces.sources import Interval
from postmortem.traces.spill import packed_page
from postmortem.traces.stored_columns import build_columns
from postmortem.traces.storing import Arrival, Stored, store_blobs, store_traces
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
    "store_taken",
    "update_connection",
]


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
    by_id = {record.external_id: record for record in records}
    with transaction.atomic():
        digests = store_blobs(evidence_import, (packed_page(_body(page)) for page in pages))
        stored = store_traces(
            evidence_import,
            (
                Arrival(record, [digest for digest, page in zip(digests, pages, strict=True) if _tells(page, key)])
                for key, record in by_id.items()
            ),
            anchor=anchor,
        )
        count_stored(evidence_import, stored)
    return stored.traces


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
    build_columns(evidence_import.incident_id)
    return evidence_import


def import_file(
    *,
    incident: Incident,
    by: Person,
    filename: str,
    data: bytes | BinaryIO,
    kind: str = EvidenceImport.Kind.FILE,
    keep_good: bool = False,
) -> EvidenceImport:
    """Read an uploaded file of any size and store its traces; a file that is wrong anywhere stores nothing.

    With `keep_good`, what cannot be read is left out instead, counted and told in the import's `faults`.
    A file of a single trace was uploaded to be read, so that trace becomes an anchor.
    Raises UserError naming file, line and field of the first fault.
    """
    require(by, Capability.IMPORT, incident)
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    with take_file(file, filename, max_bytes=settings.IMPORT_MAX_FILE_BYTES, keep_good=keep_good) as taken:
        return store_taken(incident=incident, by=by, kind=kind, origin=filename, taken=taken)


def store_taken(*, incident: Incident, by: Person, kind: str, origin: str, taken: Taken) -> EvidenceImport:
    """Store what a file holds, all of it or nothing. Everything was read before, so that this only writes."""
    require(by, Capability.IMPORT, incident)
    refuse_scores_alone(incident, taken)
    with transaction.atomic():
        evidence_import = begin_import(incident=incident, by=by, kind=kind, origin=origin)
        digests = store_blobs(evidence_import, taken.pages)
        arrivals = (arrival_of(trace, digests) for chunk in taken.traces() for trace in chunk)
        stored = store_traces(evidence_import, arrivals, anchor=taken.trace_count == 1)
        count_stored(evidence_import, stored)
        tell_of_file(evidence_import, taken, unknown=stored.unknown)
        return finish_import(evidence_import=evidence_import)


def arrival_of(trace: TakenTrace, digests: Sequence[str]) -> Arrival:
    """A trace of a file, with the hashes of the pages that tell about it."""
    return Arrival(trace.record, {digests[number] for number in trace.pages}, trace.only_scores)


def refuse_scores_alone(incident: Incident, taken: Taken) -> None:
    """Before anything is stored: raises UserError for a file of scores whose traces are all unknown here."""
    if taken.trace_count:
        return
    for chunk in taken.traces():
        if incident.traces.filter(external_id__in=[trace.record.external_id for trace in chunk]).exists():
            return
    raise UserError(f"{taken.what} holds scores but no traces; upload the traces or observations that they belong to.")


def tell_of_file(evidence_import: EvidenceImport, taken: Taken, *, unknown: int) -> None:
    """Note beside an import which bytes it came from and what people should know of how they were read.

    `unknown`: traces that the file has scores of, and nobody else knows.
    """
    notes = list(taken.notes)
    if unknown:
        many = f"{unknown:,} traces that are" if unknown > 1 else "one trace that is"
        notes.append(f"Scores of {many} not here were left out; upload the traces first.")
    evidence_import.file_sha256, evidence_import.file_bytes = taken.sha256, taken.size
    evidence_import.notes, evidence_import.left_out = notes, taken.faults.count
    evidence_import.faults = [[fault.line, fault.sentence] for fault in taken.faults.told]
    evidence_import.save(update_fields=["file_sha256", "file_bytes", "notes", "left_out", "faults"])


def count_stored(evidence_import: EvidenceImport, stored: Stored) -> None:
    """Count what came in, beside the import and in the key of what is computed from the evidence."""
    EvidenceImport.objects.filter(pk=evidence_import.pk).update(
        trace_count=F("trace_count") + stored.traces, score_count=F("score_count") + stored.scores, written_at=utc_now()
    )
    evidence_import.refresh_from_db(fields=["trace_count", "score_count"])


def _tells(page: bytes | SourcePage, trace_id: str) -> bool:
    return not isinstance(page, SourcePage) or page.trace_ids is None or trace_id in page.trace_ids


def _body(page: bytes | SourcePage) -> bytes:
    return page.body if isinstance(page, SourcePage) else page
