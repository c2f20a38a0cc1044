"""Ways back for action items."""

from dataclasses import asdict
from datetime import date
from typing import Any

from postmortem.accounts.models import AuditEntry, Person
from postmortem.actions import services
from postmortem.actions.following import plan_of, plan_verification
from postmortem.actions.models import ActionItem, VerificationPlan
from postmortem.actions.undo.guards import CHANGED_SINCE, Undo, same, stored_row
from postmortem.actions.verification import Plan
from postmortem.incidents.models import Incident
from postmortem.lib.errors import UserError


def _action_update(entry: AuditEntry, incident: Incident, by: Person) -> None:
    item = _item(entry, incident)
    same(services.action_values(item), entry.after)
    fields: dict[str, Any] = {}
    for name, value in entry.before.items():
        if name == "owner":
            fields["owner"] = _owner(value)
        elif name == "due_on":
            fields["due_on"] = date.fromisoformat(value)
        elif name == "cuts_factor_id":
            fields["cuts_factor"] = stored_row(incident.factors, value) if value else None
        elif name != "cuts_factor":
            fields[name] = value
    # A date that stood before may stand again, even when it has passed.
    services.update_action(action=item, by=by, revision=item.revision, today=fields.get("due_on"), **fields)


def _action_add(entry: AuditEntry, incident: Incident, by: Person) -> None:
    # An item is never deleted: what was promised stays in the record, and why it is not done.
    item = _item(entry, incident)
    if item.status == ActionItem.Status.DROPPED:
        raise UserError("It is dropped already.")
    note = "Added by mistake; taken back."
    services.set_status(action=item, by=by, revision=item.revision, status=ActionItem.Status.DROPPED, note=note)


def _action_plan(entry: AuditEntry, incident: Incident, by: Person) -> None:
    item = _item(entry, incident)
    now = plan_of(VerificationPlan.objects.filter(action=item).first())
    if (asdict(now) if now else {}) != entry.after:
        raise UserError(CHANGED_SINCE)
    plan_verification(action=item, by=by, plan=Plan(**entry.before) if entry.before else None)


def _action_status(entry: AuditEntry, incident: Incident, by: Person) -> None:
    item = _item(entry, incident)
    same({"status": item.status}, {"status": entry.after["status"]})
    note = entry.before["note"]
    services.set_status(action=item, by=by, revision=item.revision, status=entry.before["status"], note=note)


def _hand_over(entry: AuditEntry, incident: Incident, by: Person) -> None:
    item = _item(entry, incident)
    same(services.action_values(item), entry.after)
    services.hand_over(from_person=item.owner, to_person=_owner(entry.before["owner"]), by=by, actions=[item])


def _item(entry: AuditEntry, incident: Incident) -> ActionItem:
    item: ActionItem = stored_row(
        incident.action_items.select_related("owner", "cuts_factor", "incident__feature"), entry.object_id
    )
    return item


def _owner(words: str) -> Person:
    owner = Person.objects.filter(email=words.rpartition("<")[2].rstrip(">")).first()
    if owner is None:
        raise UserError(f"{words} has no account any more; choose another owner by hand.")
    return owner


WAYS: dict[str, Undo] = {
    "action.add": _action_add,
    "action.plan": _action_plan,
    "action.update": _action_update,
    "action.status": _action_status,
    "action.hand_over": _hand_over,
}
