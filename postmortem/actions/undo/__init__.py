"""Taking a recorded change back: by the same services, with the same rules, as a recorded change of its own."""

from collections.abc import Mapping

from django.db import transaction

from postmortem.accounts import audit
from postmortem.accounts.models import AuditEntry, Person
from postmortem.actions.undo import evidence, items, meetings, record, review
from postmortem.actions.undo.guards import Undo
from postmortem.incidents.models import Incident
from postmortem.lib.errors import UserError
from postmortem.review.models import TextVersion
from postmortem.review.shared_text import save_text

WAYS: Mapping[str, Undo] = {**record.WAYS, **review.WAYS, **meetings.WAYS, **items.WAYS, **evidence.WAYS}
_WITHOUT_ID = {
    "incident.update", "participant.set", "participant.remove", "evidence.adopt", "answer.version", "annex.edit",
}  # fmt: skip


def may_undo(entry: AuditEntry, *, ways: Mapping[str, Undo] = WAYS) -> bool:
    """Whether `ways` knows one to take this kind of change back."""
    if entry.action not in ways:
        return False
    return entry.object_id is not None or entry.action in _WITHOUT_ID


def undo(*, entry: AuditEntry, incident: Incident, by: Person, ways: Mapping[str, Undo] = WAYS) -> None:
    """Take `entry` back: what it changed stands again as before. Undoing an undo does it again.

    Raises UserError when it cannot be undone, was undone already, was changed again since, or the incident is
    published; PermissionDenied when `by` may not make the change that this amounts to.
    """
    if entry.incident_number != incident.number or not may_undo(entry, ways=ways):
        raise UserError("This change cannot be undone here; edit the record instead.")
    with transaction.atomic(), audit.undoing(entry):
        # Takes the incident's row, so that of two who undo one change the second sees the first.
        Incident.objects.select_for_update(no_key=True).filter(pk=incident.pk).first()
        if entry.pk in undone_ids(incident):
            raise UserError("This change was undone already.")
        ways[entry.action](entry, incident, by)


def undo_text(*, version: TextVersion, incident: Incident, by: Person) -> None:
    """Take back what one save changed in a shared text; what others wrote since stays.

    Raises EditConflict when the same words were changed since, UserError, PermissionDenied.
    """
    earlier = (
        incident.text_versions.filter(key=version.key, begun_at__lte=version.begun_at)
        .exclude(pk=version.pk)
        .exclude(begun_at=version.begun_at, pk__gt=version.pk)
        .order_by("begun_at", "id")
        .last()
    )
    save_text(incident=incident, by=by, key=version.key, base=version.text, text=earlier.text if earlier else "")


def undone_ids(incident: Incident) -> set[int]:
    """Ids of changes that stand undone: an undo that was itself undone does not count. One query."""
    pairs = AuditEntry.objects.filter(incident_number=incident.number, undoes__isnull=False)
    undone: set[int] = set()
    # Later entries first: whether an undo still stands is known before what it undid is asked.
    for pk, what in pairs.order_by("-id").values_list("id", "undoes_id"):
        if pk not in undone:
            undone.add(what)
    return undone
