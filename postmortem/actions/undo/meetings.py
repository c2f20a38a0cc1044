"""Ways back for what a meeting wrote down, and for ending it too early."""

from postmortem.accounts.models import AuditEntry, Person
from postmortem.actions.undo.guards import Undo, stored_row
from postmortem.incidents.models import Incident
from postmortem.review import meeting as meetings
from postmortem.review.models import MeetingNote


def _decision(entry: AuditEntry, incident: Incident, by: Person) -> None:
    notes = MeetingNote.objects.filter(meeting__incident=incident).select_related("meeting__incident")
    meetings.take_back_decision(note=stored_row(notes, entry.object_id), by=by)


def _decision_again(entry: AuditEntry, incident: Incident, by: Person) -> None:
    meetings.restore_decision(incident=incident, by=by, values=entry.before, pk=entry.object_id or 0)


def _settle(entry: AuditEntry, incident: Incident, by: Person) -> None:
    notes = MeetingNote.objects.filter(meeting__incident=incident).select_related("meeting__incident")
    meetings.settle_concern(note=stored_row(notes, entry.object_id), by=by, settled=entry.action == "meeting.unsettle")


def _end(entry: AuditEntry, incident: Incident, by: Person) -> None:
    rows = incident.meetings.select_related("incident")
    meetings.resume_meeting(meeting=stored_row(rows, entry.object_id), by=by)


WAYS: dict[str, Undo] = {
    "meeting.decision": _decision,
    "meeting.undecide": _decision_again,
    "meeting.settle": _settle,
    "meeting.unsettle": _settle,
    "meeting.end": _end,
}
