"""Writes of the causal graph: contributing factors, what led to what, accepted risks."""

from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from postmortem.accounts import audit
from postmortem.accounts.models import Person
from postmortem.changes.models import Change
from postmortem.incidents.models import Incident
from postmortem.incidents.permissions import Capability
from postmortem.lib.errors import EditConflict, UserError
from postmortem.lib.layers import Layer
from postmortem.review.causal_graph import closes_circle
from postmortem.review.editing import editing, known_layer, log_edit
from postmortem.review.models import CausalEdge, ContributingFactor
from postmortem.review.wording import LONG, SHORT, clean_text

Kind = ContributingFactor.Kind
MOST_FACTORS = 200


def add_factor(
    *,
    incident: Incident,
    by: Person,
    kind: str,
    layer: Layer | str,
    text: str,
    change: Change | None = None,
    leads_to: ContributingFactor | None = None,
) -> ContributingFactor:
    """Add a node to the causal graph; `leads_to` connects it at once to what it brought about.

    The first factor brings the impact with it, worded by the incident's title. The impact itself has layer "".
    Raises UserError (unknown kind or layer, empty text, a second impact, another incident's factor or
    another feature's change), PermissionDenied.
    """
    kind = _known_kind(kind)
    fields = {
        "kind": kind,
        "layer": "" if kind == Kind.IMPACT else known_layer(layer),
        "text": clean_text(text, what="The factor", limit=SHORT, one_line=True),
        "change": change,
    }
    _check_change(incident, change)
    with editing(incident, by):
        kinds = list(incident.factors.values_list("kind", flat=True))
        if len(kinds) >= MOST_FACTORS:
            raise UserError(f"The graph holds at most {MOST_FACTORS} factors; join some that say the same.")
        has_impact = Kind.IMPACT in kinds
        if kind == Kind.IMPACT and has_impact:
            raise UserError("The incident has its impact already; edit its text instead.")
        if kind != Kind.IMPACT and not has_impact:
            _create(incident, by, {"kind": Kind.IMPACT, "layer": "", "text": incident.title, "change": None})
        factor = _create(incident, by, fields)
        if leads_to is not None:
            _connect(incident, by, factor, leads_to, "")
    return factor


def update_factor(
    *, factor: ContributingFactor, by: Person, revision: int | None = None, **fields: Any
) -> ContributingFactor:
    """Change kind, layer, text or change of a factor.

    `revision` is what the person saw (None: that of `factor` as it was read). Raises EditConflict when
    somebody saved meanwhile, UserError, PermissionDenied.
    """
    incident = factor.incident
    if unknown := set(fields) - {"kind", "layer", "text", "change"}:
        raise UserError(f"A factor has no field {', '.join(sorted(unknown))}.")
    with editing(incident, by):
        stored = _stored(incident, factor)
        new = {"kind": stored.kind, "layer": stored.layer, "text": stored.text, "change": stored.change} | fields
        new["kind"] = _known_kind(new["kind"])
        if (new["kind"] == Kind.IMPACT) != (stored.kind == Kind.IMPACT):
            raise UserError("A factor cannot become the impact nor the impact a factor; edit its text instead.")
        new["layer"] = "" if new["kind"] == Kind.IMPACT else known_layer(new["layer"])
        new["text"] = clean_text(new["text"], what="The factor", limit=SHORT, one_line=True)
        _check_change(incident, new["change"])
        before = factor_values(stored)
        if all(getattr(stored, name) == value for name, value in new.items()):
            return stored
        _save(stored, factor.revision if revision is None else revision, new)
        log_edit(by, incident, "factor.update", stored.text, before, factor_values(stored), stored.pk)
    return stored


def remove_factor(*, factor: ContributingFactor, by: Person, cut_by: Sequence[int] = ()) -> None:
    """Take a factor and its connections out of the graph; the impact goes last. Twice changes nothing.

    `cut_by` are the numbers of the action items that cut it, kept so that putting it back can tie them to it again.
    """
    incident = factor.incident
    with editing(incident, by):
        stored = incident.factors.filter(pk=factor.pk).select_related("change").first()
        if stored is None:
            return
        if stored.kind == Kind.IMPACT and incident.factors.exclude(pk=stored.pk).exists():
            raise UserError("The impact stays while there are factors that lead to it; remove those first.")
        edges = CausalEdge.objects.filter(incident=incident).select_related("cause", "effect")
        edges = [edge for edge in edges if stored.pk in (edge.cause_id, edge.effect_id)]
        before = factor_values(stored) | {
            "edges": [edge_values(edge) for edge in edges],
            "cut_by": list(cut_by),
        }
        pk = stored.pk
        stored.delete()
        log_edit(by, incident, "factor.remove", before["text"], before, {}, pk)


