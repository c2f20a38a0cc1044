"""The history shows every change with its difference, and takes each back as a change of its own."""

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied

from postmortem.accounts.models import AuditEntry, Role
from postmortem.actions import services as actions
from postmortem.actions.following import plan_of, plan_verification
from postmortem.actions.history import history
from postmortem.actions.models import VerificationPlan
from postmortem.actions.undo import undo, undo_text
from postmortem.actions.verification import Plan
from postmortem.incidents import services as incidents
from postmortem.lib.clock import parse_moment
from postmortem.lib.errors import EditConflict, UserError
from postmortem.review import services as review
from postmortem.review.checklist import load_checklist
from postmortem.review.differences import text_difference
from postmortem.review.models import TextVersion
from postmortem.review.shared_text import save_text
from tests.actions.builders import TODAY, make_action
from tests.builders import make_incident, make_participant, make_person

pytestmark = pytest.mark.django_db


@pytest.fixture
def helen():
    return make_person("Helen Lindqvist", Role.FACILITATOR, email="facilitator@example.org")


@pytest.fixture
def incident(helen):
    return make_incident(by=helen)


def last(incident):
    return AuditEntry.objects.filter(incident_number=incident.number).order_by("-id").first()


def undo_last(incident, by):
    undo(entry=last(incident), incident=incident, by=by)


def first_question(incident):
    return next(iter(load_checklist().sections.values()))[0].id


def test_the_difference_of_two_texts_shows_words_and_shortens_what_stayed():
    pieces = text_difference(
        "The index was rebuilt. " + "x " * 200 + "end", "The index was copied. " + "x " * 200 + "end"
    )
    assert [(piece.kind, piece.text) for piece in pieces][1:3] == [("gone", "rebuilt"), ("new", "copied")]
    assert pieces[-1].kind == "same" and "…" in pieces[-1].text and len(pieces[-1].text) < 200
    assert text_difference("", "") == []
    assert [piece.kind for piece in text_difference("", "all new")] == ["new"]


def test_a_field_of_the_record_is_undone_and_done_again(incident, helen):
    onset = parse_moment("2026-03-09T09:20:00Z")
    incidents.update_incident(incident=incident, by=helen, revision=1, title="Wrong refunds", onset_at=onset)
    undo_last(incident, helen)
    incident.refresh_from_db()
    assert (incident.title, incident.onset_at) == ("Refund answers went stale", None)
    assert last(incident).undoes.action == "incident.update"
    undo_last(incident, helen)
    incident.refresh_from_db()
    assert (incident.title, incident.onset_at) == ("Wrong refunds", onset)


def test_what_was_changed_since_is_not_undone(incident, helen):
    incidents.update_incident(incident=incident, by=helen, revision=1, title="One")
    first = last(incident)
    incidents.update_incident(incident=incident, by=helen, revision=2, title="Two")
    with pytest.raises(UserError, match="changed again since"):
        undo(entry=first, incident=incident, by=helen)
    undo_last(incident, helen)
    undo(entry=first, incident=incident, by=helen)
    with pytest.raises(UserError, match="undone already"):
        undo(entry=first, incident=incident, by=helen)
    incident.refresh_from_db()
    assert incident.title == "Refund answers went stale"


def test_answers_verdicts_and_evidence_are_taken_back_and_come_again(incident, helen):
    question = first_question(incident)
    review.answer_question(incident=incident, by=helen, question_id=question, value="yes", note="Seen")
    undo_last(incident, helen)
    assert not incident.checklist_answers.exists()
    undo_last(incident, helen)
    assert incident.checklist_answers.get().note == "Seen"
    piece = review.add_evidence(incident=incident, by=helen, layer="prompt", direction="for", text="Slow answers")
    review.decide_verdict(incident=incident, by=helen, layer="prompt", value="in", reason="It moved")
    undo_last(incident, helen)
    assert not incident.verdicts.exists()
    review.remove_evidence(evidence=piece, by=helen)
    undo_last(incident, helen)
    assert incident.evidence.get().pk == piece.pk


def test_a_removed_factor_comes_back_with_its_arrows_its_risk_and_what_cut_it(incident, helen):
    factor = review.add_factor(incident=incident, by=helen, kind="trigger", layer="retrieval", text="Encoder moved")
    impact = incident.factors.get(kind="impact")
    review.connect(cause=factor, effect=impact, by=helen, claim="Same hour")
    review.accept_risk(factor=factor, by=helen, reason="Rare")
    item = make_action(incident, helen, cuts_factor=factor)
    actions.remove_factor(factor=factor, by=helen)
    item.refresh_from_db()
    assert item.cuts_factor is None
    removal = last(incident)
    undo_last(incident, helen)
    item.refresh_from_db()
    assert item.cuts_factor_id == factor.pk
    edge = incident.causal_edges.get()
    assert (edge.cause_id, edge.effect_id, edge.claim) == (factor.pk, impact.pk, "Same hour")
    assert incident.factors.get(pk=factor.pk).risk_accepted_by == helen
    line = next(line for line in history(incident).lines if line.key == f"change-{removal.pk}")
    assert line.undone and not line.may_undo


