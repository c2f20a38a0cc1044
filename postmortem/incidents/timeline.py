"""Notes on the timeline. They are hidden, never deleted."""

from datetime import UTC, datetime

from django.db import transaction

from postmortem.accounts import audit
from postmortem.accounts.models import Person
from postmortem.incidents.models import Incident, TimelineEntry
from postmortem.incidents.permissions import Capability, require
from postmortem.incidents.states import refuse_published
from postmortem.lib.clock import format_moment
from postmortem.lib.errors import UserError

_MAX_TEXT = 5_000


def add_timeline_entry(*, incident: Incident, by: Person, at: datetime, text: str) -> TimelineEntry:
    """Write a note at a moment (UTC; a moment without zone is taken as UTC).

    Raises UserError (empty or over 5,000 characters, published), PermissionDenied.
    """
    require(by, Capability.REVIEW, incident)
    refuse_published(incident)
    text = text.strip()
    if not text:
        raise UserError("Write what happened at that moment.")
    if len(text) > _MAX_TEXT:
        raise UserError(f"A timeline note holds up to {_MAX_TEXT:,} characters; shorten it.")
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    with transaction.atomic():
        entry = TimelineEntry.objects.create(incident=incident, at=at, text=text, written_by=by)
        audit.record(
            person=by,
            action="timeline.add",
            subject=text[:200],
            incident_number=incident.number,
            after={"at": format_moment(at), "text": text},
            object_id=entry.pk,
        )
    return entry


def hide_timeline_entry(*, entry: TimelineEntry, by: Person) -> TimelineEntry:
    """Take a note off the timeline; it can come back. Raises UserError (published), PermissionDenied."""
    return _set_hidden(entry, by, hidden=True)


def restore_timeline_entry(*, entry: TimelineEntry, by: Person) -> TimelineEntry:
    """Put a hidden note back. Raises UserError (published), PermissionDenied."""
    return _set_hidden(entry, by, hidden=False)


def _set_hidden(entry: TimelineEntry, by: Person, *, hidden: bool) -> TimelineEntry:
    incident = entry.incident
    require(by, Capability.REVIEW, incident)
    refuse_published(incident)
    with transaction.atomic():
        rows = TimelineEntry.objects.filter(pk=entry.pk, hidden=not hidden).update(hidden=hidden)
        if rows:
            audit.record(
                person=by,
                action="timeline.hide" if hidden else "timeline.restore",
                subject=entry.text[:200],
                incident_number=incident.number,
                object_id=entry.pk,
            )
    entry.refresh_from_db(fields=["hidden"])
    return entry
