"""The frozen record: one JSON document that holds all that a report shows, now and in ten years."""

from typing import Any

from django.conf import settings

from postmortem.accounts.models import Person
from postmortem.actions import selectors as actions
from postmortem.attribution.selectors import latest_finding
from postmortem.changes.models import Change
from postmortem.changes.selectors import LedgerRow, read_join
from postmortem.incidents.clocks import five_clocks
from postmortem.incidents.models import Incident
from postmortem.incidents.selectors import participants
from postmortem.lib.clock import format_moment
from postmortem.lib.layers import LAYERS, Layer
from postmortem.report.annex import annex_section
from postmortem.report.branding import brand_section, current_brand
from postmortem.review.assembling import timeline
from postmortem.review.models import Evidence
from postmortem.review.selectors import (
    LayerReview,
    QuestionReview,
    facilitator_sign,
    factors,
    review_detection,
    review_layer,
)
from postmortem.traces.selectors import evidence_counts, evidence_imports

SCHEMA = "postmortem/record/2"
_MAX_HASHES = 200
_TEXTS = ("summary", "impact", "detection_gap", "lessons", "decisions_requested")
_TIMES = (
    "latent_since", "onset_at", "detected_at", "mitigated_at", "recovered_at", "users_recovered_at", "resolved_at",
    "baseline_start", "baseline_end", "incident_start", "incident_end",
)  # fmt: skip


def assemble_record(incident: Incident) -> dict[str, Any]:
    """The record of `incident` as stored now: JSON values only, moments RFC 3339 in UTC.

    Its shape is schema/record-2.json. Publication adds the section `publication`.
    """
    reviews = [review_layer(incident, layer) for layer in LAYERS]
    detection = review_detection(incident).questions
    return {
        "schema": SCHEMA,
        "code_version": settings.CODE_VERSION,
        "organisation": current_brand().name,
        "branding": brand_section(),
        "incident": _incident(incident),
        "text": {name: getattr(incident, name) for name in _TEXTS},
        "clocks": _clocks(incident),
        "participants": [
            {"name": part.person.name, "team": _team(part.person), "role": part.role, "layer": part.layer}
            for part in participants(incident)
        ],
        "finding": _finding(incident),
        "changes": [_change(row) for row in read_join(incident).ledger],
        "timeline": [
            {
                "at": format_moment(item.at),
                "kind": item.kind,
                "text": item.text,
                "layer": str(item.layer or ""),
                "source": item.source,
            }
            for item in timeline(incident)
        ],
        "layers": [_layer(review, detection if review.layer is Layer.INFRASTRUCTURE else []) for review in reviews],
        "factors": [_factor(one) for one in factors(incident)],
        "edges": [
            {"cause": edge.cause_id, "effect": edge.effect_id, "claim": edge.claim}
            for edge in incident.causal_edges.order_by("id")
        ],
        "actions": [_action(item) for item in actions.actions_for(incident)],
        "facilitator_sign_off": _sign(facilitator_sign(incident)),
        "evidence": _evidence_sources(incident),
        "annex": annex_section(incident),
    }


def _incident(incident: Incident) -> dict[str, Any]:
    moments = {name: getattr(incident, name) for name in _TIMES}
    return {
        "number": incident.number,
        "title": incident.title,
        "feature": incident.feature.name,
        "team": incident.feature.team.name if incident.feature.team else "",
        "severity": incident.get_severity_display(),
        "simulated": incident.simulated,
        "signal": incident.signal,
        "worse": incident.worse,
        "trace_name": incident.trace_name,
        "environment": incident.environment,
        "affected_people": incident.affected_people,
        "opened_by": incident.created_by.name,
        "opened_at": format_moment(incident.created_at),
        **{name: format_moment(at) if at else None for name, at in moments.items()},
    }


def _clocks(incident: Incident) -> list[dict[str, Any]]:
    clocks = five_clocks(
        incident.latent_since,
        incident.onset_at,
        incident.detected_at,
        incident.mitigated_at,
        incident.recovered_at,
        incident.users_recovered_at,
    )
    return [
        {
            "key": clock.key,
            "label": clock.label,
            "seconds": clock.duration.total_seconds() if clock.duration is not None else None,
            "sentence": clock.sentence,
        }
        for clock in clocks
    ]


def _finding(incident: Incident) -> dict[str, Any] | None:
    finding = latest_finding(incident)
    if finding is None:
        return None
    return {
        "number": finding.number,
        "method": finding.method,
        "code_version": finding.code_version,
        "inputs_sha256": finding.inputs_sha256,
        "run_at": format_moment(finding.run_at),
        "run_by": finding.run_by.name if finding.run_by else "",
        "result": finding.result,
    }


