"""Action items: owner, date and verification have no way around them; nobody's text is overwritten."""

from datetime import date, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from postmortem.accounts.models import Role
from postmortem.actions import services
from postmortem.actions.models import ActionItem
from postmortem.incidents.models import Severity, Status, Visibility
from postmortem.lib.clock import utc_now
from postmortem.review import services as review
from tests.builders import make_incident, make_person
from tests.web.builders import HTMX

pytestmark = pytest.mark.django_db


@pytest.fixture
def today():
    return utc_now().date()


@pytest.fixture
def reviewer():
    return make_person("Priya Nair", Role.REVIEWER)


@pytest.fixture
def incident():
    return make_incident(severity=Severity.SEV2)


@pytest.fixture
def item(incident, reviewer, today):
    return services.add_action(
        incident=incident,
        by=reviewer,
        title="Refuse to start when encoder ids differ",
        layer="retrieval",
        kind="prevent",
        owner=reviewer,
        due_on=today + timedelta(days=9),
        verification="No mismatch for 7 days.",
    )


def fields(person, today, **changed):
    return {
        "title": "Alert on known-item recall", "layer": "retrieval", "kind": "detect", "owner": person.pk,
        "due_on": (today + timedelta(days=9)).isoformat(), "verification": "Alert fires in the weekly drill.",
        "cuts_factor": "", "tracker_link": "",
    } | changed  # fmt: skip


def url(incident, name="actions", *args):
    return reverse(name, args=[incident.number, *args])


def test_an_empty_list_says_why_it_matters(client, incident, reviewer):
    client.force_login(reviewer)
    page = client.get(url(incident)).content.decode()
    assert "Nobody has promised anything yet" in page
    assert url(incident, "action-new") in page


def test_an_action_is_added_and_listed(client, incident, reviewer, today):
    client.force_login(reviewer)
    page = client.post(url(incident, "action-new"), fields(reviewer, today), follow=True).content.decode()
    assert "Alert on known-item recall" in page
    assert ActionItem.objects.get().owner == reviewer


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("title", "", "Say what will be done."),
        ("layer", "", "Choose the layer that it changes."),
        ("owner", "", "Choose the one person who owns it."),
        ("owner", "999999", "The owner must be an active person"),
        ("due_on", "", "Give a due date."),
        ("due_on", "soon", "The due date is not a date"),
        ("due_on", "2001-01-01", "has passed; choose today or later"),
        ("verification", "  ", "Say how everybody will see that it worked."),
        ("tracker_link", "javascript:alert(1)", "must begin with https:// or http://"),
    ],
)
def test_each_mistake_has_its_sentence_and_typed_text_stays(client, incident, reviewer, today, name, value, sentence):
    client.force_login(reviewer)
    answer = client.post(url(incident, "action-new"), fields(reviewer, today, **{name: value}))
    page = answer.content.decode()
    assert answer.status_code == 400
    assert sentence in page
    if name != "verification":
        assert "Alert fires in the weekly drill." in page
    assert not ActionItem.objects.exists()


def test_an_inactive_person_cannot_be_chosen(client, incident, reviewer, today):
    gone = make_person("Gone Girl", is_active=False)
    client.force_login(reviewer)
    assert "Gone Girl" not in client.get(url(incident, "action-new")).content.decode()
    answer = client.post(url(incident, "action-new"), fields(gone, today))
    assert "The owner must be an active person" in answer.content.decode()


def test_the_form_begins_with_the_due_date_of_the_severity_and_what_the_address_says(
    client, incident, reviewer, item, today
):
    factor = review.add_factor(
        incident=incident, by=reviewer, kind="trigger", layer="retrieval", text="Encoder moved alone"
    )
    client.force_login(reviewer)
    query = {"title": "Cut it", "cuts": str(factor.pk), "kind": "prevent", "verification": "Drill."}
    page = client.get(url(incident, "action-new"), query).content.decode()
    assert services.due_default(Severity.SEV2, today).isoformat() in page
    assert 'value="Cut it"' in page
    assert f'<option value="{factor.pk}" selected>' in page
    assert "Priya Nair, 1 open" in page
    for cut in ("x", "9" * 30, "-1"):
        assert client.get(url(incident, "action-new"), {"cuts": cut}).status_code == 200


def test_an_edit_shows_what_somebody_else_saved_and_keeps_both(client, incident, reviewer, item, today):
    client.force_login(reviewer)
    first = fields(reviewer, today, title="First words", revision="1")
    assert client.post(url(incident, "action-edit", 1), first).status_code == 302
    answer = client.post(url(incident, "action-edit", 1), fields(reviewer, today, title="Second words", revision="1"))
    page = answer.content.decode()
    assert answer.status_code == 409
    assert "First words" in page
    assert 'value="Second words"' in page
    item.refresh_from_db()
    assert item.title == "First words"
    assert f'name="revision" value="{item.revision}"' in page
    again = fields(reviewer, today, title="Second words", revision=str(item.revision))
    assert client.post(url(incident, "action-edit", 1), again).status_code == 302
    item.refresh_from_db()
    assert item.title == "Second words"


