"""People and teams; the audit log that nobody can rewrite."""

import pytest
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, InternalError, transaction

from postmortem.accounts import audit, selectors, services
from postmortem.accounts.models import AuditEntry, Person, Role, Team
from postmortem.lib.errors import UserError
from tests.builders import make_person, make_team

pytestmark = pytest.mark.django_db


def test_a_person_signs_in_by_lower_case_mail_and_is_audited(client):
    admin = make_person("Ada Admin", Role.ADMINISTRATOR)
    team = services.create_team(name="  Search ", by=admin)
    person = services.create_person(
        email=" Priya.Nair@Example.org ", name="Priya  Nair", role="reviewer", team=team,
        password="a long pass phrase", by=admin,
    )  # fmt: skip
    assert (person.email, person.name, person.team.name) == ("priya.nair@example.org", "Priya Nair", "Search")
    assert person.check_password("a long pass phrase") and not person.is_staff
    assert set(AuditEntry.objects.values_list("action", flat=True)) == {"team.create", "person.create"}
    assert "pass phrase" not in str(list(AuditEntry.objects.values_list("after", flat=True)))


def test_administrators_get_the_administration_and_no_password_means_no_sign_in():
    person = services.create_person(email="root@example.org", name="Root", role="administrator")
    assert person.is_staff and person.is_superuser and not person.has_usable_password()


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"email": "nonsense"}, "“nonsense” is not an e-mail address"),
        ({"email": "TAKEN@example.org"}, "taken@example.org has an account already"),
        ({"name": " "}, "Give the person a name"),
        ({"role": "boss"}, "“boss” is not a role"),
        ({"password": "12345"}, "too short"),
    ],
)
def test_bad_accounts_are_refused_in_one_sentence(fields, sentence):
    make_person("Taken", email="taken@example.org")
    with pytest.raises(UserError, match=sentence):
        services.create_person(**({"email": "new@example.org", "name": "New", "role": "viewer"} | fields))
    assert Person.objects.count() == 1


def test_teams_are_named_once():
    services.create_team(name="Search", by=None)
    with pytest.raises(UserError, match="a team called search already"):
        services.create_team(name="search", by=None)
    with pytest.raises(UserError, match="Give the team a name"):
        services.create_team(name="", by=None)
    assert Team.objects.count() == 1


@pytest.mark.parametrize("role", [Role.VIEWER, Role.REVIEWER, Role.FACILITATOR])
def test_only_administrators_make_people_and_teams(role):
    person = make_person("Jun Sato", role)
    with pytest.raises(PermissionDenied, match="Ask an administrator"):
        services.create_team(name="X", by=person)
    with pytest.raises(PermissionDenied, match="Ask an administrator"):
        services.create_person(email="x@example.org", name="X", role="viewer", by=person)


def test_active_people_come_with_their_team_in_one_query(django_assert_num_queries):
    for index in range(5):
        make_person(f"Person {index}", team=make_team(f"Team {index}"))
    make_person("Gone", is_active=False)
    with django_assert_num_queries(1):
        assert [person.team.name for person in selectors.active_people()] == [f"Team {index}" for index in range(5)]


def test_the_database_refuses_to_rewrite_the_audit_log():
    entry = audit.record(person=make_person(), action="test", subject="x", incident_number="INC-2026-0001")
    for attempt in (
        lambda: AuditEntry.objects.filter(pk=entry.pk).update(action="other"),
        lambda: AuditEntry.objects.filter(pk=entry.pk).delete(),
    ):
        with pytest.raises((IntegrityError, InternalError), match="only ever added to"), transaction.atomic():
            attempt()
    assert list(selectors.audit_entries("INC-2026-0001")) == [entry] and entry.action == "test"
