"""Answers, evidence, verdicts and signatures. Factors and their graph are in factors.py."""

from typing import Any

from django.db.models import F
from django.utils import timezone

from postmortem.accounts.models import Person
from postmortem.attribution.selectors import latest_finding
from postmortem.changes.models import Change
from postmortem.incidents.models import Incident
from postmortem.incidents.permissions import Capability
from postmortem.lib.errors import EditConflict, UserError
from postmortem.lib.layers import LAYERS, Layer
from postmortem.review.content import layer_content_hash
from postmortem.review.editing import editing, known_layer, log_edit
from postmortem.review.factors import (
    accept_risk,
    add_factor,
    connect,
    disconnect,
    factor_values,
    remove_factor,
    set_claim,
    update_factor,
    withdraw_risk,
)
from postmortem.review.models import ChecklistAnswer, Evidence, SignOff, Verdict
from postmortem.review.order import refuse_out_of_order, refuse_suspect_first
from postmortem.review.proposals import proposed_evidence, proposed_verdict
from postmortem.review.question_sets import question_set, version_of
from postmortem.review.shared_text import note_for_answer
from postmortem.review.wording import LONG, clean_link, clean_text
from postmortem.traces.models import Trace

__all__ = [
    "accept_risk", "add_evidence", "add_factor", "adopt_proposed_evidence", "answer_question", "connect",
    "decide_verdict", "disconnect", "factor_values", "remove_evidence", "remove_factor", "set_claim", "sign_off",
    "update_factor", "withdraw_risk",
]  # fmt: skip

_EVIDENCE_TEXT = 2_000


def answer_question(
    *,
    incident: Incident,
    by: Person,
    question_id: str,
    value: str,
    note: str = "",
    revision: int | None = None,
    note_base: str | None = None,
) -> ChecklistAnswer:
    """Answer a question of the incident's checklist, or change the answer.

    `revision` is that of the answer the person saw; None or 0 when they saw none. `note_base` is the note that
    `note` was made from: what others wrote in it meanwhile is merged. Without it, an empty note keeps theirs.
    Raises EditConflict when somebody answered otherwise or changed the same words meanwhile, UserError,
    PermissionDenied.
    """
    version = version_of(incident)
    question = question_set(version).question(question_id)
    if question is None:
        raise UserError(f"The checklist has no question “{question_id[:60]}”; reload the page.")
    if value not in ChecklistAnswer.Value.values:
        raise UserError("Answer with yes, no or cannot tell.")
    with editing(incident, by):
        if question.section in LAYERS:
            refuse_suspect_first(incident, question.layer)
        stored = incident.checklist_answers.filter(question_id=question_id).select_related("answered_by").first()
        note = clean_text(
            note_for_answer(incident, question_id, stored, note, note_base), what="The note", needed=False
        )
        new = {"value": value, "note": note}
        if stored is None:
            stored = ChecklistAnswer.objects.create(
                incident=incident, checklist_version=version, layer=question.layer, question_id=question_id,
                answered_by=by, **new,
            )  # fmt: skip
            before: dict[str, Any] = {}
        else:
            before = {"value": stored.value, "note": stored.note}
            if before == new:
                return stored
            _save_revision(stored, revision, new | {"answered_by": by, "answered_at": timezone.now()}, before)
        log_edit(by, incident, "answer.save", question.text, before, new, stored.pk)
    return stored


