"""Writes of the changes room: entries come into the four logs here and nowhere else."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction
from django.db.models import ProtectedError

from postmortem.accounts import audit
from postmortem.accounts.models import Person
from postmortem.changes.log_files import parse_log
from postmortem.changes.models import Change, ChangeFeed, ChangeRevision, Manifest
from postmortem.changes.parse import content_of, read_change, to_open_format
from postmortem.changes.records import ChangeRecord
from postmortem.changes.stored import fields_of, record_of
from postmortem.incidents.models import Feature, Incident
from postmortem.incidents.permissions import Capability, require
from postmortem.incidents.services import refuse_published
from postmortem.lib.errors import UserError
from postmortem.lib.hashing import sha256_hex
from postmortem.traces.services import store_blob

_CHUNK = 500
TAKEN_BACK = (Change.Source.HAND, Change.Source.MANIFEST)


@dataclass(frozen=True, slots=True)
class ImportOutcome:
    """What an import did. `conflicting` holds the ids that were stored before with other content, which stays.

    `notes`: sentences about what was read in a way that people should know of.
    """

    added: int = 0
    unchanged: int = 0
    conflicting: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class FileOutcome(ImportOutcome):
    """What an import of a file did. `left_out` counts the entries that could not be read.

    `faults` are the first of them: (line, sentence naming file, line and field).
    """

    left_out: int = 0
    faults: list[tuple[int, str]] = field(default_factory=list)


def import_changes(
    *,
    feature: Feature,
    by: Person,
    filename: str,
    data: bytes,
    incident: Incident | None = None,
    source: str = Change.Source.FILE,
    keep_good: bool = False,
) -> FileOutcome:
    """Add the changes of a JSONL or CSV file to the logs of `feature`; its bytes are kept as evidence.

    Importing twice adds nothing. Raises UserError naming file, line and field of the first fault, and stores nothing;
    with `keep_good` the entries that cannot be read are left out and told instead.
    """
    ask_import(by, feature, incident)
    log = parse_log(data, filename, keep_good=keep_good)
    parsed = log.changes
    media_type = _media_type(filename)
    outcome = store_records(
        feature=feature, by=by, incident=incident, records=[change.record for change in parsed],
        source=source, origin=filename, raw=[(data, media_type)] * len(parsed),
    )  # fmt: skip
    notes = []
    if naive := [change.line for change in parsed if change.without_zone]:
        many = (
            f"Times of {len(naive):,} changes are without their zone"
            if len(naive) > 1
            else "A time is without its zone"
        )
        notes = [f"{many} (the first in line {naive[0]}); read as UTC."]
    return FileOutcome(
        outcome.added, outcome.unchanged, outcome.conflicting, notes, left_out=log.left_out, faults=log.faults
    )


def store_records(
    *,
    feature: Feature,
    by: Person,
    records: Sequence[ChangeRecord],
    source: str,
    origin: str,
    raw: Sequence[tuple[bytes, str]] | None = None,
    incident: Incident | None = None,
    feed: ChangeFeed | None = None,
) -> ImportOutcome:
    """Add records that are not there yet, all or nothing; `raw` holds the bytes and media type of each.

    `feed` is the one that brought them.

    The first entry under an id stays: the same content again is `unchanged`, other content is `conflicting`.
    Raises UserError for a record that the open format would refuse.
    """
    ask_import(by, feature, incident)
    checked = [read_change(to_open_format(record)) for record in records]
    contents = {record.id: sha256_hex(content_of(record)) for record in checked}
    with transaction.atomic():
        before = _stored_contents(feature, list(contents))
        new = [index for index, record in enumerate(checked) if record.id not in before]
        blobs = {item: store_blob(*item) for item in dict.fromkeys(raw[index] for index in new)} if raw else {}
        rows = [
            Change(
                feature=feature, source=source, origin=origin[:400], added_by=by, feed=feed,
                raw=blobs[raw[index]] if raw else None, content_sha256=contents[checked[index].id],
                **fields_of(checked[index]),
            )
            for index in new
        ]  # fmt: skip
        Change.objects.bulk_create(rows, batch_size=_CHUNK, ignore_conflicts=True)
        # Read again: somebody may have stored one of these ids in the meantime.
        after = _stored_contents(feature, list(contents))
        conflicting = [id_ for id_, content in contents.items() if after[id_] != content]
        added = len({checked[index].id for index in new} - set(conflicting))
        outcome = ImportOutcome(added, len(contents) - added - len(conflicting), conflicting)
        if added:
            audit.record(
                person=by,
                action="changes.import",
                subject=f"{feature.name}: {origin}",
                incident_number=incident.number if incident else "",
                after={"added": added, "unchanged": outcome.unchanged, "conflicting": len(conflicting)},
            )
    return outcome


def add_change(*, feature: Feature, by: Person, record: ChangeRecord, incident: Incident | None = None) -> Change:
    """Add one change typed by hand. The very same entry again gives the stored one.

    Raises UserError when a field is wrong or the id is taken by another change.
    """
    outcome = store_records(
        feature=feature, by=by, incident=incident, records=[record], source=Change.Source.HAND, origin="typed by hand"
    )
    if outcome.conflicting:
        raise UserError(f"The id “{record.id}” belongs to another change of {feature.name}; choose another id.")
    return Change.objects.get(feature=feature, external_id=record.id.strip())


def delete_change(*, change: Change, by: Person, incident: Incident | None = None) -> None:
    """Take back a change that was typed by hand or made of manifests, which stay.

    Raises UserError once evidence or factors refer to it.
    """
    ask_import(by, change.feature, incident)
    if change.source not in TAKEN_BACK:
        raise UserError("Only changes typed by hand can be deleted; an imported log stays as it was written.")
    in_use = "This change is used as evidence or as a factor; remove it there first."
    with transaction.atomic():
        if change.duplicates.exists():
            raise UserError("Other entries are merged into this change; take them apart first.")
        for relation in change._meta.related_objects:
            model, of_change = relation.related_model, {relation.field.name: change}
            # Manifests stay without it; what its corrections said is in the audit log.
            if model not in (Manifest, ChangeRevision) and model._base_manager.filter(**of_change).exists():
                raise UserError(in_use)
        audit.record(
            person=by,
            action="changes.delete",
            subject=str(change),
            incident_number=incident.number if incident else "",
            before=to_open_format(record_of(change)),
        )
        try:
            change.delete()
        except ProtectedError as error:
            raise UserError(in_use) from error


def ask_import(by: Person, feature: Feature, incident: Incident | None) -> None:
    """Raise PermissionDenied or UserError unless `by` may write to the logs of `feature` through `incident`."""
    require(by, Capability.IMPORT, incident)
    if incident is not None:
        if incident.feature_id != feature.pk:
            raise UserError(f"{incident.number} is about another feature than {feature.name}; choose its own log.")
        refuse_published(incident)


def stored_ids(feature: Feature, ids: Sequence[str]) -> set[str]:
    """Those of these ids that the feature's logs hold."""
    return set(_stored_contents(feature, ids))


def is_told_between(feature: Feature, begins: str, start: datetime, end: datetime) -> bool:
    """Whether the logs hold a change whose id begins so and that began between two moments."""
    return feature.changes.filter(external_id__startswith=begins, at__gte=start, at__lte=end).exists()


def _stored_contents(feature: Feature, ids: Sequence[str]) -> dict[str, str]:
    """Content hash of each of these ids that the feature's logs hold."""
    found: dict[str, str] = {}
    for start in range(0, len(ids), _CHUNK):
        chunk = feature.changes.filter(external_id__in=ids[start : start + _CHUNK])
        found |= dict(chunk.values_list("external_id", "content_sha256"))
    return found


def _media_type(filename: str) -> str:
    name = filename.lower()
    if name.endswith(".gz"):
        return "application/gzip"
    return "text/csv" if name.endswith(".csv") else "application/x-ndjson"
