"""Reads of the review: one layer, all layers in short, the graph, the timeline. Query counts do not grow with rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db.models import QuerySet

from postmortem.accounts.models import Person
from postmortem.attribution.models import Finding
from postmortem.attribution.selectors import latest_finding
from postmortem.incidents.models import Incident, Participant, ParticipantRole
from postmortem.lib.layers import LAYERS, Layer
from postmortem.review.causal_graph import CausalGraph, Edge, Node
from postmortem.review.checklist import Question, is_relevant, prefill
from postmortem.review.content import ReviewRows
from postmortem.review.dissent import standing_dissents
from postmortem.review.editing import known_layer
from postmortem.review.facts import ReviewFacts
from postmortem.review.gather import review_facts
from postmortem.review.models import ChecklistAnswer, ContributingFactor, Dissent, Evidence, SignOff, Verdict
from postmortem.review.prefill import Prefill
from postmortem.review.proposals import (
    ProposedEvidence,
    heard_order,
    proposed_evidence,
    proposed_reason,
    proposed_verdict,
)
from postmortem.review.question_sets import question_set, version_of


@dataclass(frozen=True)
class QuestionReview:
    """A question with its answer, what is known, and the evidence given for it."""

    question: Question
    answer: ChecklistAnswer | None
    prefill: Prefill
    evidence_for: list[Evidence]
    evidence_against: list[Evidence]
    relevant: bool = True

    @property
    def shown(self) -> bool:
        """Whether it is asked now: the evidence bears on it, or somebody answered it."""
        return self.relevant or self.answer is not None

    @property
    def takes_suggestion(self) -> bool:
        """Whether it is asked, open, and the join or the attribution suggests an answer."""
        return self.relevant and self.answer is None and bool(self.prefill.suggested)

    @property
    def speaks(self) -> str:
        """What the answer says of the layer: "for", "against", or "" when open or cannot tell."""
        if self.answer is None or self.answer.value == ChecklistAnswer.Value.CANNOT_TELL:
            return ""
        return "for" if self.answer.value == self.question.in_if else "against"


@dataclass(frozen=True)
class SignState:
    """A signature and whether it still covers the content; `content_sha256` is that of the present content."""

    sign_off: SignOff | None
    content_sha256: str

    @property
    def signed(self) -> bool:
        """Whether there is a signature on exactly the present content."""
        return self.sign_off is not None and self.sign_off.content_sha256 == self.content_sha256

    @property
    def withdrawn(self) -> bool:
        """Whether there is a signature, but on content that has changed since."""
        return self.sign_off is not None and not self.signed


@dataclass(frozen=True)
class LayerReview:
    """One layer as the review page shows it.

    `proposed` ("in", "out", "insufficient" or "") and `probability` are the latest finding's word;
    `proposals` is its evidence that nobody has adopted yet, `draft` a reason in its words.
    """

    layer: Layer
    checklist_version: str
    questions: list[QuestionReview]
    evidence_for: list[Evidence]
    evidence_against: list[Evidence]
    verdict: Verdict | None
    proposed: str
    probability: float | None
    finding_number: int | None
    proposals: list[ProposedEvidence]
    draft: str
    lead: Person | None
    sign: SignState
    dissents: list[Dissent]
    factors: list[ContributingFactor]

    @property
    def answered(self) -> int:
        """How many questions have an answer, cannot tell included."""
        return sum(question.answer is not None for question in self.questions)


@dataclass(frozen=True)
class LayerSummary:
    """One layer in a line. `signature_withdrawn`: it was signed, then its content changed."""

    layer: Layer
    verdict: Verdict | None
    proposed: str
    probability: float | None
    answered: int
    questions: int
    evidence_count: int
    lead: Person | None
    signed: bool
    signature_withdrawn: bool
    sign_off: SignOff | None
    factor_count: int


def review_layer(incident: Incident, layer: Layer | str) -> LayerReview:
    """Everything about one layer of the review. Raises UserError for an unknown layer."""
    layer = known_layer(layer)
    rows, finding = ReviewRows.load(incident), latest_finding(incident)
    facts = review_facts(incident, finding)
    version = version_of(incident)
    answers = {answer.question_id: answer for answer in rows.answers}
    pieces = [piece for piece in rows.evidence if piece.layer == layer]
    by_question: dict[tuple[str, str], list[Evidence]] = {}
    for piece in pieces:
        by_question.setdefault((piece.question_id, piece.direction), []).append(piece)
    there = {(piece.direction, piece.text) for piece in pieces}
    proposed, probability = _proposed(finding, layer)
    return LayerReview(
        layer=layer,
        checklist_version=version,
        questions=_questions(question_set(version).sections[layer], answers, facts, by_question),
        evidence_for=[piece for piece in pieces if piece.direction == Evidence.Direction.FOR],
        evidence_against=[piece for piece in pieces if piece.direction == Evidence.Direction.AGAINST],
        verdict=next((verdict for verdict in rows.verdicts if verdict.layer == layer), None),
        proposed=proposed,
        probability=probability,
        finding_number=finding.number if finding else None,
        proposals=[
            proposal
            for proposal in proposed_evidence(finding.result if finding else None, layer)
            if (proposal.direction, proposal.text) not in there
        ],
        draft=proposed_reason(finding.result if finding else None, layer),
        lead=_leads(incident).get(layer),
        sign=SignState(_sign_offs(incident).get(layer), rows.content_hash(layer)),
        dissents=[one for one in standing_dissents(incident) if one.layer == layer],
        factors=[factor for factor in rows.factors if factor.layer == layer],
    )


@dataclass(frozen=True)
class DetectionReview:
    """The detection section: what should have told us, when, and why it did not."""

    checklist_version: str
    questions: list[QuestionReview]

    @property
    def answered(self) -> int:
        """How many questions have an answer, cannot tell included."""
        return sum(question.answer is not None for question in self.questions)


def review_detection(incident: Incident) -> DetectionReview:
    """The questions on detection with what is known; empty for versions of the checklist without them."""
    rows, finding = ReviewRows.load(incident), latest_finding(incident)
    version = version_of(incident)
    answers = {answer.question_id: answer for answer in rows.answers}
    by_question: dict[tuple[str, str], list[Evidence]] = {}
    for piece in rows.evidence:
        by_question.setdefault((piece.question_id, piece.direction), []).append(piece)
    facts = review_facts(incident, finding)
    return DetectionReview(version, _questions(question_set(version).detection, answers, facts, by_question))


def _questions(
    questions: Sequence[Question],
    answers: Mapping[str, ChecklistAnswer],
    facts: ReviewFacts,
    by_question: Mapping[tuple[str, str], list[Evidence]],
) -> list[QuestionReview]:
    return [
        QuestionReview(
            question,
            answers.get(question.id),
            prefill(question, facts),
            by_question.get((question.id, Evidence.Direction.FOR), []),
            by_question.get((question.id, Evidence.Direction.AGAINST), []),
            is_relevant(question, facts),
        )
        for question in questions
    ]


def review_order(summaries: list[LayerSummary], suspected: str = "") -> list[LayerSummary]:
    """The layers so that the most suspected ones are heard last: who begins with them stops looking.

    See `heard_order`.
    """
    order = heard_order({summary.layer.value: summary.probability for summary in summaries}, suspected)
    return sorted(summaries, key=lambda summary: order.index(summary.layer))


def layer_summaries(incident: Incident) -> list[LayerSummary]:
    """The four layers in short, in the order of the layers. Reads no traces."""
    rows, finding = ReviewRows.load(incident), latest_finding(incident)
    leads, sign_offs = _leads(incident), _sign_offs(incident)
    verdicts = {verdict.layer: verdict for verdict in rows.verdicts}
    checklist = question_set(version_of(incident))
    answered = {answer.question_id for answer in rows.answers}
    summaries = []
    for layer in LAYERS:
        proposed, probability = _proposed(finding, layer)
        sign = SignState(sign_offs.get(layer), rows.content_hash(layer))
        # Without the traces nobody knows which others the evidence makes relevant.
        questions = [one for one in checklist.sections[layer] if not one.when or one.id in answered]
        summaries.append(
            LayerSummary(
                layer=layer,
                verdict=verdicts.get(layer),
                proposed=proposed,
                probability=probability,
                answered=sum(question.id in answered for question in questions),
                questions=len(questions),
                evidence_count=sum(piece.layer == layer for piece in rows.evidence),
                lead=leads.get(layer),
                signed=sign.signed,
                signature_withdrawn=sign.withdrawn,
                sign_off=sign.sign_off,
                factor_count=sum(factor.layer == layer for factor in rows.factors),
            )
        )
    return summaries


def facilitator_sign(incident: Incident) -> SignState:
    """The facilitator's signature on the whole review."""
    return SignState(_sign_offs(incident).get(""), ReviewRows.load(incident).content_hash(""))