def test_the_status_moves_on_with_a_note(client, incident, reviewer, item):
    client.force_login(reviewer)
    move = url(incident, "action-status", 1)
    assert client.post(move, {"status": "done", "note": "", "revision": "1"}).status_code == 302
    refused = client.post(move, {"status": "verified", "note": "", "revision": "2"}, headers=HTMX).content.decode()
    assert "Say in the note what showed that it works" in refused
    assert "<html" not in refused
    said = {"status": "verified", "note": "92.4% for 7 days", "revision": "2"}
    page = client.post(move, said, headers=HTMX).content.decode()
    assert "92.4% for 7 days" in page
    item.refresh_from_db()
    assert item.status == "verified"


def test_a_stale_status_is_refused_and_the_note_kept(client, incident, reviewer, item):
    client.force_login(reviewer)
    move = url(incident, "action-status", 1)
    client.post(move, {"status": "done", "note": "", "revision": "1"})
    page = client.post(move, {"status": "dropped", "note": "Too dear.", "revision": "1"}, headers=HTMX)
    assert "Somebody changed A-1" in page.content.decode()
    assert 'value="Too dear."' in page.content.decode()
    item.refresh_from_db()
    assert item.status == "done"
    page = client.post(move, {"status": "nonsense", "note": "", "revision": "1"}, follow=True).content.decode()
    assert "Choose one of the four statuses." in page


def test_the_list_asks_the_same_number_of_queries_for_many(
    client, incident, reviewer, today, django_assert_max_num_queries
):
    def add(index):
        given = fields(reviewer, today, title=f"Item {index}", cuts_factor=None)
        given |= {"owner": make_person(f"Person {index}"), "due_on": today}
        services.add_action(incident=incident, by=reviewer, **given)

    client.force_login(reviewer)
    add(0)
    client.get(url(incident))
    with CaptureQueriesContext(connection) as few:
        client.get(url(incident))
    for index in range(1, 40):
        add(index)
    client.get(url(incident))
    with CaptureQueriesContext(connection) as many:
        client.get(url(incident))
    # At most one more, however many items there are.
    assert len(many) <= len(few) + 1 <= 60
    with django_assert_max_num_queries(12):
        client.get(reverse("my-actions"))


def test_my_actions_are_mine_overdue_first_and_only_where_i_may_look(client, incident, reviewer, item, today):
    make_person("Helen Two")
    hidden = make_incident("INC-2026-0002", visibility=Visibility.PARTICIPANTS)
    ActionItem.objects.create(
        incident=hidden, number=1, title="Secret", layer="model", owner=reviewer, created_by=reviewer,
        due_on=today, verification="x",
    )  # fmt: skip
    ActionItem.objects.create(
        incident=incident, number=2, title="Late one", layer="model", owner=reviewer, created_by=reviewer,
        due_on=date(2020, 1, 1), verification="x",
    )  # fmt: skip
    client.force_login(reviewer)
    page = client.get(reverse("my-actions")).content.decode()
    assert "1 of your 2 open actions is overdue" in page
    assert page.index("Late one") < page.index("Refuse to start")
    assert "Secret" not in page


def test_nothing_of_mine_says_so(client, reviewer):
    client.force_login(reviewer)
    assert "You owe nothing" in client.get(reverse("my-actions")).content.decode()


def test_items_are_handed_over_before_somebody_is_switched_off(client, incident, reviewer, item):
    administrator = make_person("Ada Root", Role.ADMINISTRATOR)
    other = make_person("Jun Sato")
    client.force_login(administrator)
    page = client.post(reverse("person-deactivate", args=[reviewer.pk]), follow=True).content.decode()
    assert "hand them over" in page
    reviewer.refresh_from_db()
    assert reviewer.is_active
    over = reverse("hand-over", args=[reviewer.pk])
    assert "Choose who takes the items." in client.post(over, {"actions": [item.pk]}).content.decode()
    assert "Choose at least one item." in client.post(over, {"to_person": other.pk}).content.decode()
    client.post(over, {"actions": [item.pk], "to_person": other.pk})
    item.refresh_from_db()
    assert item.owner == other
    client.post(reverse("person-deactivate", args=[reviewer.pk]))
    reviewer.refresh_from_db()
    assert not reviewer.is_active


def test_a_reviewer_hands_nobody_elses_items_over(client, reviewer):
    other = make_person("Jun Sato")
    client.force_login(reviewer)
    assert client.get(reverse("hand-over", args=[other.pk])).status_code == 403
    assert client.post(reverse("person-deactivate", args=[other.pk])).status_code == 403


def test_who_only_looks_sees_no_form(client, incident, item):
    client.force_login(make_person("Vera Look", Role.VIEWER))
    page = client.get(url(incident)).content.decode()
    assert "Refuse to start" in page
    assert "Read only" in page
    assert "<select" not in page
    assert client.get(url(incident, "action-new")).status_code == 403
    assert client.post(url(incident, "action-status", 1), {"status": "done", "revision": 1}).status_code == 403


def test_after_publication_only_the_status_moves(client, incident, reviewer, item, today):
    type(incident).objects.filter(pk=incident.pk).update(status=Status.PUBLISHED)
    client.force_login(reviewer)
    page = client.get(url(incident)).content.decode()
    assert f'href="{url(incident, "action-edit", 1)}"' not in page
    assert url(incident, "action-status", 1) in page
    client.post(url(incident, "action-new"), fields(reviewer, today))
    assert ActionItem.objects.count() == 1
    client.post(url(incident, "action-status", 1), {"status": "done", "note": "", "revision": "1"})
    item.refresh_from_db()
    assert item.status == "done"
