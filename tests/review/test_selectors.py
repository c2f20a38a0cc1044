"""What pages read of the review, and with how many queries."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from postmortem.incidents.models import Incident
from postmortem.lib.errors import UserError
from postmortem.lib.layers import LAYERS, Layer
from postmortem.review import selectors, services
from postmortem.review.assembling import timeline
from postmortem.review.causal_graph import check_graph
from tests.builders import make_change, make_incident, make_person
from tests.review.builders import START, make_finding, make_lead, make_traces

pytestmark = pytest.mark.django_db


@pytest.fixture
def incident():
    return make_incident()


@pytest.fixture
def lead(incident):
    return make_lead(incident, make_person("Tomasz Wilk"), "retrieval")


def decided(incident, lead):
    piece = services.add_evidence(
        incident=incident, by=lead, layer="retrieval", direction="for", text="Ids differ",
        question_id="retrieval-encoder-agrees",
    )  # fmt: skip
    services.decide_verdict(incident=incident, by=lead, layer="retrieval", value="in", reason="Ids differ.")
    return piece


def summary_of(incident, layer="retrieval"):
    return next(row for row in selectors.layer_summaries(incident) if row.layer == layer)


def test_an_empty_review_has_four_layers_and_no_verdict(incident):
    summaries = selectors.layer_summaries(incident)
    assert [row.layer for row in summaries] == list(LAYERS)
    assert all(
        row.verdict is None and row.proposed == "" and row.answered == 0 and row.questions >= 8 and not row.signed
        for row in summaries
    )


def test_layer_review_gathers_questions_answers_evidence_and_proposals(incident, lead):
    make_change("retrieval-1", layer="retrieval", at=START, until=START, facet="encoder", to_version="helix-3")
    make_traces(incident, 20, encoder="helix-3")
    make_finding(incident, number=4)
    decided(incident, lead)
    services.answer_question(incident=incident, by=lead, question_id="retrieval-encoder-agrees", value="no")
    seen = selectors.review_layer(incident, "retrieval")
    asked = {row.question.id: row for row in seen.questions}["retrieval-encoder-agrees"]
    assert asked.answer.value == "no" and asked.speaks == "for"
    assert [piece.text for piece in asked.evidence_for] == ["Ids differ"] and asked.evidence_against == []
    assert asked.prefill.known[0][0] == "encoder, logged" and "20 traces" in asked.prefill.known[0][1]
    assert (seen.proposed, seen.probability, seen.finding_number) == ("in", 0.97, 4)
    assert [proposal.direction for proposal in seen.proposals] == ["for"]
    assert seen.lead == lead and seen.answered == 1 and seen.verdict.value == "in"
    services.adopt_proposed_evidence(incident=incident, by=lead, layer="retrieval")
    assert selectors.review_layer(incident, "retrieval").proposals == []
    with pytest.raises(UserError, match="not a layer"):
        selectors.review_layer(incident, "weather")


def test_changed_content_withdraws_the_signature_and_the_old_words_restore_it(incident, lead):
    decided(incident, lead)
    services.sign_off(incident=incident, by=lead, layer="retrieval")
    assert summary_of(incident).signed and selectors.review_layer(incident, "retrieval").sign.signed
    extra = services.add_evidence(incident=incident, by=lead, layer="retrieval", direction="against", text="Steady")
    row = summary_of(incident)
    assert (row.signed, row.signature_withdrawn) == (False, True)
    services.remove_evidence(evidence=extra, by=lead)
    assert summary_of(incident).signed
    services.add_evidence(incident=incident, by=lead, layer="model", direction="against", text="Steady")
    assert summary_of(incident).signed  # another layer's content


def test_everything_that_a_lead_signs_withdraws(incident, lead):
    decided(incident, lead)
    factor = services.add_factor(incident=incident, by=lead, kind="trigger", layer="retrieval", text="Encoder moved")
    impact = incident.factors.get(kind="impact")

    def sign_then(edit):
        services.sign_off(incident=incident, by=lead, layer="retrieval")
        edit()
        assert summary_of(incident).signature_withdrawn

    ask = "retrieval-known-item-recall"
    sign_then(lambda: services.answer_question(incident=incident, by=lead, question_id=ask, value="yes"))
    sign_then(lambda: services.connect(cause=factor, effect=impact, by=lead, claim="within the hour"))
    sign_then(lambda: services.update_factor(factor=factor, by=lead, text="Encoder moved alone"))
    sign_then(lambda: services.accept_risk(factor=factor, by=lead, reason="Rare"))
    sign_then(
        lambda: services.decide_verdict(
            incident=incident, by=lead, layer="retrieval", value="out", reason="No", revision=1
        )
    )


def test_facilitators_signature_covers_every_layer(incident, lead):
    for layer in LAYERS:
        services.add_evidence(incident=incident, by=lead, layer=layer, direction="against", text="Steady")
        services.decide_verdict(incident=incident, by=incident.created_by, layer=layer, value="out", reason="No.")
    assert not selectors.facilitator_sign(incident).signed
    services.sign_off(incident=incident, by=incident.created_by)
    assert selectors.facilitator_sign(incident).signed
    services.add_evidence(incident=incident, by=lead, layer="prompt", direction="for", text="Hm")
    assert selectors.facilitator_sign(incident).withdrawn


def test_graph_cuts_by_accepted_risk_and_by_what_is_given(incident, lead):
    cause = services.add_factor(incident=incident, by=lead, kind="trigger", layer="retrieval", text="Encoder moved")
    impact = incident.factors.get(kind="impact")
    services.connect(cause=cause, effect=impact, by=lead)
    assert check_graph(selectors.graph(incident)).uncut_paths == ((cause.pk, impact.pk),)
    assert check_graph(selectors.graph(incident, cut_by={cause.pk: ["A-1"]})).is_cut
    services.accept_risk(factor=cause, by=lead, reason="Rare")
    graph = selectors.graph(incident, cut_by={cause.pk: ["A-1"]})
    assert graph.cut[cause.pk] == ("A-1", "risk accepted by Tomasz Wilk")


def test_timeline_joins_times_changes_notes_and_the_estimated_onset(incident, lead):
    from postmortem.incidents.services import add_timeline_entry, hide_timeline_entry

    make_change("retrieval-1", layer="retrieval", summary="Encoder moved", at=START, until=START)
    make_finding(incident, number=4)
    note = add_timeline_entry(incident=incident, by=lead, at=START.replace(hour=12), text="First ticket")
    hidden = add_timeline_entry(incident=incident, by=lead, at=START.replace(hour=13), text="Wrong")
    hide_timeline_entry(entry=hidden, by=lead)
    Incident.objects.filter(pk=incident.pk).update(detected_at=START.replace(hour=11))
    incident.refresh_from_db()
    items = timeline(incident)
    assert [(item.kind, item.source) for item in items] == [
        ("change", "retrieval-1"), ("onset_estimate", "run 4"), ("detected", "incident"), ("note", "Tomasz Wilk"),
    ]  # fmt: skip
    assert items[0].layer is Layer.RETRIEVAL and items[3].note_id == note.pk
    incident.onset_at = START.replace(hour=9)
    assert "onset" in [item.kind for item in timeline(incident)]
    assert len(timeline(incident, include_hidden=True)) == 5


def _fill(incident, lead, start, stop):
    for index in range(start, stop):
        change = make_change(f"retrieval-{index}", layer="retrieval", at=START, until=START)
        trace = make_traces(incident, 1, encoder="helix-3")[0]
        services.add_evidence(
            incident=incident, by=lead, layer="retrieval", direction="for", text=f"E{index}", trace=trace, change=change
        )
        services.add_factor(
            incident=incident, by=lead, kind="trigger", layer="retrieval", text=f"F{index}", change=change,
            leads_to=incident.factors.filter(kind="impact").first(),
        )  # fmt: skip
        for question in ("model-served-is-requested", "retrieval-filters", "prompt-tool-schema")[index % 3 :]:
            answer = incident.checklist_answers.filter(question_id=question).first()
            services.answer_question(
                incident=incident, by=lead, question_id=question, value="no", note=str(index),
                revision=answer.revision if answer else None,
            )  # fmt: skip


@pytest.mark.parametrize(
    ("read", "most"),
    [
        (selectors.layer_summaries, 10),
        (lambda incident: selectors.review_layer(incident, "retrieval"), 23),
        (selectors.graph, 2),
        (timeline, 4),
        (selectors.facilitator_sign, 6),
    ],
)
def test_query_count_does_not_grow(incident, lead, read, most):
    def queries():
        fresh = Incident.objects.select_related("feature").get(pk=incident.pk)
        with CaptureQueriesContext(
            connection,
        ) as captured:
            result = read(fresh)
            for piece in getattr(result, "evidence_for", []):
                str(piece.trace), str(piece.change), str(piece.added_by)
            for factor in getattr(result, "factors", []):
                str(factor.change), str(factor.added_by)
        return len(captured)

    make_finding(incident)
    _fill(incident, lead, 0, 2)
    few = queries()
    _fill(incident, lead, 2, 12)
    assert queries() == few <= most
