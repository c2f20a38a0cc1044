"""The administration pages: e-mail users, read-only audit log, refusals in one sentence."""

import pytest
from django.db import IntegrityError

from postmortem.accounts import audit
from postmortem.accounts.models import AuditEntry, Person, Role
from tests.builders import make_action, make_incident, make_person

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin_pages(client):
    client.force_login(make_person("Ada Admin", Role.ADMINISTRATOR, is_staff=True, is_superuser=True))
    return client


def fields_of(person, **changed):
    fields = {"email": person.email, "name": person.name, "role": person.role, "time_zone": "UTC", "team": ""}
    return fields | ({"is_active": "on"} if person.is_active else {}) | changed


def test_every_list_and_form_opens(admin_pages):
    person = make_person()
    entry = audit.record(person=person, action="test", subject="x")
    for address in (
        "accounts/person/", "accounts/person/add/", f"accounts/person/{person.pk}/change/",
        f"accounts/person/{person.pk}/password/", "accounts/team/", "accounts/team/add/",
        "accounts/auditentry/", f"accounts/auditentry/{entry.pk}/change/", "incidents/feature/add/",
    ):  # fmt: skip
        assert admin_pages.get(f"/admin/{address}").status_code == 200, address


def test_a_person_is_added_with_mail_and_password(admin_pages):
    response = admin_pages.post(
        "/admin/accounts/person/add/",
        {
            "email": "New@Example.org", "name": "New Person", "role": "administrator", "team": "",
            "usable_password": "true", "password1": "a long pass phrase", "password2": "a long pass phrase",
        },
    )  # fmt: skip
    assert response.status_code == 302
    person = Person.objects.get(email="new@example.org")
    assert person.check_password("a long pass phrase") and person.is_staff
    assert AuditEntry.objects.get(action="person.create").subject == "new@example.org"


def test_losing_the_role_takes_the_administration_away(admin_pages):
    person = make_person("Bob", Role.ADMINISTRATOR, is_staff=True, is_superuser=True)
    admin_pages.post(f"/admin/accounts/person/{person.pk}/change/", fields_of(person, role="viewer"))
    person.refresh_from_db()
    assert (person.role, person.is_staff, person.is_superuser) == ("viewer", False, False)
    assert AuditEntry.objects.get(action="person.update").after == {"role": "viewer"}


def test_a_refusal_of_the_database_is_one_sentence(admin_pages, monkeypatch):
    person = make_person()
    page = f"/admin/accounts/person/{person.pk}/change/"

    def refuse(*args, **kwargs):
        raise IntegrityError("owns open items")

    monkeypatch.setattr(Person, "save", refuse)
    response = admin_pages.post(page, fields_of(person, name="Other"), follow=True)
    assert b"Hand the open items over on the Actions page first" in response.content
    assert Person.objects.get(pk=person.pk).name == "Priya Nair"


def test_somebody_named_in_the_record_is_not_deleted(admin_pages):
    person = make_incident().created_by
    admin_pages.post(f"/admin/accounts/person/{person.pk}/delete/", {"post": "yes"})
    assert Person.objects.filter(pk=person.pk).exists()


def test_the_audit_log_is_read_only(admin_pages):
    entry = audit.record(person=None, action="test", subject="x")
    assert admin_pages.get("/admin/accounts/auditentry/add/").status_code == 403
    assert admin_pages.post(f"/admin/accounts/auditentry/{entry.pk}/change/", {"action": "y"}).status_code == 403
    assert admin_pages.post(f"/admin/accounts/auditentry/{entry.pk}/delete/", {"post": "yes"}).status_code == 403


@pytest.mark.parametrize("role", [Role.VIEWER, Role.REVIEWER, Role.FACILITATOR])
def test_nobody_else_gets_in(client, role):
    client.force_login(make_person("Jun Sato", role))
    assert client.get("/admin/accounts/person/").status_code == 302


def test_an_owner_of_open_items_is_not_deactivated_until_they_are_handed_over(admin_pages):
    owner = make_person()
    item = make_action(make_incident(), owner)
    page = f"/admin/accounts/person/{owner.pk}/change/"
    inactive = {name: value for name, value in fields_of(owner).items() if name != "is_active"}
    assert b"Hand the open items over" in admin_pages.post(page, inactive, follow=True).content
    assert Person.objects.get(pk=owner.pk).is_active
    type(item).objects.filter(pk=item.pk).update(status="verified")
    admin_pages.post(page, inactive)
    assert not Person.objects.get(pk=owner.pk).is_active
