"""Writes of tables that a person maps: the draft that waits, the import, the mapping kept for the next time."""

import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import PurePath
from typing import BinaryIO

from django.conf import settings
from django.db import transaction

from postmortem.accounts import audit
from postmortem.accounts.models import Person
from postmortem.incidents.models import Incident
from postmortem.incidents.permissions import Capability, require
from postmortem.incidents.services import refuse_published
from postmortem.lib.clock import utc_now
from postmortem.lib.errors import UserError
from postmortem.traces.intake import Fault, take_file
from postmortem.traces.mapped import MappedRows, TableMapping, TablePreview, mapping_of, preview_table
from postmortem.traces.models import EvidenceImport, MappingDraft, SavedMapping
from postmortem.traces.services import store_taken

DRAFT_MAX_BYTES = 64 * 1024 * 1024
DRAFT_LIVES = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class TableOutcome:
    """What an import of a table did: its traces, and the rows that were left out."""

    evidence_import: EvidenceImport
    added: int
    faults: Sequence[Fault]
    fault_count: int


def keep_draft(*, incident: Incident, by: Person, filename: str, data: bytes) -> MappingDraft:
    """Keep an uploaded table until its mapping is made; drafts of more than a day are thrown away.

    Raises UserError for a table that cannot be read at all.
    """
    require(by, Capability.IMPORT, incident)
    refuse_published(incident)
    if len(data) > DRAFT_MAX_BYTES:
        raise UserError(
            f"{filename[:80]} has more than {DRAFT_MAX_BYTES // 1024 // 1024} MB; split it, or use the API."
        )
    preview_table(io.BytesIO(data), filename, max_bytes=settings.IMPORT_MAX_FILE_BYTES)
    with transaction.atomic():
        MappingDraft.objects.filter(made_at__lt=utc_now() - DRAFT_LIVES).delete()
        MappingDraft.objects.filter(incident=incident, person=by).delete()
        return MappingDraft.objects.create(
            incident=incident, person=by, filename=filename[:200], compressed=zlib.compress(data, 1)
        )


def draft_bytes(draft: MappingDraft) -> bytes:
    """The table as it was uploaded."""
    return zlib.decompress(bytes(draft.compressed))


def draft_preview(draft: MappingDraft) -> TablePreview:
    """Its first rows and the guessed mapping."""
    return preview_table(io.BytesIO(draft_bytes(draft)), draft.filename, max_bytes=settings.IMPORT_MAX_FILE_BYTES)


def import_table(
    *, incident: Incident, by: Person, filename: str, data: bytes | BinaryIO, mapping: TableMapping, keep_good: bool
) -> TableOutcome:
    """Store the traces of a mapped table, all or nothing; its own bytes are kept beside what was read.

    Rows that cannot be read refuse the file, or with `keep_good` are left out and told.
    Raises UserError naming file, line and column.
    """
    require(by, Capability.IMPORT, incident)
    refuse_published(incident)
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    with (
        take_file(
            file, filename, max_bytes=settings.IMPORT_MAX_FILE_BYTES, keep_good=keep_good,
            rows_of_entry=MappedRows(mapping, PurePath(filename).name[:80] or "The file"), any_table=True,
        ) as taken,
        transaction.atomic(),
    ):  # fmt: skip
        finished = store_taken(
            incident=incident, by=by, kind=EvidenceImport.Kind.FILE, origin=f"{filename} (mapped)", taken=taken
        )
        audit.record(
            person=by, action="evidence.mapped", subject=filename, incident_number=incident.number,
            after={"mapping": mapping.to_json(), "left out": taken.faults.count},
        )  # fmt: skip
    return TableOutcome(finished, finished.trace_count, taken.faults.told, taken.faults.count)


def saved_mapping(name: str) -> TableMapping:
    """The mapping that was kept under this name. Raises UserError when there is none."""
    saved = SavedMapping.objects.filter(name=name[:120]).first()
    if saved is None:
        raise UserError(f"There is no saved mapping “{name[:120]}”.")
    return mapping_of(saved.mapping)


def save_mapping(*, by: Person, name: str, mapping: TableMapping) -> SavedMapping:
    """Keep a mapping under a name; the same name again replaces it."""
    require(by, Capability.IMPORT)
    name = name.strip()
    if not 0 < len(name) <= 120:
        raise UserError("Give the mapping a name of up to 120 characters.")
    with transaction.atomic():
        saved, _ = SavedMapping.objects.update_or_create(
            name=name, defaults={"mapping": mapping.to_json(), "made_by": by, "made_at": utc_now()}
        )
        audit.record(person=by, action="mapping.save", subject=name, after=mapping.to_json())
    return saved
