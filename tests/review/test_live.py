"""Shared texts, presence and meetings: nobody's words are lost, and the meeting keeps its own time."""

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from postmortem.accounts.models import AuditEntry, Role
from postmortem.incidents.models import Incident, Status, Visibility
from postmortem.lib.errors import EditConflict, UserError
from postmortem.lib.layers import LAYERS
from postmortem.review import meeting as meetings
from postmortem.review.models import Presence, TextVersion
from postmortem.review.services import add_evidence, answer_question, decide_verdict
from postmortem.review.shared_text import MAX_TEXT, read_text, save_text
from tests.builders import make_incident, make_person

pytestmark = pytest.mark.django_db


@pytest.fixture
def question(incident: Incident) -> str:
    from postmortem.review.checklist import load_checklist

    return load_checklist().sections[LAYERS[0]][0].id


@pytest.fixture
def incident() -> Incident:
    return make_incident()


@pytest.fixture
def ana():
    return make_person("Ana Ruiz")


@pytest.fixture
def ben():
    return make_person("Ben Okafor")


def test_two_people_who_start_from_one_text_both_keep_their_words(incident, ana, ben):
    save_text(incident=incident, by=ana, key="meeting", base="", text="The index was built twice.\n")
    base = read_text(incident, "meeting").text
    save_text(incident=incident, by=ana, key="meeting", base=base, text=base + "Ana: ask the data team.\n")
    after = save_text(incident=incident, by=ben, key="meeting", base=base, text="Ben: when? " + base)
    assert after.text == "Ben: when? The index was built twice.\nAna: ask the data team.\n"
    assert after.revision == 3 and after.updated_by == "Ben Okafor"


def test_the_same_words_changed_by_two_are_shown_and_not_overwritten(incident, ana, ben):
    save_text(incident=incident, by=ana, key="incident.summary", base="", text="The rate fell.")
    save_text(incident=incident, by=ana, key="incident.summary", base="The rate fell.", text="The rate halved.")
    with pytest.raises(EditConflict) as caught:
        save_text(incident=incident, by=ben, key="incident.summary", base="The rate fell.", text="The rate dropped.")
    assert caught.value.current == {"text": "The rate halved.", "by": "Ana Ruiz"}
    incident.refresh_from_db()
    assert incident.summary == "The rate halved."


def test_what_the_edit_form_wrote_is_merged_and_kept_as_a_version(incident, ana):
    Incident.objects.filter(pk=incident.pk).update(impact="245 people.")
    save_text(incident=incident, by=ana, key="incident.impact", base="245 people.", text="245 people in the EU.")
    incident.refresh_from_db()
    assert incident.impact == "245 people in the EU."
    assert [version.text for version in TextVersion.objects.filter(key="incident.impact")] == [
        "245 people.",
        "245 people in the EU.",
    ]


def test_saves_of_a_minute_are_one_version_and_another_writer_begins_the_next(incident, ana, ben):
    text = ""
    for word in ("The ", "cache ", "was cold."):
        save_text(incident=incident, by=ana, key="meeting", base=text, text=text + word)
        text += word
    save_text(incident=incident, by=ben, key="meeting", base=text, text=text + " Why?")
    assert list(TextVersion.objects.values_list("text", "written_by__name")) == [
        ("The cache was cold.", "Ana Ruiz"),
        ("The cache was cold. Why?", "Ben Okafor"),
    ]


def test_a_note_written_before_the_answer_is_kept_by_the_answer(incident, ana, ben, question):
    save_text(incident=incident, by=ana, key=f"note.{question}", base="", text="Ana saw it on Monday.")
    stored = answer_question(
        incident=incident, by=ben, question_id=question, value="yes", note="Ben too.", note_base=""
    )
    assert stored.note == "Ana saw it on Monday.Ben too."
    save_text(incident=incident, by=ana, key=f"note.{question}", base=stored.note, text=stored.note + " Both agree.")
    again = answer_question(
        incident=incident, by=ben, question_id=question, value="no", note=stored.note, note_base=stored.note,
        revision=stored.revision,
    )  # fmt: skip
    assert again.note == "Ana saw it on Monday.Ben too. Both agree." and again.value == "no"


def test_a_save_that_is_sent_twice_counts_once_however_much_was_typed_meanwhile(incident, ana, ben):
    first = {"key": "meeting", "base": "", "text": "The cache", "save_id": "tab.1"}
    save_text(incident=incident, by=ana, **first)
    save_text(incident=incident, by=ben, key="meeting", base="The cache", text="Ben: The cache")
    again = save_text(incident=incident, by=ana, **first)
    assert again.text == "Ben: The cache" and again.revision == 2
    after = save_text(
        incident=incident, by=ana, key="meeting", base="The cache", text="The cache was cold", save_id="2"
    )
    assert after.text == "Ben: The cache was cold"


def test_blanks_that_somebody_has_just_typed_stay(incident, ana, question):
    answer_question(incident=incident, by=ana, question_id=question, value="yes", note="The cache")
    saved = save_text(incident=incident, by=ana, key=f"note.{question}", base="The cache", text="The cache ")
    assert saved.text == "The cache "


def test_an_answer_without_a_base_neither_loses_nor_overwrites_what_was_written_since(incident, ana, ben, question):
    save_text(incident=incident, by=ana, key=f"note.{question}", base="", text="Ana saw it.")
    stored = answer_question(incident=incident, by=ben, question_id=question, value="yes")
    assert stored.note == "Ana saw it."
    save_text(incident=incident, by=ana, key=f"note.{question}", base="Ana saw it.", text="Ana saw it twice.")
    with pytest.raises(EditConflict) as caught:
        answer_question(
            incident=incident, by=ben, question_id=question, value="no", note="Mine", revision=stored.revision
        )
    assert caught.value.current == {"value": "yes", "note": "Ana saw it twice."}