def test_connections_claims_actions_and_notes(incident, helen):
    one = review.add_factor(incident=incident, by=helen, kind="trigger", layer="retrieval", text="Encoder moved")
    impact = incident.factors.get(kind="impact")
    edge = review.connect(cause=one, effect=impact, by=helen, claim="A")
    review.set_claim(edge=edge, by=helen, claim="B")
    undo_last(incident, helen)
    assert incident.causal_edges.get().claim == "A"
    review.disconnect(edge=edge, by=helen)
    undo_last(incident, helen)
    assert incident.causal_edges.get().pk == edge.pk
    ana = make_person("Ana Costa")
    item = make_action(incident, helen)
    item = actions.update_action(
        action=item, by=helen, revision=1, owner=ana, cuts_factor=one, due_on=TODAY + timedelta(days=90_000)
    )
    undo_last(incident, helen)
    item.refresh_from_db()
    assert (item.owner, item.cuts_factor, item.due_on) == (helen, None, TODAY + timedelta(days=14))
    actions.set_status(action=item, by=helen, status="done", revision=item.revision)
    undo_last(incident, helen)
    item.refresh_from_db()
    assert item.status == "open"
    note = incidents.add_timeline_entry(
        incident=incident, by=helen, at=parse_moment("2026-03-09T10:00:00Z"), text="Call"
    )
    undo_last(incident, helen)
    note.refresh_from_db()
    assert note.hidden
    part = incidents.set_participant(incident=incident, by=helen, person=ana, role="layer_lead", layer="model")
    incidents.remove_participant(incident=incident, by=helen, participant=part)
    undo_last(incident, helen)
    assert incident.participants.filter(person=ana, layer="model").exists()


def test_undoing_a_text_keeps_what_others_wrote_since(incident, helen):
    ana = make_person("Ana Costa")
    save_text(incident=incident, by=helen, key="incident.summary", base="", text="One. Two.")
    save_text(incident=incident, by=ana, key="incident.summary", base="One. Two.", text="One bad. Two.")
    save_text(incident=incident, by=helen, key="incident.summary", base="One bad. Two.", text="One bad. Two. Three.")
    version = incident.text_versions.filter(written_by=ana).get()
    undo_text(version=version, incident=incident, by=helen)
    incident.refresh_from_db()
    assert incident.summary == "One. Two. Three."
    undo_text(version=incident.text_versions.order_by("id").last(), incident=incident, by=helen)
    save_text(
        incident=incident, by=helen, key="incident.summary", base=TextVersion.objects.latest("id").text, text="New."
    )
    with pytest.raises(EditConflict):
        undo_text(version=version, incident=incident, by=ana)
    line = history(incident, kind="texts").lines[0]
    assert line.subject == "the summary"


def test_the_history_pages_filters_and_stays_bounded(incident, helen, django_assert_num_queries):
    ana = make_person("Ana Costa")
    make_participant(incident, ana, "reviewer")
    for count in range(30):
        by = ana if count % 2 else helen
        review.add_evidence(incident=incident, by=by, layer="model", direction="for", text=f"e{count}")
    save_text(incident=incident, by=helen, key="meeting", base="", text="Notes")
    with django_assert_num_queries(3):
        page = history(incident, size=20)
    keys = [line.key for line in page.lines]
    while page.older:
        page = history(incident, size=20, before=page.older)
        keys += [line.key for line in page.lines]
    assert len(keys) == len(set(keys)) == 31
    assert {line.by for line in history(incident, person=ana).lines} == {"Ana Costa"}
    assert history(incident, kind="graph").lines == []
    assert len(history(incident, before="not~a~cursor").lines) == 31


def test_who_may_not_edit_may_not_undo(incident, helen):
    review.add_evidence(incident=incident, by=helen, layer="model", direction="for", text="Slow")
    viewer = make_person("Vic", Role.VIEWER)
    with pytest.raises(PermissionDenied):
        undo_last(incident, viewer)
    other = make_incident("INC-2026-0002", by=helen)
    with pytest.raises(UserError):
        undo(entry=last(incident), incident=other, by=helen)


def test_a_plan_of_verification_is_undone_and_an_added_item_is_dropped_not_deleted(incident, helen):
    item = make_action(incident, helen)
    first, second = Plan("latency", "at_most", 2.0, 7), Plan("latency", "at_most", 1.0, 3)
    plan_verification(action=item, by=helen, plan=first)
    plan_verification(action=item, by=helen, plan=second)
    line = history(incident).lines[0]
    assert line.may_undo and {field.label for field in line.fields} == {"Threshold", "Days"}
    undo_last(incident, helen)
    assert plan_of(VerificationPlan.objects.get(action=item)) == first
    added = AuditEntry.objects.get(incident_number=incident.number, action="action.add")
    undo(entry=added, incident=incident, by=helen)
    item.refresh_from_db()
    assert item.status == "dropped" and "taken back" in item.status_note
    undo_last(incident, helen)
    item.refresh_from_db()
    assert item.status == "open"
