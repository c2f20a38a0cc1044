"""Taking a recorded change back: by the same services, with the same rules, as a recorded change of its own."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import date
from typing import Any

from django.db import transaction

from postmortem.accounts import audit
from postmortem.accounts.models import AuditEntry, Person
from postmortem.actions import services
from postmortem.actions.following import plan_of, plan_verification
from postmortem.actions.models import ActionItem, VerificationPlan
from postmortem.actions.verification import Plan
from postmortem.incidents import services as incidents
from postmortem.incidents.models import Incident, TimelineEntry, TimelineMark
from postmortem.incidents.timeline import entry_values, mark_values
from postmortem.lib.clock import format_moment, parse_moment
from postmortem.lib.errors import UserError
from postmortem.review import restoring
from postmortem.review import services as review
from postmortem.review.dissent import record_dissent, withdraw_dissent
from postmortem.review.models import CausalEdge, ChecklistAnswer, ContributingFactor, Evidence, TextVersion, Verdict
from postmortem.review.shared_text import save_text

Undo = Callable[[AuditEntry, Incident, Person], None]
_CHANGED_SINCE = "It was changed again since; undo the later change first, or edit it by hand."
_GONE = "What this changed is gone since; undo its removal first."
_MOMENTS = ("_at", "_since", "_start", "_end")


def may_undo(entry: AuditEntry) -> bool:
    """Whether there is a way to take this kind of change back."""
    if entry.action not in _UNDO:
        return False
    return entry.object_id is not None or entry.action in _WITHOUT_ID


def undo(*, entry: AuditEntry, incident: Incident, by: Person) -> None:
    """Take `entry` back: what it changed stands again as before. Undoing an undo does it again.

    Raises UserError when it cannot be undone, was undone already, was changed again since, or the incident is
    published; PermissionDenied when `by` may not make the change that this amounts to.
    """
    if entry.incident_number != incident.number or not may_undo(entry):
        raise UserError("This change cannot be undone here; edit the record instead.")
    with transaction.atomic(), audit.undoing(entry):
        # Takes the incident's row, so that of two who undo one change the second sees the first.
        Incident.objects.select_for_update(no_key=True).filter(pk=incident.pk).first()
        if entry.pk in undone_ids(incident):
            raise UserError("This change was undone already.")
        _UNDO[entry.action](entry, incident, by)


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


def _same(current: dict[str, Any], expected: dict[str, Any]) -> None:
    if any(current.get(name) != value for name, value in expected.items() if name in current):
        raise UserError(_CHANGED_SINCE)


def _row(rows: Any, pk: int | None) -> Any:
    row = rows.filter(pk=pk).first()
    if row is None:
        raise UserError(_GONE)
    return row


def _incident_update(entry: AuditEntry, incident: Incident, by: Person) -> None:
    now = Incident.objects.select_related("feature").get(pk=incident.pk)
    current = {}
    for name in entry.after:
        value = now.feature.name if name in ("feature", "feature_name") else getattr(now, name)
        current[name] = format_moment(value) if name.endswith(_MOMENTS) and value is not None else value
    _same(current, entry.after)
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
        raise UserError(_CHANGED_SINCE)
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
        raise UserError(_CHANGED_SINCE)
    incidents.set_participant(incident=incident, by=by, person=person, role=before["role"], layer=before["layer"])


def _timeline(entry: AuditEntry, incident: Incident, by: Person) -> None:
    note: TimelineEntry = _row(incident.timeline_entries, entry.object_id)
    shown = entry.action in ("timeline.add", "timeline.restore")
    if note.hidden == shown:
        raise UserError(_CHANGED_SINCE)
    act = incidents.hide_timeline_entry if shown else incidents.restore_timeline_entry
    act(entry=note, by=by)


def _timeline_correct(entry: AuditEntry, incident: Incident, by: Person) -> None:
    note: TimelineEntry = _row(incident.timeline_entries, entry.object_id)
    _same(entry_values(note), entry.after)
    fields = dict(entry.before)
    if "at" in fields:
        fields["at"] = parse_moment(fields["at"])
    incidents.correct_timeline_entry(entry=note, by=by, **fields)


def _timeline_pin(entry: AuditEntry, incident: Incident, by: Person) -> None:
    note: TimelineEntry = _row(incident.timeline_entries, entry.object_id)
    incidents.pin_timeline_entry(entry=note, by=by, pinned=entry.action == "timeline.unpin")


def _timeline_mark(entry: AuditEntry, incident: Incident, by: Person) -> None:
    mark: TimelineMark = _row(incident.timeline_marks, entry.object_id)
    _same(mark_values(mark), entry.after)
    incidents.mark_timeline_item(incident=incident, by=by, subject=entry.subject, **entry.before)


def _answer_save(entry: AuditEntry, incident: Incident, by: Person) -> None:
    answer: ChecklistAnswer = _row(incident.checklist_answers, entry.object_id)
    _same({"value": answer.value, "note": answer.note}, entry.after)
    if not entry.before:
        restoring.withdraw_answer(answer=answer, by=by)
        return
    review.answer_question(
        incident=incident, by=by, question_id=answer.question_id, value=entry.before["value"],
        note=entry.before["note"], note_base=answer.note, revision=answer.revision,
    )  # fmt: skip


def _answer_withdraw(entry: AuditEntry, incident: Incident, by: Person) -> None:
    review.answer_question(incident=incident, by=by, question_id=entry.subject, note_base="", **entry.before)


def _evidence_add(entry: AuditEntry, incident: Incident, by: Person) -> None:
    restoring_of: Evidence = _row(incident.evidence, entry.object_id)
    review.remove_evidence(evidence=restoring_of, by=by)


def _evidence_remove(entry: AuditEntry, incident: Incident, by: Person) -> None:
    restoring.restore_evidence(incident=incident, by=by, values=entry.before, pk=entry.object_id or 0)


def _evidence_adopt(entry: AuditEntry, incident: Incident, by: Person) -> None:
    ids = [piece.get("id") for piece in entry.after["evidence"]]
    pieces = list(incident.evidence.filter(pk__in=ids))
    if not pieces:
        raise UserError(_GONE)
    for piece in pieces:
        review.remove_evidence(evidence=piece, by=by)


def _verdict_decide(entry: AuditEntry, incident: Incident, by: Person) -> None:
    verdict: Verdict = _row(incident.verdicts, entry.object_id)
    _same({"value": verdict.value, "reason": verdict.reason}, entry.after)
    if not entry.before:
        restoring.withdraw_verdict(verdict=verdict, by=by)
        return
    review.decide_verdict(incident=incident, by=by, layer=verdict.layer, revision=verdict.revision, **entry.before)


def _dissent(entry: AuditEntry, incident: Incident, by: Person) -> None:
    if entry.person_id != by.pk:
        raise UserError(f"Only {entry.person} can change this dissent.")
    there = incident.dissents.select_related("person").filter(person=by, layer=(entry.after or entry.before)["layer"])
    stored = there.first()
    if stored is not None and not entry.before:
        withdraw_dissent(dissent=stored, by=by)
    elif entry.before:
        layer = entry.after.get("layer") or entry.before["layer"]
        value, reason = entry.before["value"], entry.before["reason"]
        record_dissent(incident=incident, by=by, layer=layer, value=value, reason=reason)
    else:
        raise UserError(_GONE)


def _verdict_withdraw(entry: AuditEntry, incident: Incident, by: Person) -> None:
    review.decide_verdict(incident=incident, by=by, layer=entry.after["layer"], **entry.before)


def _factor_add(entry: AuditEntry, incident: Incident, by: Person) -> None:
    factor: ContributingFactor = _row(incident.factors, entry.object_id)
    services.remove_factor(factor=factor, by=by)


def _factor_remove(entry: AuditEntry, incident: Incident, by: Person) -> None:
    factor = restoring.restore_factor(incident=incident, by=by, values=entry.before, pk=entry.object_id or 0)
    cut = incident.action_items.filter(number__in=entry.before.get("cut_by", []), cuts_factor=None)
    for item in cut.select_related("incident__feature", "owner"):
        services.update_action(action=item, by=by, revision=item.revision, cuts_factor=factor)


def _factor_update(entry: AuditEntry, incident: Incident, by: Person) -> None:
    rows = incident.factors.select_related("change", "risk_accepted_by")
    factor: ContributingFactor = _row(rows, entry.object_id)
    _same(review.factor_values(factor), entry.after)
    before = entry.before
    change = None
    if before.get("change"):
        change = incident.feature.changes.filter(external_id=before["change"]).first()
    fields = {"kind": before["kind"], "layer": before["layer"], "text": before["text"], "change": change}
    review.update_factor(factor=factor, by=by, revision=factor.revision, **fields)


def _risk(entry: AuditEntry, incident: Incident, by: Person) -> None:
    factor: ContributingFactor = _row(incident.factors.select_related("incident__feature"), entry.object_id)
    if (factor.risk_accepted_by_id is not None) != (entry.action == "risk.accept"):
        raise UserError(_CHANGED_SINCE)
    if entry.action == "risk.accept":
        review.withdraw_risk(factor=factor, by=by)
    elif entry.before.get("risk_accepted_by_id") != by.pk:
        raise UserError(f"Only {entry.before['risk_accepted_by']} can accept this risk under that name again.")
    else:
        review.accept_risk(factor=factor, by=by, reason=entry.before["risk_accepted_reason"])


def _edge_add(entry: AuditEntry, incident: Incident, by: Person) -> None:
    edge: CausalEdge = _row(incident.causal_edges, entry.object_id)
    review.disconnect(edge=edge, by=by)


def _edge_remove(entry: AuditEntry, incident: Incident, by: Person) -> None:
    restoring.restore_edge(incident=incident, by=by, values=entry.before)


def _edge_update(entry: AuditEntry, incident: Incident, by: Person) -> None:
    edge: CausalEdge = _row(incident.causal_edges.select_related("cause", "effect"), entry.object_id)
    _same({"claim": edge.claim}, entry.after)
    review.set_claim(edge=edge, by=by, claim=entry.before["claim"])


def _sign(entry: AuditEntry, incident: Incident, by: Person) -> None:
    restoring.withdraw_signature(sign_off=_row(incident.sign_offs.select_related("signed_by"), entry.object_id), by=by)


def _action_update(entry: AuditEntry, incident: Incident, by: Person) -> None:
    item = _item(entry, incident)
    _same(services.action_values(item), entry.after)
    fields: dict[str, Any] = {}
    for name, value in entry.before.items():
        if name == "owner":
            fields["owner"] = _owner(value)
        elif name == "due_on":
            fields["due_on"] = date.fromisoformat(value)
        elif name == "cuts_factor_id":
            fields["cuts_factor"] = _row(incident.factors, value) if value else None
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
        raise UserError(_CHANGED_SINCE)
    plan_verification(action=item, by=by, plan=Plan(**entry.before) if entry.before else None)


def _action_status(entry: AuditEntry, incident: Incident, by: Person) -> None:
    item = _item(entry, incident)
    _same({"status": item.status}, {"status": entry.after["status"]})
    note = entry.before["note"]
    services.set_status(action=item, by=by, revision=item.revision, status=entry.before["status"], note=note)


def _hand_over(entry: AuditEntry, incident: Incident, by: Person) -> None:
    item = _item(entry, incident)
    _same(services.action_values(item), entry.after)
    services.hand_over(from_person=item.owner, to_person=_owner(entry.before["owner"]), by=by, actions=[item])


def _item(entry: AuditEntry, incident: Incident) -> ActionItem:
    item: ActionItem = _row(
        incident.action_items.select_related("owner", "cuts_factor", "incident__feature"), entry.object_id
    )
    return item


def _owner(words: str) -> Person:
    owner = Person.objects.filter(email=words.rpartition("<")[2].rstrip(">")).first()
    if owner is None:
        raise UserError(f"{words} has no account any more; choose another owner by hand.")
    return owner


_WITHOUT_ID = {"incident.update", "participant.set", "participant.remove", "evidence.adopt"}
_UNDO: dict[str, Undo] = {
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
    "answer.save": _answer_save,
    "answer.withdraw": _answer_withdraw,
    "evidence.add": _evidence_add,
    "evidence.remove": _evidence_remove,
    "evidence.adopt": _evidence_adopt,
    "verdict.decide": _verdict_decide,
    "verdict.withdraw": _verdict_withdraw,
    "dissent.add": _dissent,
    "dissent.withdraw": _dissent,
    "factor.add": _factor_add,
    "factor.remove": _factor_remove,
    "factor.update": _factor_update,
    "risk.accept": _risk,
    "risk.withdraw": _risk,
    "edge.add": _edge_add,
    "edge.remove": _edge_remove,
    "edge.update": _edge_update,
    "review.sign": _sign,
    "action.add": _action_add,
    "action.plan": _action_plan,
    "action.update": _action_update,
    "action.status": _action_status,
    "action.hand_over": _hand_over,
}