def add_evidence(
    *,
    incident: Incident,
    by: Person,
    layer: Layer | str,
    direction: str,
    text: str,
    question_id: str = "",
    trace: Trace | None = None,
    change: Change | None = None,
    finding_number: int | None = None,
    link: str = "",
) -> Evidence:
    """Put one piece of evidence for or against a cause in `layer`.

    A trace must be of this incident, a change of its feature, a finding one of its runs, a question one of
    the layer's. Raises UserError, PermissionDenied.
    """
    layer = known_layer(layer)
    if direction not in Evidence.Direction.values:
        raise UserError("Say whether the evidence speaks for or against a cause in this layer.")
    fields = {
        "text": clean_text(text, what="The evidence", limit=_EVIDENCE_TEXT),
        "link": clean_link(link),
        "question_id": question_id,
        "finding_number": finding_number,
    }
    if question_id:
        question = question_set(version_of(incident)).question(question_id)
        if question is None or question.layer != layer:
            raise UserError(f"“{question_id[:60]}” is not a question of the {layer.label.lower()} layer.")
    if trace is not None and trace.incident_id != incident.pk:
        raise UserError("That trace belongs to another incident; import it into this one first.")
    if change is not None and change.feature_id != incident.feature_id:
        raise UserError(f"That change is not in the logs of {incident.feature}; choose one that is.")
    if finding_number is not None and not incident.findings.filter(number=finding_number).exists():
        raise UserError(f"This incident has no attribution run {finding_number}.")
    with editing(incident, by):
        piece = Evidence.objects.create(
            incident=incident, layer=layer, direction=direction, trace=trace, change=change, added_by=by, **fields
        )
        log_edit(by, incident, "evidence.add", piece.text, {}, evidence_values(piece), piece.pk)
    return piece


def remove_evidence(*, evidence: Evidence, by: Person) -> None:
    """Take a piece of evidence out; the audit log keeps its words. Removing it twice changes nothing."""
    incident = evidence.incident
    with editing(incident, by):
        stored = Evidence.objects.filter(pk=evidence.pk).select_related("trace", "change").first()
        if stored is None:
            return
        before = evidence_values(stored)
        pk = stored.pk
        stored.delete()
        log_edit(by, incident, "evidence.remove", before["text"], before, {}, pk)


def adopt_proposed_evidence(*, incident: Incident, by: Person, layer: Layer | str) -> list[Evidence]:
    """Copy what the latest attribution run says for and against `layer` into the evidence.

    What is there already is not copied again; returns the new pieces. Raises UserError before the first run.
    """
    layer = known_layer(layer)
    finding = latest_finding(incident)
    if finding is None:
        raise UserError("There is no attribution run yet; run it on the Attribution page first.")
    proposals = proposed_evidence(finding.result, layer)
    with editing(incident, by):
        there = set(incident.evidence.filter(layer=layer).values_list("direction", "text"))
        ids = {proposal.change_id for proposal in proposals if proposal.change_id}
        changes = {
            row.external_id: row for row in Change.objects.filter(feature=incident.feature_id, external_id__in=ids)
        }
        added = []
        for proposal in proposals:
            text = clean_text(proposal.text, what="The evidence", limit=10**6)[:_EVIDENCE_TEXT]
            if (proposal.direction, text) in there:
                continue
            there.add((proposal.direction, text))
            piece = Evidence.objects.create(
                incident=incident, layer=layer, direction=proposal.direction, text=text, added_by=by,
                change=changes.get(proposal.change_id), finding_number=finding.number,
            )  # fmt: skip
            added.append(piece)
        if added:
            subject = f"{layer.label}: {len(added)} from run {finding.number}"
            pieces = [evidence_values(piece) | {"id": piece.pk} for piece in added]
            log_edit(by, incident, "evidence.adopt", subject, {}, {"evidence": pieces})
    return added


