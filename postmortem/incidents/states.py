"""Draft, in review, published: who may move an incident, and what published forbids."""

from django.db import transaction
from django.db.models import F

from postmortem.accounts import audit
from postmortem.accounts.models import Person
from postmortem.incidents.models import Incident, Status
from postmortem.incidents.permissions import Capability, require
from postmortem.lib.clock import utc_now
from postmortem.lib.errors import UserError


def refuse_published(incident: Incident) -> None:
    """Raise UserError when `incident` is published; other rooms ask this before they write."""
    if Incident.objects.filter(pk=incident.pk, status=Status.PUBLISHED).exists():
        raise UserError(f"{incident.number} is published; make a correction from the Report page.")


def mark_published(*, incident: Incident, by: Person) -> None:
    """Close the incident to edits. The report room calls it in the transaction that freezes the record."""
    require(by, Capability.PUBLISH, incident)
    _move(incident, by, Status.PUBLISHED, "incident.publish")


def reopen_for_correction(*, incident: Incident, by: Person, reason: str) -> None:
    """Open a published incident for edits again; its published versions stay as they are.

    Raises UserError without a reason or when the incident is not published, PermissionDenied.
    """
    require(by, Capability.PUBLISH, incident)
    if not reason.strip():
        raise UserError("Say what needs correcting; the reason stays in the audit log.")
    if not Incident.objects.filter(pk=incident.pk, status=Status.PUBLISHED).exists():
        raise UserError(f"{incident.number} is not published, so it can be edited as it is.")
    _move(incident, by, Status.IN_REVIEW, "incident.reopen", reason.strip()[:2000])


def _move(incident: Incident, by: Person, status: Status, action: str, reason: str = "") -> None:
    with transaction.atomic():
        before = Incident.objects.values_list("status", flat=True).get(pk=incident.pk)
        Incident.objects.filter(pk=incident.pk).update(status=status, updated_at=utc_now(), revision=F("revision") + 1)
        audit.record(
            person=by,
            action=action,
            subject=str(incident),
            incident_number=incident.number,
            before={"status": before},
            after={"status": str(status)} | ({"reason": reason} if reason else {}),
        )
    incident.refresh_from_db(fields=["status", "updated_at", "revision"])
