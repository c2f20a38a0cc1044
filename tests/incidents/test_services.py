"""Opening, editing and staffing an incident."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection, transaction

from postmortem.accounts.models import AuditEntry, Role
from postmortem.incidents import selectors, services
from postmortem.incidents.models import Feature, Incident, NumberCounter, Participant, ParticipantRole, Status
from postmortem.lib.clock import utc_now
from postmortem.lib.errors import EditConflict, UserError
from tests.builders import make_feature, make_incident, make_person

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 9, 12, 0, tzinfo=UTC)


def open_one(by=None, **fields):
    by = by or make_person("Helen Lindqvist", Role.FACILITATOR, email=f"helen{Incident.objects.count()}@example.org")
    fields = {"title": "Refund answers went stale", "feature_name": "Help Centre", "severity": "sev2"} | fields
    return services.create_incident(by=by, **fields)


def test_opening_gives_a_number_a_facilitator_and_an_audit_entry():
    helen = make_person("Helen Lindqvist", Role.FACILITATOR)
    incident = open_one(helen)
    assert incident.number == f"INC-{utc_now().year}-0001"
    assert [(part.person, part.role) for part in selectors.participants(incident)] == [(helen, "facilitator")]
    entry = AuditEntry.objects.get(action="incident.create")
    assert entry.person == helen and entry.incident_number == incident.number


def test_a_reviewer_who_opens_an_incident_facilitates_it_and_a_viewer_may_not_open_one():
    incident = open_one(make_person("Priya Nair", Role.REVIEWER))
    assert incident.participants.get().role == ParticipantRole.FACILITATOR
    with pytest.raises(PermissionDenied, match="may not open an incident"):
        open_one(make_person("Vic Viewer", Role.VIEWER))


def test_numbers_count_up_skip_what_exists_and_follow_a_stated_one():
    year = utc_now().year
    make_incident(f"INC-{year}-0001")
    assert open_one().number == f"INC-{year}-0002"
    assert open_one(number=f"INC-{year}-0007").number == f"INC-{year}-0007"
    assert open_one().number == f"INC-{year}-0008"
    assert open_one(number="INC-2020-0003").number == "INC-2020-0003"
    assert NumberCounter.objects.get(year=2020).last == 3


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"title": "  "}, "Give the incident a title"),
        ({"title": "x" * 300}, "Title: Ensure this value has at most 200 characters"),
        ({"feature_name": " "}, "Name the AI feature"),
        ({"feature_name": "x" * 121}, "longer than 120 characters"),
        ({"severity": "sev9"}, "Severity: Value 'sev9' is not a valid choice"),
        ({"visibility": "nobody"}, "Visibility: Value 'nobody' is not a valid choice"),
        ({"worse": "sideways"}, "Worse: Value 'sideways'"),
        ({"number": "42"}, "not an incident number"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing_behind(fields, sentence):
    by = make_person("Helen Lindqvist", Role.FACILITATOR)
    with pytest.raises(UserError, match=sentence):
        open_one(by, **fields)
    assert not Incident.objects.exists() and not Feature.objects.exists() and not AuditEntry.objects.exists()


def test_a_taken_number_is_refused():
    open_one(number="INC-2026-0004")
    with pytest.raises(UserError, match="INC-2026-0004 exists already"):
        open_one(number="INC-2026-0004")


def test_the_feature_is_found_again_by_name_and_lends_its_trace_name():
    feature = make_feature("Help Centre", trace_name="answer", environment="production")
    incident = open_one(feature_name=" help  centre ")
    assert incident.feature == feature
    assert (incident.trace_name, incident.environment) == ("answer", "production")
    assert open_one(feature=feature, environment="staging").environment == "staging"


@pytest.mark.django_db(transaction=True)
def test_two_who_open_at_once_get_two_numbers():
    people = [make_person(f"Person {index}") for index in range(6)]

    def open_in_thread(person):
        try:
            return open_one(person).number
        finally:
            connection.close()

    # The in-memory SQLite of the tests has one lock and no queue; there the race is between servers only.
    with ThreadPoolExecutor(6 if connection.vendor == "postgresql" else 1) as pool:
        numbers = list(pool.map(open_in_thread, people))
    year = utc_now().year
    assert sorted(numbers) == [f"INC-{year}-{count:04d}" for count in range(1, 7)]


def test_a_rolled_back_opening_gives_its_number_back():
    helen = make_person("Helen Lindqvist", Role.FACILITATOR)
    with pytest.raises(RuntimeError), transaction.atomic():
        open_one(helen)
        raise RuntimeError
    assert open_one(helen).number.endswith("-0001")


def test_editing_bumps_the_revision_and_audits_only_what_changed():
    incident = open_one()
    changed = services.update_incident(
        incident=incident, by=incident.created_by, revision=1, title="Refunds stale", severity="sev2", onset_at=NOON
    )
    assert (changed.title, changed.onset_at, changed.revision) == ("Refunds stale", NOON, 2)
    entry = AuditEntry.objects.get(action="incident.update")
    assert entry.before == {"title": "Refund answers went stale", "onset_at": None}
    assert entry.after == {"title": "Refunds stale", "onset_at": "2026-03-09T12:00:00.000Z"}


def test_saving_nothing_new_is_no_revision():
    incident = open_one()
    same = services.update_incident(incident=incident, by=incident.created_by, revision=1, title=incident.title)
    assert same.revision == 1 and not AuditEntry.objects.filter(action="incident.update").exists()


def test_a_lost_edit_is_a_conflict_that_carries_the_stored_values():
    incident = open_one()
    services.update_incident(incident=incident, by=incident.created_by, revision=1, title="First", detected_at=NOON)
    with pytest.raises(EditConflict) as conflict:
        services.update_incident(
            incident=incident, by=incident.created_by, revision=1, title="Second", detected_at=None, feature_name="X"
        )
    assert conflict.value.current == {
        "title": "First", "detected_at": "2026-03-09T12:00:00.000Z", "feature_name": "Help Centre",
    }  # fmt: skip
    assert conflict.value.revision == 2
    assert Incident.objects.get().title == "First" and not Feature.objects.filter(name="X").exists()


def test_moments_as_text_and_without_zone_are_utc():
    incident = open_one()
    changed = services.update_incident(
        incident=incident,
        by=incident.created_by,
        revision=1,
        onset_at="2026-03-09T13:00:00+01:00",
        affected_people="12",
    )
    assert changed.onset_at == NOON and changed.affected_people == 12
    changed = services.update_incident(
        incident=incident, by=incident.created_by, revision=2, detected_at=datetime(2026, 3, 9, 12, 30)
    )
    assert changed.detected_at == datetime(2026, 3, 9, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"onset_at": "2026-03-09T12:00Z", "detected_at": "2026-03-08T12:00Z"},
            r"The time of detection \(2026-03-08 12:00\) is before that of onset \(2026-03-09 12:00\)",
        ),
        ({"latent_since": "2026-03-10T12:00Z", "onset_at": "2026-03-09T12:00Z"}, "time of onset .* before .* latent"),
        ({"mitigated_at": "2026-03-10T12:00Z", "recovered_at": "2026-03-09T12:00Z"}, "recovery of the signal"),
        ({"baseline_start": "2026-03-09T12:00Z"}, "both the start and the end of the baseline window"),
        ({"incident_end": "2026-03-09T12:00Z"}, "both the start and the end of the incident window"),
        (
            {"baseline_start": "2026-03-09T12:00Z", "baseline_end": "2026-03-09T12:00Z"},
            "baseline window ends .* before it starts",
        ),
        (
            {
                "baseline_start": "2026-03-01T00:00Z", "baseline_end": "2026-03-09T12:00Z",
                "incident_start": "2026-03-09T11:00Z", "incident_end": "2026-03-10T11:00Z",
            },
            "baseline window ends .* after the incident window starts",
        ),
        ({"onset_at": "yesterday"}, "Onset at: “yesterday” value has an invalid format|invalid"),
        ({"affected_people": -3}, "Affected people: Ensure this value is greater than or equal to 0"),
        ({"summary": "x" * 100_001}, "Summary is longer than 100,000 characters"),
        ({"status": "published"}, "published from its Report page"),
        ({"number": "INC-2026-0099"}, "no field number"),
    ],
)  # fmt: skip
def test_bad_edits_are_one_sentence_and_leave_the_incident_as_it_was(fields, sentence):
    incident = open_one()
    with pytest.raises(UserError, match=sentence) as refused:
        services.update_incident(incident=incident, by=incident.created_by, revision=1, title="Other", **fields)
    assert "\n" not in str(refused.value)
    stored = Incident.objects.get()
    assert stored.title == incident.title and stored.revision == 1


def test_an_incident_may_be_over_before_anybody_notices():
    incident = open_one()
    services.update_incident(
        incident=incident, by=incident.created_by, revision=1, mitigated_at=NOON, detected_at="2026-03-12T12:00Z"
    )


def test_a_published_incident_refuses_edits_but_may_be_shown_to_others():
    incident = open_one()
    helen = incident.created_by
    services.mark_published(incident=incident, by=helen)
    for attempt in (
        lambda: services.update_incident(incident=incident, by=helen, revision=2, title="Other"),
        lambda: services.add_timeline_entry(incident=incident, by=helen, at=NOON, text="Paged"),
    ):
        with pytest.raises(UserError, match=r"INC-\d{4}-0001 is published; make a correction from the Report page\."):
            attempt()
    changed = services.update_incident(incident=incident, by=helen, revision=2, visibility="team")
    assert changed.visibility == "team" and changed.title == incident.title


def test_a_correction_reopens_with_a_reason():
    incident = open_one()
    helen = incident.created_by
    with pytest.raises(UserError, match="is not published"):
        services.reopen_for_correction(incident=incident, by=helen, reason="Wrong count")
    services.mark_published(incident=incident, by=helen)
    with pytest.raises(UserError, match="Say what needs correcting"):
        services.reopen_for_correction(incident=incident, by=helen, reason=" ")
    services.reopen_for_correction(incident=incident, by=helen, reason="Wrong count")
    assert incident.status == Status.IN_REVIEW
    assert AuditEntry.objects.get(action="incident.reopen").after["reason"] == "Wrong count"


def test_who_may_edit_and_who_may_change_visibility():
    incident = open_one()
    reviewer, viewer = make_person("Priya Nair", Role.REVIEWER), make_person("Vic Viewer", Role.VIEWER)
    services.update_incident(incident=incident, by=reviewer, revision=1, title="Other")
    with pytest.raises(PermissionDenied, match="edit the record"):
        services.update_incident(incident=incident, by=viewer, revision=2, title="Third")
    with pytest.raises(PermissionDenied, match="who may see this incident"):
        services.update_incident(incident=incident, by=reviewer, revision=2, visibility="participants")


def test_a_layer_has_one_lead_and_naming_another_replaces_it():
    incident = open_one()
    helen = incident.created_by
    first, second = make_person("Priya Nair"), make_person("Jun Sato")
    services.set_participant(incident=incident, by=helen, person=first, role="layer_lead", layer="prompt")
    services.set_participant(incident=incident, by=helen, person=first, role="layer_lead", layer="model")
    services.set_participant(incident=incident, by=helen, person=second, role="layer_lead", layer="prompt")
    assert selectors.layer_lead(incident, "prompt") == second
    assert selectors.layer_lead(incident, "model") == first
    assert selectors.layer_lead(incident, "retrieval") is None


def test_another_role_replaces_the_persons_role_but_not_the_last_facilitator():
    incident = open_one()
    helen, priya = incident.created_by, make_person("Priya Nair")
    services.set_participant(incident=incident, by=helen, person=priya, role="scribe")
    services.set_participant(incident=incident, by=helen, person=priya, role="reviewer")
    assert list(incident.participants.filter(person=priya).values_list("role", flat=True)) == ["reviewer"]
    with pytest.raises(UserError, match="the only facilitator"):
        services.set_participant(incident=incident, by=helen, person=helen, role="viewer")
    with pytest.raises(UserError, match="the only facilitator"):
        services.remove_participant(
            incident=incident, by=helen, participant=incident.participants.get(role="facilitator")
        )
    services.set_participant(incident=incident, by=helen, person=priya, role="facilitator")
    services.remove_participant(incident=incident, by=helen, participant=incident.participants.get(person=helen))
    assert selectors.facilitators(incident) == [priya]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"role": "boss"}, "“boss” is not a role"),
        ({"role": "layer_lead"}, "needs a layer"),
        ({"role": "layer_lead", "layer": "kernel"}, "needs a layer"),
        ({"role": "scribe", "layer": "model"}, "leave the layer empty"),
    ],
)
def test_bad_parts_are_refused(fields, sentence):
    incident = open_one()
    with pytest.raises(UserError, match=sentence):
        services.set_participant(incident=incident, by=incident.created_by, person=make_person(), **fields)
    assert Participant.objects.count() == 1


def test_inactive_people_cannot_take_part_and_reviewers_cannot_name_people():
    incident = open_one()
    gone = make_person("Gone Person", is_active=False)
    with pytest.raises(UserError, match="Gone Person is not active"):
        services.set_participant(incident=incident, by=incident.created_by, person=gone, role="reviewer")
    with pytest.raises(PermissionDenied, match="who takes part"):
        services.set_participant(incident=incident, by=make_person(), person=make_person("Jun Sato"), role="reviewer")


def test_timeline_notes_are_hidden_and_come_back():
    incident = open_one()
    helen = incident.created_by
    entry = services.add_timeline_entry(incident=incident, by=helen, at=NOON, text=" First ticket ")
    assert entry.text == "First ticket"
    services.hide_timeline_entry(entry=entry, by=helen)
    assert not selectors.timeline_entries(incident).exists()
    services.restore_timeline_entry(entry=entry, by=helen)
    services.restore_timeline_entry(entry=entry, by=helen)
    assert list(selectors.timeline_entries(incident)) == [entry]
    assert AuditEntry.objects.filter(action="timeline.restore").count() == 1
    for text in (" ", "x" * 5_001):
        with pytest.raises(UserError):
            services.add_timeline_entry(incident=incident, by=helen, at=NOON, text=text)


def test_the_list_is_filtered_and_one_query(django_assert_num_queries):
    helen = make_person("Helen Lindqvist", Role.FACILITATOR)
    for index in range(12):
        open_one(helen, title=f"Incident {index}", feature_name=f"Feature {index % 3}")
    hidden = open_one(make_person("Jun Sato"), title="Secret", visibility="participants")
    with django_assert_num_queries(1):
        rows = [(row.number, row.feature.name, row.feature.team) for row in selectors.incident_list(helen)]
    assert len(rows) == 12
    assert hidden not in selectors.incident_list(helen)
    with pytest.raises(Incident.DoesNotExist):
        selectors.get_incident(helen, hidden.number)
    assert selectors.incident_list(helen, text="feature 2").count() == 4
    assert selectors.incident_list(helen, text="Incident 11").get().title == "Incident 11"
    assert selectors.incident_list(helen, status="published").count() == 0
    assert selectors.incident_list(helen, status="draft").count() == 12
    assert selectors.incident_list(helen, status="nonsense").count() == 0