def decide_verdict(
    *, incident: Incident, by: Person, layer: Layer | str, value: str, reason: str, revision: int | None = None
) -> Verdict:
    """Decide IN, OUT or INSUFFICIENT for `layer`, or change the decision.

    The layer needs at least one piece of evidence. `revision` is that of the verdict the person saw; None or
    0 when they saw none. Raises EditConflict, UserError, PermissionDenied (leads and facilitators decide).
    """
    layer = known_layer(layer)
    if value not in Verdict.Value.values:
        raise UserError("A verdict is IN, OUT or INSUFFICIENT.")
    reason = clean_text(reason, what="The reason for the verdict", limit=LONG)
    finding = latest_finding(incident)
    new = {"value": value, "reason": reason}
    with editing(incident, by, Capability.DECIDE, layer):
        refuse_out_of_order(incident, layer, value)
        if not incident.evidence.filter(layer=layer).exists():
            raise UserError(f"Add at least one piece of evidence to the {layer.label.lower()} layer before you decide.")
        extra = {
            "proposed": proposed_verdict(finding.result if finding else None, layer)[0],
            "decided_by": by,
            "decided_at": timezone.now(),
        }
        stored = incident.verdicts.filter(layer=layer).select_related("decided_by").first()
        if stored is None:
            stored = Verdict.objects.create(incident=incident, layer=layer, **new, **extra)
            before: dict[str, Any] = {}
        else:
            before = {"value": stored.value, "reason": stored.reason}
            if before == new and stored.decided_by_id == by.pk:
                return stored
            _save_revision(stored, revision, new | extra, before)
        log_edit(by, incident, "verdict.decide", f"{layer.label}: {value.upper()}", before, new, stored.pk)
    return stored


def sign_off(*, incident: Incident, by: Person, layer: Layer | str = "", content_sha256: str | None = None) -> SignOff:
    """Sign the present content of `layer` as its lead, or of the whole review (layer "") as facilitator.

    `content_sha256` is the hash of what the signer read; when it is given and the content has changed since,
    EditConflict is raised. Raises UserError without a verdict to sign, PermissionDenied.
    """
    wanted = [known_layer(layer)] if layer else list(LAYERS)
    layer = str(layer)
    with editing(incident, by, Capability.SIGN, layer):
        decided = set(incident.verdicts.values_list("layer", flat=True))
        missing = [each.label.lower() for each in wanted if each.value not in decided]
        if missing:
            raise UserError(f"There is no verdict to sign yet for {', '.join(missing)}; decide it first.")
        now_hash = layer_content_hash(incident, layer)
        if content_sha256 and content_sha256 != now_hash:
            raise EditConflict(
                "What you were about to sign has changed since you opened it; read it again and sign.",
                current={"content_sha256": now_hash},
                revision=0,
            )
        stored = incident.sign_offs.filter(layer=layer).first()
        before = {"signed_by": stored.signed_by_id, "content_sha256": stored.content_sha256} if stored else {}
        after = {"signed_by": by.pk, "content_sha256": now_hash}
        if before != after:
            stored, _ = SignOff.objects.update_or_create(
                incident=incident,
                layer=layer,
                defaults={"signed_by": by, "signed_at": timezone.now(), "content_sha256": now_hash},
            )
            log_edit(by, incident, "review.sign", layer or "whole review", before, after, stored.pk)
    return stored


def evidence_values(piece: Evidence) -> dict[str, Any]:
    """A piece of evidence as JSON values, for the audit log."""
    values = {
        "layer": str(piece.layer), "direction": str(piece.direction), "text": piece.text,
        "question_id": piece.question_id, "trace": piece.trace.external_id if piece.trace else "",
        "change": piece.change.external_id if piece.change else "", "finding_number": piece.finding_number,
        "link": piece.link,
    }  # fmt: skip
    return {key: value for key, value in values.items() if value not in ("", None)}


def _save_revision(
    stored: ChecklistAnswer | Verdict, revision: int | None, fields: dict[str, Any], current: dict[str, object]
) -> None:
    """Conditional UPDATE: it takes hold only on the revision that the person saw."""
    changed = (
        type(stored).objects.filter(pk=stored.pk, revision=revision or 0).update(**fields, revision=F("revision") + 1)
    )
    if not changed:
        who = stored.answered_by if isinstance(stored, ChecklistAnswer) else stored.decided_by
        raise EditConflict(
            f"{who} saved “{stored.get_value_display()}” here since you opened it; compare both and save again.",
            current=current,
            revision=stored.revision,
        )
    stored.refresh_from_db()
