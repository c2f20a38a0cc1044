"""The list of incidents, a new one, its record, people and timeline."""

import pytest
from django.urls import reverse

from postmortem.accounts.models import Role
from postmortem.incidents.models import Incident, Participant, Visibility
from postmortem.lib.clock import parse_moment
from postmortem.review.shared_text import save_text
from tests.builders import make_incident, make_person

pytestmark = pytest.mark.django_db


@pytest.fixture
def facilitator():
    return make_person("Helen Lindqvist", Role.FACILITATOR)


@pytest.fixture
def reviewer():
    return make_person("Priya Nair", Role.REVIEWER)


def test_an_empty_list_says_what_to_do(client, reviewer):
    client.force_login(reviewer)
    assert "No incidents yet" in client.get(reverse("incident-list")).content.decode()


def test_the_list_searches_and_hides_what_one_may_not_see(client, reviewer, facilitator):
    make_incident("INC-2026-0001", by=facilitator, title="Refund answers went stale")
    make_incident("INC-2026-0002", by=facilitator, title="Secret one", visibility=Visibility.PARTICIPANTS)
    client.force_login(reviewer)
    page = client.get(reverse("incident-list"), {"q": "refund"}).content.decode()
    assert "Refund answers went stale" in page
    assert "Secret one" not in client.get(reverse("incident-list")).content.decode()
    assert "Nothing found" in client.get(reverse("incident-list"), {"q": "zebra"}).content.decode()


def test_the_list_asks_the_same_number_of_queries_for_one_and_for_many(
    client, facilitator, django_assert_max_num_queries
):
    for index in range(30):
        make_incident(f"INC-2026-{index + 1:04d}", by=facilitator)
    client.force_login(facilitator)
    with django_assert_max_num_queries(8):
        client.get(reverse("incident-list"))


def test_htmx_gets_the_fragment_only(client, facilitator):
    client.force_login(facilitator)
    page = client.get(reverse("incident-list"), headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in page


def test_opening_an_incident_leads_to_its_evidence(client, reviewer):
    client.force_login(reviewer)
    answer = client.post(
        reverse("incident-new"),
        {
            "title": "Refunds wrong",
            "feature_name": "Help Centre Assistant",
            "severity": "sev2",
            "visibility": "everyone",
            "detected_at": "2026-03-11T15:25:00",
        },
    )
    incident = Incident.objects.get()
    assert answer.url == reverse("evidence", args=[incident.number])
    assert incident.detected_at == parse_moment("2026-03-11T15:25:00Z")


def test_a_missing_title_and_a_broken_time_are_named_and_typed_text_is_kept(client, reviewer):
    client.force_login(reviewer)
    answer = client.post(
        reverse("incident-new"),
        {"title": "", "feature_name": "Help Centre", "severity": "sev2", "visibility": "everyone", "detected_at": "x"},
    )
    page = answer.content.decode()
    assert answer.status_code == 400
    assert "is not a date and time" in page
    assert 'value="Help Centre"' in page
    assert not Incident.objects.exists()


def _record(incident: Incident, **fields: str) -> dict[str, str]:
    return {
        "title": incident.title,
        "severity": incident.severity,
        "visibility": incident.visibility,
        "revision": str(incident.revision),
    } | fields


def test_two_people_who_edit_at_once_both_keep_their_text(client, facilitator):
    incident = make_incident(by=facilitator)
    client.force_login(facilitator)
    edit = reverse("incident-edit", args=[incident.number])
    assert client.post(edit, _record(incident, summary="First text")).status_code == 302
    answer = client.post(edit, _record(incident, summary="Second text"))
    page = answer.content.decode()
    assert answer.status_code == 409
    assert "First text" in page
    assert "Second text" in page
    incident.refresh_from_db()
    assert incident.summary == "First text"
    kept = _record(incident, summary="Second text")
    assert client.post(edit, kept).status_code == 302


def test_a_window_that_ends_before_it_begins_is_refused(client, facilitator):
    incident = make_incident(by=facilitator)
    client.force_login(facilitator)
    answer = client.post(
        reverse("incident-edit", args=[incident.number]),
        _record(incident, baseline_start="2026-03-09T00:00", baseline_end="2026-03-08T00:00"),
    )
    assert answer.status_code == 400
    incident.refresh_from_db()
    assert incident.baseline_start is None


def test_a_reviewer_edits_the_record_but_not_who_may_see_it(client, facilitator, reviewer):
    incident = make_incident(by=facilitator)
    client.force_login(reviewer)
    edit = reverse("incident-edit", args=[incident.number])
    assert "id_visibility" not in client.get(edit).content.decode()
    assert client.post(edit, _record(incident, visibility="participants", impact="Many")).status_code == 302
    incident.refresh_from_db()
    assert (incident.impact, incident.visibility) == ("Many", "everyone")


def test_people_are_added_and_removed_by_the_facilitator_only(client, facilitator, reviewer):
    incident = make_incident(by=facilitator)
    client.force_login(facilitator)
    client.post(
        reverse("participant-add", args=[incident.number]),
        {"person": reviewer.pk, "role": "layer_lead", "layer": "retrieval"},
    )
    part = Participant.objects.get(person=reviewer)
    assert part.layer == "retrieval"
    client.force_login(reviewer)
    refused = client.post(reverse("participant-remove", args=[incident.number, part.pk]))
    assert refused.status_code == 403
    assert "facilitator or an administrator" in refused.content.decode()


def test_the_overview_lists_what_is_missing_with_links(client, facilitator):
    incident = make_incident(by=facilitator)
    client.force_login(facilitator)
    page = client.get(reverse("incident-overview", args=[incident.number])).content.decode()
    assert "Missing before publication" in page
    assert reverse("evidence", args=[incident.number]) in page


def test_the_overview_asks_a_bounded_number_of_queries(client, facilitator, django_assert_max_num_queries):
    incident = make_incident(by=facilitator)
    client.force_login(facilitator)
    with django_assert_max_num_queries(60):
        client.get(reverse("incident-overview", args=[incident.number]))


def test_the_texts_of_the_record_are_merged_and_the_rest_is_kept_apart(client, facilitator):
    incident = make_incident(by=facilitator, summary="One. Two.")
    client.force_login(facilitator)
    url = reverse("incident-edit", args=[incident.number])
    page = client.get(url)
    form = {name: "" if value is None else value for name, value in page.context["form"].initial.items()}
    form |= {f"{name}_base": text for name, text in page.context["bases"].items()} | {"seen": page.context["seen"]}
    assert 'data-shared="incident.summary"' in page.content.decode()
    save_text(incident=incident, by=facilitator, key="incident.summary", base="One. Two.", text="One. Two. Three.")
    assert client.post(url, form | {"summary": "First. Two.", "title": "Wrong refunds"}).status_code == 302
    incident.refresh_from_db()
    assert (incident.summary, incident.title) == ("First. Two. Three.", "Wrong refunds")
    late = client.post(url, form | {"summary": "Uno. Two.", "title": "Late"})
    assert late.status_code == 409, "the title was changed since the form was opened"
    fresh = form | {"title": "Wrong refunds", "seen": client.get(url).context["seen"]}
    both = client.post(url, fresh | {"summary": "Uno. Two."})
    assert both.status_code == 409 and both.context["bases"]["summary"] == "First. Two. Three."
    again = fresh | {"summary": "Uno. Two.", "summary_base": both.context["bases"]["summary"]}
    assert client.post(url, again).status_code == 302
    incident.refresh_from_db()
    assert incident.summary == "Uno. Two."