def evidence_of(incident: Incident, layer: Layer | str = "") -> QuerySet[Evidence]:
    """Evidence in the order in which it was added, of one layer or of all."""
    found = incident.evidence.select_related("trace", "change", "added_by")
    return found.filter(layer=str(layer)) if layer else found


def factors(incident: Incident) -> QuerySet[ContributingFactor]:
    """The contributing factors, the impact included, with change and who accepted the risk."""
    return incident.factors.select_related("change", "risk_accepted_by", "added_by")


def graph(incident: Incident, *, cut_by: Mapping[int, Sequence[str]] | None = None) -> CausalGraph:
    """The causal graph; accepted risks cut their factor, and so does `cut_by` (factor id to what cuts it).

    Action items are known one room higher: `actions.selectors.graph` gives the graph with them.
    """
    cut: dict[int, tuple[str, ...]] = {key: tuple(names) for key, names in (cut_by or {}).items()}
    nodes = []
    for factor in incident.factors.select_related("risk_accepted_by"):
        nodes.append(Node(factor.pk, str(factor.kind), str(factor.layer), factor.text))
        if factor.risk_accepted_by is not None:
            cut[factor.pk] = (*cut.get(factor.pk, ()), f"risk accepted by {factor.risk_accepted_by}")
    edges = [Edge(edge.cause_id, edge.effect_id, edge.claim, edge.pk) for edge in incident.causal_edges.order_by("id")]
    return CausalGraph(tuple(nodes), tuple(edges), cut)


def _proposed(finding: Finding | None, layer: Layer) -> tuple[str, float | None]:
    return proposed_verdict(finding.result if finding else None, layer)


def _leads(incident: Incident) -> dict[str, Person]:
    rows = Participant.objects.filter(incident=incident, role=ParticipantRole.LAYER_LEAD).select_related("person")
    return {row.layer: row.person for row in rows}


def _sign_offs(incident: Incident) -> dict[str, SignOff]:
    return {row.layer: row for row in incident.sign_offs.select_related("signed_by")}