def _change(row: LedgerRow) -> dict[str, Any]:
    change: Change = row.change
    return {
        "id": change.external_id,
        "layer": change.layer,
        "summary": change.summary,
        "at": format_moment(change.at),
        "until": format_moment(change.until),
        "rollout": change.rollout,
        "canary_share": change.canary_share,
        "stages": change.stages,
        "scope": change.scope,
        "facet": change.facet,
        "from_version": change.from_version,
        "to_version": change.to_version,
        "actor": change.actor,
        "link": change.link,
        "is_rollback": change.is_rollback,
        "exposed_count": row.exposed_count,
        "exposed_share": row.exposed_share,
        "state": row.state,
        "content_sha256": change.content_sha256,
    }


def _layer(review: LayerReview, more: list[QuestionReview]) -> dict[str, Any]:
    """`more`: answers on detection, which belongs to infrastructure."""
    verdict = review.verdict
    return {
        "layer": review.layer.value,
        "verdict": verdict.value if verdict else "",
        "reason": verdict.reason if verdict else "",
        "decided_by": verdict.decided_by.name if verdict else "",
        "decided_at": format_moment(verdict.decided_at) if verdict else None,
        "dissents": [
            {"by": one.person.name, "value": one.value, "reason": one.reason, "at": format_moment(one.at)}
            for one in review.dissents
        ],
        "proposed": review.proposed,
        "probability": review.probability,
        "lead": review.lead.name if review.lead else "",
        "sign_off": _sign(review.sign),
        "checklist_version": review.checklist_version,
        "answers": [
            {
                "question": one.question.text,
                "value": one.answer.value,
                "note": one.answer.note,
                "by": one.answer.answered_by.name,
                "at": format_moment(one.answer.answered_at),
            }
            for one in (*review.questions, *more)
            if one.answer
        ],
        "question_count": sum(one.shown for one in (*review.questions, *more)),
        "evidence_for": [_evidence(one) for one in review.evidence_for],
        "evidence_against": [_evidence(one) for one in review.evidence_against],
    }


def _evidence(one: Evidence) -> dict[str, Any]:
    return {
        "text": one.text,
        "change": one.change.external_id if one.change else "",
        "trace": one.trace.external_id if one.trace else "",
        "finding": one.finding_number,
        "link": one.link,
        "by": one.added_by.name,
        "at": format_moment(one.added_at),
    }


def _factor(factor: Any) -> dict[str, Any]:
    return {
        "id": factor.pk,
        "kind": factor.kind,
        "layer": factor.layer,
        "text": factor.text,
        "change": factor.change.external_id if factor.change else "",
        "risk_accepted_by": factor.risk_accepted_by.name if factor.risk_accepted_by else "",
        "risk_accepted_reason": factor.risk_accepted_reason,
    }


def _action(item: Any) -> dict[str, Any]:
    return {
        "number": item.number,
        "title": item.title,
        "layer": item.layer,
        "kind": item.kind,
        "owner": item.owner.name,
        "team": _team(item.owner),
        "due_on": item.due_on.isoformat(),
        "verification": item.verification,
        "status": item.status,
        "tracker_link": item.tracker_link,
        "cuts": item.cuts_factor_id,
    }


def _sign(state: Any) -> dict[str, Any] | None:
    """A signature that covers the content as it stands; a withdrawn one does not count."""
    if not state.signed:
        return None
    sign = state.sign_off
    return {"name": sign.signed_by.name, "at": format_moment(sign.signed_at), "content_sha256": sign.content_sha256}


def _evidence_sources(incident: Incident) -> dict[str, Any]:
    counts = evidence_counts(incident)
    sources = []
    for one in evidence_imports(incident):
        hashes = sorted(blob.sha256 for blob in one.blobs.all())
        sources.append(
            {
                "kind": one.get_kind_display(),
                "origin": one.origin,
                "by": one.imported_by.name if one.imported_by else "",
                "at": format_moment(one.imported_at),
                "traces": one.trace_count,
                "scores": one.score_count,
                "truncated_at_cap": one.truncated_at_cap,
                "sha256": hashes[:_MAX_HASHES],
                "sha256_count": len(hashes),
            }
        )
    return {"traces": counts.traces, "scores": counts.scores, "imports": sources}


def _team(person: Person) -> str:
    return person.team.name if person.team else ""