def connect(*, cause: ContributingFactor, effect: ContributingFactor, by: Person, claim: str = "") -> CausalEdge:
    """Say that `cause` led to `effect`, with a claim that can be checked.

    Already connected: the claim, if given, takes the place of the old one. Raises UserError when it would close
    a circle, leave the impact, or join two incidents; PermissionDenied.
    """
    claim = clean_text(claim, what="The claim", limit=SHORT, needed=False, one_line=True)
    with editing(cause.incident, by):
        return _connect(cause.incident, by, cause, effect, claim)


def regroup(
    *, factors: Sequence[ContributingFactor], by: Person, layer: Layer | str = "", kind: str = ""
) -> list[ContributingFactor]:
    """Move several factors of one incident to another layer, kind, or both, as one step; the impact stays.

    Raises UserError (nothing chosen, unknown layer or kind, factors of two incidents), PermissionDenied.
    """
    chosen = [factor for factor in factors if factor.kind != Kind.IMPACT]
    if not chosen:
        raise UserError("Choose at least one factor; the impact has no layer.")
    if len({factor.incident_id for factor in chosen}) > 1:
        raise UserError("These factors belong to two incidents; choose those of one.")
    if kind == Kind.IMPACT or not (layer or kind):
        raise UserError("Choose the layer or the kind that they move to.")
    fields = ({"layer": known_layer(layer)} if layer else {}) | ({"kind": _known_kind(kind)} if kind else {})
    with transaction.atomic(), audit.together():
        return [update_factor(factor=factor, by=by, **fields) for factor in chosen]


def set_claim(*, edge: CausalEdge, by: Person, claim: str) -> CausalEdge:
    """Say anew how it is known that the cause led to the effect; an empty claim takes it away.

    Raises UserError when the connection is gone, PermissionDenied.
    """
    incident = edge.incident
    claim = clean_text(claim, what="The claim", limit=SHORT, needed=False, one_line=True)
    with editing(incident, by):
        stored = CausalEdge.objects.filter(pk=edge.pk).select_related("cause", "effect").first()
        if stored is None:
            raise UserError("Somebody took this connection out meanwhile; reload the page.")
        if stored.claim != claim:
            before = {"claim": stored.claim}
            CausalEdge.objects.filter(pk=stored.pk).update(claim=claim)
            stored.claim = claim
            subject = _arrow(stored.cause, stored.effect)
            log_edit(by, incident, "edge.update", subject, before, {"claim": claim}, stored.pk)
    return stored


def disconnect(*, edge: CausalEdge, by: Person) -> None:
    """Take a connection out; both factors stay. Twice changes nothing."""
    incident = edge.incident
    with editing(incident, by):
        stored = CausalEdge.objects.filter(pk=edge.pk).select_related("cause", "effect").first()
        if stored is None:
            return
        before, pk = edge_values(stored), stored.pk
        stored.delete()
        log_edit(by, incident, "edge.remove", _arrow(before["cause"], before["effect"]), before, {}, pk)


def accept_risk(*, factor: ContributingFactor, by: Person, reason: str) -> ContributingFactor:
    """Leave a factor as it is, on purpose: who accepts it and why stands in the report, and its paths count as cut.

    Raises UserError (no reason, the impact), PermissionDenied (the layer's lead or a facilitator accepts).
    """
    reason = clean_text(reason, what="The reason for accepting the risk", limit=LONG)
    if factor.kind == Kind.IMPACT:
        raise UserError("The impact is what must not happen again; accept the risk of one of its causes instead.")
    return _set_risk(factor, by, "risk.accept", {"risk_accepted_by": by, "risk_accepted_reason": reason})


def withdraw_risk(*, factor: ContributingFactor, by: Person) -> ContributingFactor:
    """Take back an accepted risk. Raises PermissionDenied."""
    return _set_risk(factor, by, "risk.withdraw", {"risk_accepted_by": None, "risk_accepted_reason": ""})


