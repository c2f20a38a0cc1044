"""The administration of action items and of the review: the same rules, and never a stack trace."""

from datetime import timedelta

import pytest
from django.db import IntegrityError

from postmortem.accounts.models import AuditEntry, Person, Role
from postmortem.actions import services
from postmortem.actions.models import ActionItem
from postmortem.lib.clock import utc_now
from postmortem.review import services as review
from tests.actions.builders import make_action
from tests.builders import make_incident, make_person

pytestmark = pytest.mark.django_db
ADD = "/admin/actions/actionitem/add/"


@pytest.fixture
def admin_pages(client):
    client.force_login(make_person("Ada Admin", Role.ADMINISTRATOR, is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def incident():
    return make_incident()


@pytest.fixture
def owner():
    return make_person("Priya Nair")


def typed(on, by, **changed):
    return {
        "incident": on.pk, "title": "Check ids", "layer": "retrieval", "kind": "prevent", "owner": by.pk,
        "due_on": (utc_now().date() + timedelta(days=5)).isoformat(), "verification": "Recall over 0.9",
        "cuts_factor": "", "tracker_link": "",
    } | changed  # fmt: skip


def change_page(item):
    return f"/admin/actions/actionitem/{item.pk}/change/"


def test_every_list_and_form_opens(admin_pages, incident, owner):
    factor = review.add_factor(incident=incident, by=owner, kind="trigger", layer="retrieval", text="Encoder moved")
    review.connect(cause=factor, effect=incident.factors.get(kind="impact"), by=owner)
    item = make_action(incident, owner, cuts_factor=factor)
    rows = ("checklistanswer", "evidence", "verdict", "contributingfactor", "causaledge", "signoff")
    addresses = [f"/admin/review/{row}/" for row in rows]
    addresses += ["/admin/actions/actionitem/", ADD, change_page(item)]
    addresses += [f"/admin/review/contributingfactor/{factor.pk}/change/"]
    for address in addresses:
        assert admin_pages.get(address).status_code == 200, address
    assert admin_pages.get("/admin/review/verdict/add/").status_code == 403
    assert admin_pages.post(f"/admin/actions/actionitem/{item.pk}/delete/", {"post": "yes"}).status_code == 403


def test_an_item_is_added_by_the_service(admin_pages, incident, owner):
    assert admin_pages.post(ADD, typed(incident, owner)).status_code == 302
    item = ActionItem.objects.get()
    assert (item.number, item.owner, item.created_by.name) == (1, owner, "Ada Admin")
    assert AuditEntry.objects.get().action == "action.add"


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"owner": ""}, "This field is required"),
        ({"due_on": ""}, "This field is required"),
        ({"verification": "  "}, "This field is required"),
        ({"tracker_link": "javascript:x"}, "not a web address"),
        ({"due_on": "2001-01-01"}, "has passed"),
        ({"incident": 99999}, "Select a valid choice"),
    ],
)
def test_what_is_missing_is_said_in_a_sentence(admin_pages, incident, owner, changed, sentence):
    response = admin_pages.post(ADD, typed(incident, owner, **changed), follow=True)
    assert response.status_code == 200 and sentence in response.content.decode()
    assert not ActionItem.objects.exists()


def test_inactive_people_are_no_owners(admin_pages, incident, owner):
    gone = make_person("Jun Sato", is_active=False)
    response = admin_pages.post(ADD, typed(incident, gone))
    assert "The owner must be an active person." in response.content.decode() and not ActionItem.objects.exists()


def test_changing_keeps_history_and_refuses_what_is_out_of_date(admin_pages, incident, owner):
    item = make_action(incident, owner, due_on=utc_now().date(), today=utc_now().date())
    form = typed(incident, owner, title="Better", due_on=item.due_on.isoformat(), revision=1)
    assert admin_pages.post(change_page(item), form).status_code == 302
    item.refresh_from_db()
    assert (item.title, item.revision) == ("Better", 2)
    again = admin_pages.post(change_page(item), form | {"title": "Stale"}, follow=True)
    assert "Somebody changed A-1 since you opened it" in again.content.decode()
    item.refresh_from_db()
    assert item.title == "Better"


def test_what_only_the_database_refuses_is_a_sentence_too(admin_pages, incident, owner, monkeypatch):
    def refuse(**_):
        raise IntegrityError("NOT NULL constraint failed: actions_actionitem.owner_id")

    monkeypatch.setattr(services, "add_action", refuse)
    response = admin_pages.post(ADD, typed(incident, owner), follow=True)
    assert response.status_code == 200 and "An action item needs an owner" in response.content.decode()


def test_the_owner_of_an_open_item_stays_in_the_people_administration(admin_pages, incident, owner):
    make_action(incident, owner)
    fields = {"email": owner.email, "name": owner.name, "role": owner.role, "time_zone": "UTC", "team": ""}
    page = f"/admin/accounts/person/{owner.pk}/"
    for response in (
        admin_pages.post(page + "change/", fields, follow=True),
        admin_pages.post(page + "delete/", {"post": "yes"}, follow=True),
    ):
        assert response.status_code == 200
    assert Person.objects.get(pk=owner.pk).is_active
