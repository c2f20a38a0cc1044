"""Writes of tables that a person maps: the draft that waits, the import, the mapping kept for the next time."""

import io
from contextlib import AbstractContextManager
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
from postmortem.traces.intake import Taken, Watch, take_file
from postmortem.traces.kept_uploads import forget_upload, keep_upload, open_upload
from postmortem.traces.mapped import MappedRows, TableMapping, TablePreview, mapping_of, preview_table
from postmortem.traces.models import EvidenceImport, SavedMapping, Upload
from postmortem.traces.services import store_taken


def keep_draft(*, incident: Incident, by: Person, filename: str, file: BinaryIO) -> Upload:
    """Keep an uploaded table of any size until its mapping is made, at most for a day.

    Raises UserError for a table that cannot be read at all.
    """
    require(by, Capability.IMPORT, incident)
    refuse_published(incident)
    preview_table(file, filename, max_bytes=settings.IMPORT_MAX_FILE_BYTES)
    for older in Upload.objects.filter(incident=incident, person=by, awaits=Upload.Awaits.MAPPING):
        forget_upload(older)
    return keep_upload(incident=incident, by=by, filename=filename, file=file, awaits=Upload.Awaits.MAPPING)


def draft_preview(draft: Upload) -> TablePreview:
    """Its first rows and the guessed mapping: only the head of the file is read, or what Parquet needs of it."""
    return preview_table(open_upload(draft), draft.filename, max_bytes=settings.IMPORT_MAX_FILE_BYTES)


def take_table(
    file: BinaryIO,
    filename: str,
    *,
    mapping: TableMapping,
    keep_good: bool,
    max_bytes: int | None = None,
    watch: Watch = lambda: None,
    digest: tuple[str, int] | None = None,
) -> AbstractContextManager[Taken]:
    """`take_file` of a mapped table; its own bytes are kept beside what was read.

    Rows that cannot be read refuse the file, or with `keep_good` are left out and told.
    Raises UserError naming file, line and column.
    """
    return take_file(
        file, filename, max_bytes=max_bytes or settings.IMPORT_MAX_FILE_BYTES, keep_good=keep_good, watch=watch,
        digest=digest,
        rows_of_entry=MappedRows(mapping, PurePath(filename).name[:80] or "The file"), any_table=True,
    )  # fmt: skip


def origin_of_table(filename: str) -> str:
    """How its import is called."""
    return f"{filename} (mapped)"


def note_mapped(*, incident: Incident, by: Person, filename: str, mapping: TableMapping, left_out: int) -> None:
    """Keep in the audit log how a table was read."""
    audit.record(
        person=by, action="evidence.mapped", subject=filename, incident_number=incident.number,
        after={"mapping": mapping.to_json(), "left out": left_out},
    )  # fmt: skip


def import_table(
    *, incident: Incident, by: Person, filename: str, data: bytes | BinaryIO, mapping: TableMapping, keep_good: bool
) -> EvidenceImport:
    """Store the traces of a mapped table, all or nothing. Raises UserError naming file, line and column."""
    require(by, Capability.IMPORT, incident)
    refuse_published(incident)
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    with take_table(file, filename, mapping=mapping, keep_good=keep_good) as taken, transaction.atomic():
        finished = store_taken(
            incident=incident, by=by, kind=EvidenceImport.Kind.FILE, origin=origin_of_table(filename), taken=taken
        )
        note_mapped(incident=incident, by=by, filename=filename, mapping=mapping, left_out=taken.faults.count)
    return finished


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