def _set_risk(factor: ContributingFactor, by: Person, action: str, fields: dict[str, Any]) -> ContributingFactor:
    incident = factor.incident
    with editing(incident, by, Capability.DECIDE, factor.layer):
        stored = _stored(incident, factor)
        before = factor_values(stored)
        _save(stored, stored.revision, fields)
        if before != factor_values(stored):
            log_edit(by, incident, action, stored.text, before, factor_values(stored), stored.pk)
    return stored


def _connect(
    incident: Incident, by: Person, cause: ContributingFactor, effect: ContributingFactor, claim: str
) -> CausalEdge:
    if {cause.incident_id, effect.incident_id} != {incident.pk}:
        raise UserError("Both factors must belong to this incident.")
    if cause.kind == Kind.IMPACT:
        raise UserError("The impact is where the graph ends; connect towards it, not from it.")
    edges = list(incident.causal_edges.all())
    for edge in edges:
        if (edge.cause_id, edge.effect_id) == (cause.pk, effect.pk):
            if claim and claim != edge.claim:
                before, after = {"claim": edge.claim}, {"claim": claim}
                log_edit(by, incident, "edge.update", _arrow(cause, effect), before, after, edge.pk)
                edge.claim = claim
                edge.save(update_fields=["claim"])
            return edge
    if closes_circle([(edge.cause_id, edge.effect_id) for edge in edges], cause.pk, effect.pk):
        raise UserError(
            f"“{effect.text}” already leads to “{cause.text}”, so this would close a circle; "
            "turn one of the arrows or leave it out."
        )
    edge = CausalEdge.objects.create(incident=incident, cause=cause, effect=effect, claim=claim)
    log_edit(by, incident, "edge.add", _arrow(cause, effect), {}, edge_values(edge), edge.pk)
    return edge


def _create(incident: Incident, by: Person, fields: dict[str, Any]) -> ContributingFactor:
    factor = ContributingFactor.objects.create(incident=incident, added_by=by, added_at=timezone.now(), **fields)
    log_edit(by, incident, "factor.add", factor.text, {}, factor_values(factor), factor.pk)
    return factor


def _stored(incident: Incident, factor: ContributingFactor) -> ContributingFactor:
    stored = incident.factors.filter(pk=factor.pk).select_related("change", "risk_accepted_by").first()
    if stored is None:
        raise UserError("Somebody removed this factor meanwhile; reload the page.")
    return stored


def _save(stored: ContributingFactor, revision: int, fields: dict[str, Any]) -> None:
    current: dict[str, object] = dict(factor_values(stored))
    rows = ContributingFactor.objects.filter(pk=stored.pk, revision=revision)
    if not rows.update(**fields, revision=F("revision") + 1):
        raise EditConflict(
            "Somebody changed this factor since you opened it; compare both and save again.",
            current=current,
            revision=stored.revision,
        )
    stored.refresh_from_db()


def _known_kind(kind: str) -> str:
    if kind not in Kind.values:
        raise UserError(f"“{str(kind)[:40]}” is not a kind of factor; choose {', '.join(map(str, Kind.labels))}.")
    return Kind(kind)


def _check_change(incident: Incident, change: Change | None) -> None:
    if change is not None and change.feature_id != incident.feature_id:
        raise UserError(f"That change is not in the logs of {incident.feature}; choose one that is.")


def factor_values(factor: ContributingFactor) -> dict[str, Any]:
    """A factor as JSON values, for the audit log and for conflicts."""
    return {
        "kind": str(factor.kind),
        "layer": str(factor.layer),
        "text": factor.text,
        "change": factor.change.external_id if factor.change else "",
        "risk_accepted_by": str(factor.risk_accepted_by) if factor.risk_accepted_by else "",
        "risk_accepted_by_id": factor.risk_accepted_by_id,
        "risk_accepted_reason": factor.risk_accepted_reason,
    }


def edge_values(edge: CausalEdge) -> dict[str, Any]:
    """A connection as JSON values, for the audit log."""
    return {
        "id": edge.pk, "cause": edge.cause.text, "effect": edge.effect.text, "claim": edge.claim,
        "cause_id": edge.cause_id, "effect_id": edge.effect_id,
    }  # fmt: skip


def _arrow(cause: object, effect: object) -> str:
    return f"{str(cause)[:95]} → {str(effect)[:95]}"
