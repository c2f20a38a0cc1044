"""People correct what a log says and merge what two feeds told twice. The log's own bytes stay; every step is undone
by another step, and all of them are kept."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from django.db import transaction

from postmortem.accounts import audit
from postmortem.accounts.models import Person
from postmortem.changes.models import Change, ChangeRevision
from postmortem.changes.parse import read_change, to_open_format
from postmortem.changes.records import ChangeRecord
from postmortem.changes.selectors import duplicate_pairs, ledger
from postmortem.changes.stored import fields_of, record_of
from postmortem.incidents.models import Incident
from postmortem.incidents.permissions import Capability, require
from postmortem.incidents.services import refuse_published
from postmortem.lib.errors import EditConflict, UserError

_LONGEST_REASON = 1000
CORRECTABLE = (
    "layer", "summary", "at", "until", "rollout", "canary_share", "stages", "scope", "facet", "from_version",
    "to_version", "is_rollback", "details",
)  # fmt: skip


def correct_change(
    *, change: Change, by: Person, incident: Incident, record: ChangeRecord, reason: str, revision: int
) -> Change:
    """Store what is right of a change, with the reason; the log's bytes and its id stay.

    Raises UserError for wrong fields, a missing reason or nothing changed; EditConflict when somebody was faster.
    """
    reason = reason.strip()
    if not reason:
        raise UserError("Say why the log is wrong and how you know.")
    checked = read_change(to_open_format(record))
    values = {name: fields_of(checked)[name] for name in CORRECTABLE}
    return _revise(change, by, incident, values=values, reason=reason, revision=revision)


def attach_details(
    *, change: Change, by: Person, incident: Incident, details: Mapping[str, Any], reason: str
) -> Change:
    """Add to what a change tells besides (`details`, whose keys win); a correction like any other.

    Raises UserError when it is there already or too long.
    """
    stored = Change.objects.get(pk=change.pk)
    record = replace(record_of(stored), details={**stored.details, **details})
    return correct_change(
        change=stored, by=by, incident=incident, record=record, reason=reason, revision=stored.revision
    )


def undo_correction(*, revision: ChangeRevision, by: Person, incident: Incident) -> Change:
    """Take the latest correction of a change back; that is a correction of its own. Raises UserError for an older."""
    change = revision.change
    if revision.number != change.revision:
        raise UserError("Only the latest correction of a change can be taken back; begin with that one.")
    return _revise(
        change,
        by,
        incident,
        values=_from_json(revision.before),
        reason=f"Takes correction {revision.number} back.",
        revision=change.revision,
    )


def merge_changes(*, duplicate: Change, into: Change, by: Person, incident: Incident) -> Change:
    """Say that two entries are one change: `duplicate` leaves the ledger's count and stands under `into`.

    Raises UserError for two features, an entry with itself, or a circle.
    """
    _ask(by, incident, duplicate)
    with transaction.atomic():
        rows = {
            row.pk: row for row in Change.objects.select_for_update().filter(pk__in=[duplicate.pk, into.pk]).order_by()
        }
        duplicate, into = rows[duplicate.pk], rows[into.pk]
        if duplicate.pk == into.pk:
            raise UserError("A change cannot be merged with itself; choose another one.")
        if duplicate.feature_id != into.feature_id:
            raise UserError("Only changes of one feature's logs can be merged.")
        if duplicate.merged_into_id is not None or into.merged_into_id is not None:
            raise UserError("One of the two is merged already; take that apart first.")
        if duplicate.duplicates.exists():
            raise UserError(f"“{duplicate.summary}” holds merged entries itself; merge in the other direction.")
        duplicate.merged_into = into
        duplicate.save(update_fields=["merged_into"])
        audit.record(
            person=by, action="changes.merge", subject=str(duplicate), object_id=duplicate.pk,
            incident_number=incident.number, after={"merged into": into.external_id},
        )  # fmt: skip
    return duplicate


def merge_sure_duplicates(*, by: Person, incident: Incident) -> tuple[int, int]:
    """Merge every pair of the ledger that tells the same version, link or words in two feeds.

    Returns how many were merged, and how many wait: one of the two went into a third entry just now.
    """
    require(by, Capability.IMPORT, incident)
    refuse_published(incident)
    merged = left = 0
    for first, second, _, is_sure in duplicate_pairs(ledger(incident)):
        if not is_sure:
            continue
        try:
            merge_changes(duplicate=second, into=first, by=by, incident=incident)
            merged += 1
        except UserError:
            left += 1
    return merged, left


def unmerge_change(*, duplicate: Change, by: Person, incident: Incident) -> Change:
    """Take a merge apart. Raises UserError if there is none."""
    _ask(by, incident, duplicate)
    with transaction.atomic():
        duplicate = Change.objects.select_for_update().get(pk=duplicate.pk)
        if duplicate.merged_into_id is None:
            raise UserError("This entry is not merged with another one.")
        before = duplicate.merged_into.external_id
        duplicate.merged_into = None
        duplicate.save(update_fields=["merged_into"])
        audit.record(
            person=by, action="changes.unmerge", subject=str(duplicate), object_id=duplicate.pk,
            incident_number=incident.number, before={"merged into": before},
        )  # fmt: skip
    return duplicate


def _revise(
    change: Change, by: Person, incident: Incident, *, values: dict[str, Any], reason: str, revision: int
) -> Change:
    _ask(by, incident, change)
    with transaction.atomic():
        stored = Change.objects.select_for_update().get(pk=change.pk)
        before = {name: getattr(stored, name) for name in CORRECTABLE}
        if stored.revision != revision:
            raise EditConflict(
                "Somebody corrected this change first; both versions are shown.",
                current=before, revision=stored.revision,
            )  # fmt: skip
        moved = {name: value for name, value in values.items() if value != before[name]}
        if not moved:
            raise UserError("Nothing differs from what is stored; change a field or go back.")
        for name, value in moved.items():
            setattr(stored, name, value)
        stored.revision += 1
        stored.save(update_fields=[*moved, "revision"])
        old, new = _to_json({name: before[name] for name in moved}), _to_json(moved)
        ChangeRevision.objects.create(
            change=stored, number=stored.revision, before=old, after=new, reason=reason[:_LONGEST_REASON], by=by
        )
        audit.record(
            person=by, action="changes.correct", subject=str(stored), object_id=stored.pk,
            incident_number=incident.number, before=old, after=new,
        )  # fmt: skip
    return stored


def _ask(by: Person, incident: Incident, change: Change) -> None:
    require(by, Capability.IMPORT, incident)
    if incident.feature_id != change.feature_id:
        raise UserError(f"{incident.number} is about another feature; correct the change in an incident of its own.")
    refuse_published(incident)


def _to_json(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in values.items()}


def _from_json(values: dict[str, Any]) -> dict[str, Any]:
    fields = {field.name: field for field in Change._meta.concrete_fields}
    return {name: fields[name].to_python(value) for name, value in values.items()}
