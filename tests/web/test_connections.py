"""Connections: administrators add, change, check and delete; the secret is never shown."""

import pytest
from django.urls import reverse

from postmortem.accounts.models import Role
from postmortem.traces import services
from postmortem.traces.langfuse_source import SourceError, SourceInfo
from postmortem.traces.models import Connection
from tests.builders import make_person
from tests.web.builders import HTMX

pytestmark = pytest.mark.django_db

FIELDS = {
    "name": "Production",
    "base_url": "https://langfuse.example.org/lf",
    "public_key": "pk-lf-1",
    "secret_key": "sk-lf-very-secret",
    "feature": "",
}
POSTED = FIELDS | {"kind": "langfuse"}


@pytest.fixture
def administrator():
    return make_person("Ada Root", Role.ADMINISTRATOR)


@pytest.fixture
def connection(administrator):
    fields = FIELDS | {"feature": None}
    return services.create_connection(by=administrator, **fields)


@pytest.fixture
def answers(monkeypatch):
    """The server answers a check without a network."""

    def learn(connection):
        info = SourceInfo(api="v4", version="4.59.0", project_id="p1", project_name="Support")
        Connection.objects.filter(pk=connection.pk).update(api="v4", project_id="p1", project_name="Support")
        return info

    monkeypatch.setattr("postmortem.traces.connections._learn", learn)


@pytest.fixture
def refuses(monkeypatch):
    def learn(connection):
        raise SourceError("The server refuses these keys (401); check both of them.")

    monkeypatch.setattr("postmortem.traces.connections._learn", learn)


def test_without_connections_the_page_says_what_to_do(client, administrator):
    client.force_login(administrator)
    page = client.get(reverse("connections")).content.decode()
    assert "No project is connected" in page
    assert reverse("connection-new") in page


def test_others_may_look_but_not_touch(client, connection):
    client.force_login(make_person("Priya Nair", Role.FACILITATOR))
    page = client.get(reverse("connections")).content.decode()
    assert "Production" in page
    assert "Read only" in page
    assert reverse("connection-edit", args=[connection.pk]) not in page
    for name in ("connection-edit", "connection-delete"):
        assert client.get(reverse(name, args=[connection.pk])).status_code == 403
    assert client.post(reverse("connection-check", args=[connection.pk])).status_code == 403
    assert client.post(reverse("connection-new"), POSTED).status_code == 403


def test_a_new_connection_is_checked_at_once(client, administrator, answers):
    client.force_login(administrator)
    page = client.post(reverse("connection-new"), POSTED, follow=True).content.decode()
    assert "project Support" in page
    assert Connection.objects.get().api == "v4"


def test_a_failed_check_keeps_the_connection_and_says_why(client, administrator, refuses):
    client.force_login(administrator)
    page = client.post(reverse("connection-new"), POSTED, follow=True).content.decode()
    assert "refuses these keys (401)" in page
    assert Connection.objects.count() == 1


def test_what_is_missing_is_named_and_the_secret_is_not_sent_back(client, administrator):
    client.force_login(administrator)
    answer = client.post(reverse("connection-new"), POSTED | {"name": ""})
    page = answer.content.decode()
    assert answer.status_code == 400
    assert "Give the connection a name." in page
    assert "https://langfuse.example.org/lf" in page
    assert "sk-lf-very-secret" not in page
    assert not Connection.objects.exists()


def test_no_page_shows_the_stored_secret(client, administrator, connection):
    client.force_login(administrator)
    for name, args in (
        ("connections", []),
        ("connection-edit", [connection.pk]),
        ("connection-delete", [connection.pk]),
    ):
        assert "sk-lf-very-secret" not in client.get(reverse(name, args=args)).content.decode()


def test_an_empty_secret_keeps_the_stored_one(client, administrator, connection):
    client.force_login(administrator)
    before = bytes(connection.secret_key_encrypted)
    client.post(reverse("connection-edit", args=[connection.pk]), FIELDS | {"name": "Prod", "secret_key": ""})
    connection.refresh_from_db()
    assert connection.name == "Prod"
    assert bytes(connection.secret_key_encrypted) == before


def test_checking_with_htmx_draws_one_row(client, administrator, connection, answers):
    client.force_login(administrator)
    page = client.post(reverse("connection-check", args=[connection.pk]), headers=HTMX).content.decode()
    assert "<html" not in page
    assert "The server answered." in page
    assert "API v4" in page


def test_a_refused_check_with_htmx_says_why_in_the_row(client, administrator, connection, refuses):
    client.force_login(administrator)
    page = client.post(reverse("connection-check", args=[connection.pk]), headers=HTMX).content.decode()
    assert "refuses these keys (401)" in page


def test_deleting_asks_first(client, administrator, connection):
    client.force_login(administrator)
    url = reverse("connection-delete", args=[connection.pk])
    assert "Delete the connection Production?" in client.get(url).content.decode()
    assert Connection.objects.exists()
    client.post(url)
    assert not Connection.objects.exists()


def test_a_phoenix_project_needs_its_name_and_no_keys(client, administrator, answers):
    client.force_login(administrator)
    given = {"kind": "phoenix", "name": "Phoenix", "base_url": "http://phoenix.example.org:6006/projects/x/traces"}
    answer = client.post(reverse("connection-new"), given)
    assert answer.status_code == 400
    assert "Name the project or experiment that may be read." in answer.content.decode()
    client.post(reverse("connection-new"), given | {"project": "help-desk"})
    stored = Connection.objects.get()
    assert (stored.kind, stored.base_url, stored.project) == ("phoenix", "http://phoenix.example.org:6006", "help-desk")


def test_langfuse_needs_both_keys(client, administrator):
    client.force_login(administrator)
    page = client.post(reverse("connection-new"), POSTED | {"public_key": "", "secret_key": ""}).content.decode()
    assert "public key." in page
    assert "secret key." in page
    assert not Connection.objects.exists()
