"""Ways back for what people said of the evidence: corrected and merged changes, labels on traces."""

from postmortem.accounts.models import AuditEntry, Person
from postmortem.actions.undo.guards import CHANGED_SINCE, Undo, stored_row
from postmortem.changes.corrections import merge_changes, undo_correction, unmerge_change
from postmortem.changes.models import Change
from postmortem.incidents.models import Incident
from postmortem.lib.errors import UserError
from postmortem.traces.labels import label_trace, withdraw_label
from postmortem.traces.models import TraceLabel


def _correct(entry: AuditEntry, incident: Incident, by: Person) -> None:
    change: Change = stored_row(incident.feature.changes, entry.object_id)
    latest = change.revisions.select_related("change").filter(number=change.revision).first()
    if latest is None or latest.after != entry.after:
        raise UserError(CHANGED_SINCE)
    undo_correction(revision=latest, by=by, incident=incident)


def _merge(entry: AuditEntry, incident: Incident, by: Person) -> None:
    change: Change = stored_row(incident.feature.changes.select_related("merged_into"), entry.object_id)
    if change.merged_into is None or change.merged_into.external_id != entry.after["merged into"]:
        raise UserError(CHANGED_SINCE)
    unmerge_change(duplicate=change, by=by, incident=incident)


def _unmerge(entry: AuditEntry, incident: Incident, by: Person) -> None:
    change: Change = stored_row(incident.feature.changes, entry.object_id)
    into = incident.feature.changes.filter(external_id=entry.before["merged into"]).first()
    if into is None:
        raise UserError(CHANGED_SINCE)
    merge_changes(duplicate=change, into=into, by=by, incident=incident)


def _label(entry: AuditEntry, incident: Incident, by: Person) -> None:
    labels = TraceLabel.objects.filter(trace__incident=incident).select_related("trace__incident")
    label: TraceLabel = stored_row(labels, entry.object_id)
    if label.withdrawn_at is not None:
        raise UserError(CHANGED_SINCE)
    withdraw_label(label=label, by=by)


def _label_again(entry: AuditEntry, incident: Incident, by: Person) -> None:
    labels = TraceLabel.objects.filter(trace__incident=incident).select_related("trace__incident", "by")
    label: TraceLabel = stored_row(labels, entry.object_id)
    if label.by_id != by.pk:
        raise UserError(f"This was the label of {label.by}; label the trace under your own name instead.")
    label_trace(trace=label.trace, by=by, value=label.value)


WAYS: dict[str, Undo] = {
    "changes.correct": _correct,
    "changes.merge": _merge,
    "changes.unmerge": _unmerge,
    "label trace": _label,
    "withdraw label": _label_again,
}
