"""Ways back for the record itself: its fields, its people, its timeline."""

from typing import Any

from postmortem.accounts.models import AuditEntry, Person
from postmortem.actions.undo.guards import CHANGED_SINCE, Undo, same, stored_row
from postmortem.incidents import services as incidents
from postmortem.incidents.models import Incident, TimelineEntry, TimelineMark
from postmortem.incidents.timeline import entry_values, mark_values
from postmortem.lib.clock import format_moment, parse_moment
from postmortem.lib.errors import UserError

_MOMENTS = ("_at", "_since", "_start", "_end")


def _incident_update(entry: AuditEntry, incident: Incident, by: Person) -> None:
    now = Incident.objects.select_related("feature").get(pk=incident.pk)
    current = {}
    for name in entry.after:
        value = now.feature.name if name in ("feature", "feature_name") else getattr(now, name)
        current[name] = format_moment(value) if name.endswith(_MOMENTS) and value is not None else value
    same(current, entry.after)
    fields: dict[str, Any] = {}
    for name, value in entry.before.items():
        if name == "feature":
            fields["feature_name"] = value
        else:
            fields[name] = parse_moment(value) if name.endswith(_MOMENTS) and value else value
    incidents.update_incident(incident=incident, by=by, revision=now.revision, **fields)


def _participant_set(entry: AuditEntry, incident: Incident, by: Person) -> None:
    after = entry.after
    row = incident.participants.filter(person__email=after["person"], role=after["role"], layer=after["layer"])
    participant = row.select_related("person").first()
    if participant is None:
        raise UserError(CHANGED_SINCE)
    if not entry.before:
        incidents.remove_participant(incident=incident, by=by, participant=participant)
        return
    person = Person.objects.get(email=entry.before.get("person", after["person"]))
    role = entry.before.get("role", after["role"])
    incidents.set_participant(incident=incident, by=by, person=person, role=role, layer=after["layer"])


def _participant_remove(entry: AuditEntry, incident: Incident, by: Person) -> None:
    before = entry.before
    person = Person.objects.get(email=before["person"])
    if before["layer"] and incident.participants.filter(role=before["role"], layer=before["layer"]).exists():
        raise UserError(CHANGED_SINCE)
    incidents.set_participant(incident=incident, by=by, person=person, role=before["role"], layer=before["layer"])


def _timeline(entry: AuditEntry, incident: Incident, by: Person) -> None:
    note: TimelineEntry = stored_row(incident.timeline_entries, entry.object_id)
    shown = entry.action in ("timeline.add", "timeline.restore")
    if note.hidden == shown:
        raise UserError(CHANGED_SINCE)
    act = incidents.hide_timeline_entry if shown else incidents.restore_timeline_entry
    act(entry=note, by=by)


def _timeline_correct(entry: AuditEntry, incident: Incident, by: Person) -> None:
    note: TimelineEntry = stored_row(incident.timeline_entries, entry.object_id)
    same(entry_values(note), entry.after)
    fields = dict(entry.before)
    if "at" in fields:
        fields["at"] = parse_moment(fields["at"])
    incidents.correct_timeline_entry(entry=note, by=by, **fields)


def _timeline_pin(entry: AuditEntry, incident: Incident, by: Person) -> None:
    note: TimelineEntry = stored_row(incident.timeline_entries, entry.object_id)
    incidents.pin_timeline_entry(entry=note, by=by, pinned=entry.action == "timeline.unpin")


def _timeline_mark(entry: AuditEntry, incident: Incident, by: Person) -> None:
    mark: TimelineMark = stored_row(incident.timeline_marks, entry.object_id)
    same(mark_values(mark), entry.after)
    incidents.mark_timeline_item(incident=incident, by=by, subject=entry.subject, **entry.before)


WAYS: dict[str, Undo] = {
    "incident.update": _incident_update,
    "participant.set": _participant_set,
    "participant.remove": _participant_remove,
    "timeline.add": _timeline,
    "timeline.hide": _timeline,
    "timeline.restore": _timeline,
    "timeline.correct": _timeline_correct,
    "timeline.pin": _timeline_pin,
    "timeline.unpin": _timeline_pin,
    "timeline.mark": _timeline_mark,
}
