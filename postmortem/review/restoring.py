"""Putting things back as they were: what undo calls. Every one of these is itself a recorded change."""

from typing import Any

from django.utils import timezone

from postmortem.accounts.models import Person
from postmortem.changes.models import Change
from postmortem.incidents.models import Incident
from postmortem.incidents.permissions import Capability
from postmortem.lib.errors import UserError
from postmortem.review.causal_graph import closes_circle
from postmortem.review.editing import editing, log_edit
from postmortem.review.factors import MOST_FACTORS, edge_values, factor_values
from postmortem.review.models import CausalEdge, ChecklistAnswer, ContributingFactor, Evidence, SignOff, Verdict
from postmortem.review.services import evidence_values
from postmortem.traces.models import Trace


def withdraw_answer(*, answer: ChecklistAnswer, by: Person) -> None:
    """Leave a question open again. Twice changes nothing. Raises UserError when published, PermissionDenied."""
    incident = answer.incident
    with editing(incident, by):
        stored = ChecklistAnswer.objects.filter(pk=answer.pk).first()
        if stored is None:
            return
        before = {"value": stored.value, "note": stored.note}
        subject = stored.question_id
        stored.delete()
        log_edit(by, incident, "answer.withdraw", subject, before, {}, answer.pk)


def withdraw_verdict(*, verdict: Verdict, by: Person) -> None:
    """Leave a layer undecided again. Twice changes nothing. Raises UserError when published, PermissionDenied."""
    incident = verdict.incident
    with editing(incident, by, Capability.DECIDE, verdict.layer):
        stored = Verdict.objects.filter(pk=verdict.pk).first()
        if stored is None:
            return
        before = {"value": stored.value, "reason": stored.reason}
        subject = stored.get_layer_display()
        stored.delete()
        log_edit(by, incident, "verdict.withdraw", subject, before, {"layer": verdict.layer}, verdict.pk)


def withdraw_signature(*, sign_off: SignOff, by: Person) -> None:
    """Take one's own signature back. Raises UserError for somebody else's, and when published."""
    incident = sign_off.incident
    if sign_off.signed_by_id != by.pk:
        raise UserError(f"Only {sign_off.signed_by} can take this signature back.")
    with editing(incident, by, Capability.VIEW):
        deleted, _ = SignOff.objects.filter(pk=sign_off.pk, signed_by=by).delete()
        if deleted:
            before = {"content_sha256": sign_off.content_sha256}
            log_edit(by, incident, "review.unsign", sign_off.layer or "whole review", before, {}, sign_off.pk)


def restore_evidence(*, incident: Incident, by: Person, values: dict[str, Any], pk: int) -> Evidence:
    """Put a piece of evidence back under its old id. `values` are those of `evidence_values`.

    Raises UserError when the trace or change that it cites is gone, or when published; PermissionDenied.
    """
    with editing(incident, by):
        if Evidence.objects.filter(pk=pk).exists():
            raise UserError("This piece of evidence is there already.")
        trace = _cited(Trace.objects.filter(incident=incident), values.get("trace"))
        piece = Evidence.objects.create(
            pk=pk, incident=incident, layer=values["layer"], direction=values["direction"], text=values["text"],
            question_id=values.get("question_id", ""), trace=trace, change=_change(incident, values.get("change")),
            finding_number=values.get("finding_number"), link=values.get("link", ""), added_by=by,
        )  # fmt: skip
        log_edit(by, incident, "evidence.add", piece.text, {}, evidence_values(piece), piece.pk)
    return piece


def restore_factor(*, incident: Incident, by: Person, values: dict[str, Any], pk: int) -> ContributingFactor:
    """Put a factor back under its old id, with the connections whose other ends are still there.

    An accepted risk comes back as it was. Raises UserError, PermissionDenied.
    """
    with editing(incident, by):
        if ContributingFactor.objects.filter(pk=pk).exists():
            raise UserError("This factor is there already.")
        if incident.factors.count() >= MOST_FACTORS:
            raise UserError(f"The graph holds at most {MOST_FACTORS} factors; join some that say the same.")
        if values["kind"] == ContributingFactor.Kind.IMPACT and incident.factors.filter(kind=values["kind"]).exists():
            raise UserError("The incident has its impact already; edit its text instead.")
        accepted = Person.objects.filter(pk=values.get("risk_accepted_by_id")).first()
        factor = ContributingFactor.objects.create(
            pk=pk, incident=incident, kind=values["kind"], layer=values["layer"], text=values["text"],
            change=_change(incident, values.get("change")), added_by=by, added_at=timezone.now(),
            risk_accepted_by=accepted,
            risk_accepted_reason=values.get("risk_accepted_reason", "") if accepted else "",
        )  # fmt: skip
        log_edit(by, incident, "factor.add", factor.text, {}, factor_values(factor), factor.pk)
        there = set(incident.factors.values_list("pk", flat=True))
        for edge in values.get("edges", []):
            if {edge["cause_id"], edge["effect_id"]} <= there:
                _put_edge(incident, by, edge)
    return factor


def restore_edge(*, incident: Incident, by: Person, values: dict[str, Any]) -> CausalEdge:
    """Put a connection back under its old id. Raises UserError when an end is gone or it would close a circle."""
    with editing(incident, by):
        there = set(incident.factors.values_list("pk", flat=True))
        if not {values["cause_id"], values["effect_id"]} <= there:
            raise UserError("One of the two factors is out of the graph; put it back first.")
        return _put_edge(incident, by, values)


def _put_edge(incident: Incident, by: Person, values: dict[str, Any]) -> CausalEdge:
    pairs = list(incident.causal_edges.values_list("cause_id", "effect_id"))
    pair = (values["cause_id"], values["effect_id"])
    if pair in pairs:
        return incident.causal_edges.get(cause_id=pair[0], effect_id=pair[1])
    if closes_circle(pairs, *pair):
        raise UserError("This connection would close a circle with what was connected since; leave it out.")
    edge = CausalEdge.objects.create(
        pk=values["id"], incident=incident, cause_id=pair[0], effect_id=pair[1], claim=values["claim"]
    )
    subject = f"{values['cause'][:95]} → {values['effect'][:95]}"
    log_edit(by, incident, "edge.add", subject, {}, edge_values(edge), edge.pk)
    return edge


def _change(incident: Incident, external_id: str | None) -> Change | None:
    return _cited(Change.objects.filter(feature=incident.feature_id), external_id)


def _cited(rows: Any, external_id: str | None) -> Any:
    if not external_id:
        return None
    row = rows.filter(external_id=external_id).first()
    if row is None:
        raise UserError(f"“{external_id[:60]}”, which it cites, is gone; import it again first.")
    return row