def test_a_decided_reason_replaces_the_draft_and_a_later_draft_is_kept(incident, question):
    helen = incident.created_by
    save_text(incident=incident, by=helen, key="reason.prompt", base="", text="Perhaps the model")
    add_evidence(incident=incident, by=helen, layer="prompt", direction="for", text="It was served by another build")
    decide_verdict(incident=incident, by=helen, layer="prompt", value="in", reason="The build changed")
    assert read_text(incident, "reason.prompt").text == "The build changed"
    save_text(
        incident=incident, by=helen, key="reason.prompt", base="The build changed", text="The build changed again"
    )
    assert read_text(incident, "reason.prompt").text == "The build changed again"


@pytest.mark.parametrize("key", ["", "incident.title", "reason.magic", "note.none", "meeting2", "incident.summary; --"])
def test_only_texts_of_the_incident_can_be_written(incident, ana, key):
    with pytest.raises(UserError, match="has no text"):
        save_text(incident=incident, by=ana, key=key, base="", text="x")


def test_too_long_a_text_is_refused_and_nothing_is_written(incident, ana):
    with pytest.raises(UserError, match="shorten it"):
        save_text(incident=incident, by=ana, key="meeting", base="", text="x" * (MAX_TEXT + 1))
    assert read_text(incident, "meeting").text == ""


def test_viewers_and_published_incidents_are_refused(incident, ana):
    viewer = make_person("Vera Lind", Role.VIEWER)
    with pytest.raises(PermissionDenied):
        save_text(incident=incident, by=viewer, key="meeting", base="", text="x")
    Incident.objects.filter(pk=incident.pk).update(status=Status.PUBLISHED)
    with pytest.raises(UserError, match="published"):
        save_text(incident=incident, by=ana, key="meeting", base="", text="x")


def test_presence_is_one_entry_a_person_and_is_forgotten(incident, ana, ben):
    meetings.be_present(incident=incident, by=ana, tab="a", place="Review")
    meetings.be_present(incident=incident, by=ana, tab="b", place="Actions", field="meeting")
    meetings.be_present(incident=incident, by=ben, tab="c")
    assert [(one.name, one.field) for one in meetings.present(incident)] == [
        ("Ana Ruiz", "meeting"),
        ("Ben Okafor", ""),
    ]
    meetings.leave(incident=incident, by=ben, tab="c")
    Presence.objects.filter(tab="b").update(seen_at=timezone.now() - timedelta(minutes=2))
    assert [(one.name, one.place) for one in meetings.present(incident)] == [("Ana Ruiz", "Review")]


def test_a_meeting_keeps_the_time_of_each_item_and_one_person_moves_it(incident):
    helen = incident.created_by
    meeting = meetings.start_meeting(incident=incident, by=helen, layers=list(LAYERS), minutes=60)
    with pytest.raises(UserError, match="going on"):
        meetings.start_meeting(incident=incident, by=helen, layers=list(LAYERS))
    state = meetings.meeting_state(meeting)
    assert state.planned_seconds == pytest.approx(3600, abs=8) and state.current.key == "opening"
    began = meeting.position_since - timedelta(minutes=10)
    type(meeting).objects.filter(pk=meeting.pk).update(position_since=began)
    moved = meetings.move_to(meeting=meeting, by=helen, position=1, revision=meeting.revision)
    state = meetings.meeting_state(moved)
    assert state.items[0].spent_seconds == pytest.approx(600, abs=3)
    assert state.items[0].left_seconds < 0 and state.items[0].left.startswith("−")
    with pytest.raises(EditConflict):
        meetings.move_to(meeting=meeting, by=helen, position=2, revision=meeting.revision)
    ended = meetings.end_meeting(meeting=moved, by=helen, revision=moved.revision)
    assert meetings.meeting_state(ended).current is None and meetings.open_meeting(incident) is None
    with pytest.raises(UserError, match="over"):
        meetings.note_decision(meeting=ended, by=helen, text="Too late")


def test_decisions_are_for_all_and_concerns_for_the_facilitator(incident, ana, ben):
    meeting = meetings.start_meeting(incident=incident, by=incident.created_by, layers=list(LAYERS))
    meetings.note_decision(meeting=meeting, by=ana, text="Roll the encoder back in the EU first")
    quiet = meetings.raise_concern(meeting=meeting, by=ana, text="We skip the judge's own change", named=False)
    meetings.raise_concern(meeting=meeting, by=ben, text="I was not asked")
    assert quiet.written_by is None
    assert not AuditEntry.objects.filter(action="meeting.concern", person=ana).exists()
    assert [note.kind for note in meetings.meeting_notes(meeting, ana)] == ["decision"]
    assert [note.text for note in meetings.meeting_notes(meeting, ben)][-1] == "I was not asked"
    assert len(meetings.meeting_notes(meeting, incident.created_by)) == 3
    meetings.settle_concern(note=quiet, by=incident.created_by)
    quiet.refresh_from_db()
    assert quiet.settled_by == incident.created_by


def test_who_may_not_see_the_incident_may_not_be_there(ana):
    hidden = make_incident("INC-2026-0009", visibility=Visibility.PARTICIPANTS)
    with pytest.raises(PermissionDenied):
        meetings.be_present(incident=hidden, by=ana, tab="a")
