"""What a signature is bound to: the exact content of a layer, or of the whole review."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from postmortem.incidents.models import Incident
from postmortem.lib.hashing import canonical_json, sha256_hex
from postmortem.lib.layers import LAYERS, Layer
from postmortem.review.models import CausalEdge, ChecklistAnswer, ContributingFactor, Evidence, Verdict


@dataclass(frozen=True)
class ReviewRows:
    """Everything that people wrote in the review of one incident; five queries."""

    answers: list[ChecklistAnswer]
    evidence: list[Evidence]
    verdicts: list[Verdict]
    factors: list[ContributingFactor]
    edges: list[CausalEdge]

    @classmethod
    def load(cls, incident: Incident) -> "ReviewRows":
        """Read them, with the people and what they refer to."""
        return cls(
            answers=list(incident.checklist_answers.select_related("answered_by").order_by("question_id")),
            evidence=list(
                incident.evidence.select_related("trace", "change", "added_by").defer("trace__facets", "change__raw")
            ),
            verdicts=list(incident.verdicts.select_related("decided_by")),
            factors=list(incident.factors.select_related("change", "risk_accepted_by", "added_by")),
            edges=list(incident.causal_edges.order_by("id")),
        )

    def content(self, layer: Layer | str) -> dict[str, Any]:
        """What the lead of `layer` signs: verdict, answers, evidence, factors and what they led to.

        Times and revisions stay out: the same words are the same content.
        """
        layer = str(layer)
        own = {factor.pk for factor in self.factors if factor.layer == layer}
        return {
            "layer": layer,
            "verdicts": [[v.value, v.reason, v.decided_by_id] for v in self.verdicts if v.layer == layer],
            "answers": [[a.question_id, a.value, a.note] for a in self.answers if a.layer == layer],
            "evidence": sorted(_evidence(piece) for piece in self.evidence if piece.layer == layer),
            "factors": sorted(_factor(factor) for factor in self.factors if factor.pk in own),
            "edges": sorted([edge.cause_id, edge.effect_id, edge.claim] for edge in self.edges if edge.cause_id in own),
        }

    def content_hash(self, layer: Layer | str) -> str:
        """SHA-256 of a layer's content; with layer "" of all four layers and the impact, for the facilitator."""
        parts: Iterable[Layer | str] = (layer,) if layer else (*LAYERS, "")
        return sha256_hex(canonical_json([self.content(part) for part in parts]))


def layer_content_hash(incident: Incident, layer: Layer | str) -> str:
    """SHA-256 of what the signature for `layer` ("" for the whole review) is bound to, as stored now."""
    return ReviewRows.load(incident).content_hash(layer)


def _evidence(piece: Evidence) -> list[Any]:
    trace = piece.trace.external_id if piece.trace else ""
    change = piece.change.external_id if piece.change else ""
    return [piece.direction, piece.text, piece.question_id, trace, change, piece.finding_number or 0, piece.link]


def _factor(factor: ContributingFactor) -> list[Any]:
    change = factor.change.external_id if factor.change else ""
    return [factor.pk, factor.kind, factor.text, change, factor.risk_accepted_by_id or 0, factor.risk_accepted_reason]
