"""Ways back for what people decided: answers, evidence, verdicts, the graph, signatures, what a meeting noted."""

from postmortem.accounts.models import AuditEntry, Person
from postmortem.actions import services
from postmortem.actions.undo.guards import CHANGED_SINCE, GONE, Undo, same, stored_row
from postmortem.incidents.models import Incident
from postmortem.lib.errors import UserError
from postmortem.review import restoring
from postmortem.review import services as review
from postmortem.review.dissent import record_dissent, withdraw_dissent
from postmortem.review.models import CausalEdge, ChecklistAnswer, ContributingFactor, Evidence, Verdict
from postmortem.review.question_sets import pin_version, version_of


def _answer_save(entry: AuditEntry, incident: Incident, by: Person) -> None:
    answer: ChecklistAnswer = stored_row(incident.checklist_answers, entry.object_id)
    same({"value": answer.value, "note": answer.note}, entry.after)
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
    restoring_of: Evidence = stored_row(incident.evidence, entry.object_id)
    review.remove_evidence(evidence=restoring_of, by=by)


def _evidence_remove(entry: AuditEntry, incident: Incident, by: Person) -> None:
    restoring.restore_evidence(incident=incident, by=by, values=entry.before, pk=entry.object_id or 0)


def _evidence_adopt(entry: AuditEntry, incident: Incident, by: Person) -> None:
    ids = [piece.get("id") for piece in entry.after["evidence"]]
    pieces = list(incident.evidence.filter(pk__in=ids))
    if not pieces:
        raise UserError(GONE)
    for piece in pieces:
        review.remove_evidence(evidence=piece, by=by)


def _verdict_decide(entry: AuditEntry, incident: Incident, by: Person) -> None:
    verdict: Verdict = stored_row(incident.verdicts, entry.object_id)
    same({"value": verdict.value, "reason": verdict.reason}, entry.after)
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
        raise UserError(GONE)


def _verdict_withdraw(entry: AuditEntry, incident: Incident, by: Person) -> None:
    review.decide_verdict(incident=incident, by=by, layer=entry.after["layer"], **entry.before)


def _factor_add(entry: AuditEntry, incident: Incident, by: Person) -> None:
    factor: ContributingFactor = stored_row(incident.factors, entry.object_id)
    services.remove_factor(factor=factor, by=by)


def _factor_remove(entry: AuditEntry, incident: Incident, by: Person) -> None:
    factor = restoring.restore_factor(incident=incident, by=by, values=entry.before, pk=entry.object_id or 0)
    cut = incident.action_items.filter(number__in=entry.before.get("cut_by", []), cuts_factor=None)
    for item in cut.select_related("incident__feature", "owner"):
        services.update_action(action=item, by=by, revision=item.revision, cuts_factor=factor)


def _factor_update(entry: AuditEntry, incident: Incident, by: Person) -> None:
    rows = incident.factors.select_related("change", "risk_accepted_by")
    factor: ContributingFactor = stored_row(rows, entry.object_id)
    same(review.factor_values(factor), entry.after)
    before = entry.before
    change = None
    if before.get("change"):
        change = incident.feature.changes.filter(external_id=before["change"]).first()
    fields = {"kind": before["kind"], "layer": before["layer"], "text": before["text"], "change": change}
    review.update_factor(factor=factor, by=by, revision=factor.revision, **fields)


def _risk(entry: AuditEntry, incident: Incident, by: Person) -> None:
    factor: ContributingFactor = stored_row(incident.factors.select_related("incident__feature"), entry.object_id)
    if (factor.risk_accepted_by_id is not None) != (entry.action == "risk.accept"):
        raise UserError(CHANGED_SINCE)
    if entry.action == "risk.accept":
        review.withdraw_risk(factor=factor, by=by)
    elif entry.before.get("risk_accepted_by_id") != by.pk:
        raise UserError(f"Only {entry.before['risk_accepted_by']} can accept this risk under that name again.")
    else:
        review.accept_risk(factor=factor, by=by, reason=entry.before["risk_accepted_reason"])


def _edge_add(entry: AuditEntry, incident: Incident, by: Person) -> None:
    edge: CausalEdge = stored_row(incident.causal_edges, entry.object_id)
    review.disconnect(edge=edge, by=by)


def _edge_remove(entry: AuditEntry, incident: Incident, by: Person) -> None:
    restoring.restore_edge(incident=incident, by=by, values=entry.before)


def _edge_update(entry: AuditEntry, incident: Incident, by: Person) -> None:
    edge: CausalEdge = stored_row(incident.causal_edges.select_related("cause", "effect"), entry.object_id)
    same({"claim": edge.claim}, entry.after)
    review.set_claim(edge=edge, by=by, claim=entry.before["claim"])


def _sign(entry: AuditEntry, incident: Incident, by: Person) -> None:
    restoring.withdraw_signature(
        sign_off=stored_row(incident.sign_offs.select_related("signed_by"), entry.object_id), by=by
    )


def _sign_again(entry: AuditEntry, incident: Incident, by: Person) -> None:
    if entry.person_id != by.pk:
        raise UserError(f"Only {entry.person} can sign under that name again.")
    layer = "" if entry.subject == "whole review" else entry.subject
    review.sign_off(incident=incident, by=by, layer=layer, content_sha256=entry.before["content_sha256"])


def _version(entry: AuditEntry, incident: Incident, by: Person) -> None:
    if version_of(incident) != entry.after["version"]:
        raise UserError(CHANGED_SINCE)
    pin_version(incident=incident, by=by, version=entry.before["version"])


WAYS: dict[str, Undo] = {
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
    "review.unsign": _sign_again,
    "answer.version": _version,
}
