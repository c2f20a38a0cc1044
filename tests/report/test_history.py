"""The history shows every change with its difference, and takes each back as a change of its own."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.exceptions import PermissionDenied

import postmortem
from postmortem.accounts.models import AuditEntry, Role
from postmortem.actions import services as actions
from postmortem.actions.following import plan_of, plan_verification
from postmortem.actions.models import VerificationPlan
from postmortem.actions.undo import undo_text
from postmortem.actions.verification import Plan
from postmortem.changes.corrections import correct_change, merge_changes
from postmortem.changes.services import add_change
from postmortem.incidents import services as incidents
from postmortem.lib.clock import parse_moment
from postmortem.lib.errors import EditConflict, UserError
from postmortem.lib.layers import Layer
from postmortem.report.annex import latest_annex, save_annex
from postmortem.report.history import history
from postmortem.report.undo import WAYS, undo
from postmortem.review import meeting as meetings
from postmortem.review import services as review
from postmortem.review.checklist import CURRENT_VERSION, load_checklist
from postmortem.review.differences import text_difference
from postmortem.review.models import TextVersion
from postmortem.review.question_sets import pin_version, publish_version, question_data, version_of
from postmortem.review.shared_text import save_text
from postmortem.traces.labels import label_trace
from tests.actions.builders import TODAY, make_action
from tests.builders import make_incident, make_participant, make_person, make_trace
from tests.changes.builders import change as a_change

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


def test_a_save_of_the_annex_is_undone_field_by_field_and_shown_in_words(incident, helen):
    save_annex(incident=incident, by=helen, values={"kinds": ["death"], "harm": "One"}, revision=0)
    save_annex(incident=incident, by=helen, values={"kinds": ["death"], "harm": "Two"}, revision=1)
    second = last(incident)
    save_annex(
        incident=incident, by=helen, revision=2,
        values={"kinds": ["death"], "harm": "Two", "aware_at": "2026-08-10T21:30:00Z"},
    )  # fmt: skip
    line = history(incident, kind="annex").lines[0]
    assert [(one.label, [piece.text for piece in one.pieces]) for one in line.fields] == [
        ("Provider or deployer became aware (UTC)", ["10 August 2026 21:30 UTC"])
    ]
    undo(entry=second, incident=incident, by=helen)
    assert latest_annex(incident).values == {
        "kinds": ["death"], "harm": "One", "aware_at": "2026-08-10T21:30:00.000Z",
    }  # fmt: skip
    undo_last(incident, helen)
    assert latest_annex(incident).values["harm"] == "Two"
    first = AuditEntry.objects.filter(action="annex.edit").order_by("id").first()
    with pytest.raises(UserError, match="changed again since"):
        undo(entry=first, incident=incident, by=helen)


def test_the_version_of_the_questions_and_a_signature_come_back(incident, helen):
    publish_version(by=make_person("Ada", Role.ADMINISTRATOR), version="ours-1", data=question_data(CURRENT_VERSION))
    was = version_of(incident)
    review.answer_question(incident=incident, by=helen, question_id=first_question(incident), value="no", note="")
    pin_version(incident=incident, by=helen, version=CURRENT_VERSION)
    assert was == "ours-1" and version_of(incident) == CURRENT_VERSION
    undo_last(incident, helen)
    assert version_of(incident) == "ours-1"
    review.add_evidence(incident=incident, by=helen, layer="prompt", direction="for", text="Slow answers")
    review.decide_verdict(incident=incident, by=helen, layer="prompt", value="in", reason="It moved")
    make_participant(incident, helen, "layer_lead", "prompt")
    review.sign_off(incident=incident, by=helen, layer="prompt")
    undo_last(incident, helen)
    assert not incident.sign_offs.exists()
    taken_back = last(incident)
    with pytest.raises(UserError, match="Only Helen"):
        undo(entry=taken_back, incident=incident, by=make_person("Ana Costa"))
    undo_last(incident, helen)
    assert incident.sign_offs.get().signed_by == helen


def test_what_a_meeting_noted_is_struck_and_comes_back_and_an_early_end_too(incident, helen):
    meeting = meetings.start_meeting(incident=incident, by=helen, layers=list(Layer))
    note = meetings.note_decision(meeting=meeting, by=helen, text="Roll back first")
    (line,) = history(incident, kind="meetings").lines[:1]
    assert [(one.label, one.pieces[0].text) for one in line.fields] == [("Text", "Roll back first")]
    undo_last(incident, helen)
    assert not meeting.notes.exists()
    undo_last(incident, helen)
    back = meeting.notes.get()
    assert (back.pk, back.text, back.written_by, back.written_at) == (note.pk, note.text, helen, note.written_at)
    concern = meetings.raise_concern(meeting=meeting, by=helen, text="Too fast", named=False)
    meetings.settle_concern(note=concern, by=helen)
    undo_last(incident, helen)
    concern.refresh_from_db()
    assert concern.settled_at is None
    meetings.end_meeting(meeting=meeting, by=helen, revision=1)
    undo_last(incident, helen)
    assert meetings.open_meeting(incident) == meeting
    meetings.end_meeting(meeting=meeting, by=helen, revision=3)
    meetings.start_meeting(incident=incident, by=helen, layers=list(Layer))
    ended = AuditEntry.objects.filter(action="meeting.end").order_by("-id").first()
    with pytest.raises(UserError, match="Another meeting"):
        undo(entry=ended, incident=incident, by=helen)


def test_corrected_and_merged_changes_and_labels_are_undone_from_the_history(incident, helen):
    one, two = (add_change(feature=incident.feature, by=helen, record=a_change(name)) for name in ("a", "b"))
    correct_change(
        change=one, by=helen, incident=incident, record=a_change("a", layer=Layer.MODEL, scope={"region": ("eu",)}),
        reason="The log had the wrong layer", revision=one.revision,
    )  # fmt: skip
    shown = {field.label: field.pieces[-1].text for field in history(incident, kind="changes").lines[0].fields}
    assert shown == {"Layer": "model", "Scope": "region: eu"}
    undo_last(incident, helen)
    one.refresh_from_db()
    assert one.layer == "prompt" and one.scope == {}
    merge_changes(duplicate=two, into=one, by=helen, incident=incident)
    undo_last(incident, helen)
    two.refresh_from_db()
    assert two.merged_into is None
    undo_last(incident, helen)
    two.refresh_from_db()
    assert two.merged_into == one
    trace = make_trace(incident, "t-1", timestamp=parse_moment("2026-03-09T09:20:00Z"))
    label_trace(trace=trace, by=helen, value="fail")
    undo_last(incident, helen)
    assert not trace.labels.filter(withdrawn_at=None).exists()
    with pytest.raises(UserError, match="label of Helen"):
        undo(entry=last(incident), incident=incident, by=make_person("Ana Costa"))
    undo_last(incident, helen)
    assert trace.labels.get(withdrawn_at=None).value == "fail"


# What the history keeps that changes no field of the record.
EVENTS = {
    "incident.create", "incident.publish", "incident.reopen", "action.check", "action.remind", "action.regression",
    "report.publish", "report.email", "share.create", "share.open", "share.revoke", "replay.export", "replay.results",
    "text.accept", "text.draft",
    "review.lapse", "run.start", "run.cancel", "run.retry",
    "evidence.mapped", "changes.import", "changes.delete", "changes.raw",
    "manifest.import", "manifest.delete", "meeting.start", "meeting.move", "meeting.resume", "meeting.concern",
}  # fmt: skip
OF_NO_INCIDENT = ("person.", "team.", "checklist.", "branding.", "delivery.", "drafting.", "feed.", "mapping.")


def test_every_recorded_change_of_the_record_has_a_way_back():
    source = "\n".join(path.read_text() for path in Path(postmortem.__file__).parent.rglob("*.py"))
    called = re.findall(r"(?:log_edit|audit\.record|_telling|_tell|_log|_move|_note)\([^\n]*(?:\n[^\n]*){0,3}", source)
    found = {word for call in called for word in re.findall(r'"([a-z]+\.[a-z_]+)"', call)}
    assert {"edge.update", "annex.edit", "timeline.mark", "action.status", "meeting.end"} <= found
    edits = {word for word in found if word not in EVENTS and not word.startswith(OF_NO_INCIDENT)}
    assert edits - set(WAYS) == set()


def test_changing_what_was_signed_is_told_once_and_by_whom(incident, helen):
    make_participant(incident, helen, "layer_lead", "prompt")
    ana = make_person("Ana Costa")
    question = next(iter(load_checklist().sections[Layer.PROMPT])).id
    review.answer_question(incident=incident, by=helen, question_id=question, value="yes", note="Seen")
    review.add_evidence(incident=incident, by=helen, layer="prompt", direction="for", text="Slow answers")
    review.decide_verdict(incident=incident, by=helen, layer="prompt", value="in", reason="It moved")
    review.sign_off(incident=incident, by=helen, layer="prompt")
    review.add_evidence(incident=incident, by=ana, layer="model", direction="for", text="Of another layer")
    assert last(incident).action == "evidence.add"
    review.add_evidence(incident=incident, by=ana, layer="prompt", direction="against", text="Not everywhere")
    (told,) = history(incident, kind="signatures", person=ana).lines
    assert (told.words, told.subject) == ("changed what was signed:", "Prompt, by Helen Lindqvist")
    assert not told.may_undo
    review.add_evidence(incident=incident, by=ana, layer="prompt", direction="against", text="Nor at night")
    assert len(history(incident, kind="signatures", person=ana).lines) == 1
    pieces = [
        AuditEntry.objects.get(action="evidence.add", subject=text) for text in ("Nor at night", "Not everywhere")
    ]
    for piece in pieces:
        undo(entry=piece, incident=incident, by=ana)
    removal = last(incident)
    assert removal.action == "evidence.remove", "the signature stands again"
    undo(entry=removal, incident=incident, by=ana)
    assert last(incident).action == "review.lapse" and last(incident).undoes is None
    undo(entry=pieces[1], incident=incident, by=ana)
    assert last(incident).action == "evidence.remove", "what was done again can be undone again"
    told = len(history(incident, kind="signatures", person=ana).lines)
    save_text(incident=incident, by=ana, key=f"note.{question}", base="Seen", text="Seen twice")
    assert len(history(incident, kind="signatures", person=ana).lines) == told + 1
    save_text(incident=incident, by=ana, key="incident.summary", base="", text="Of no layer")
    assert len(history(incident, kind="signatures", person=ana).lines) == told + 1
