"""Connections: administrators only, keys encrypted, and a link that no connection fits is refused helpfully."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied

from fixtures.standin import StandIn, awkward, faults
from postmortem.accounts.models import AuditEntry, Person, Role
from postmortem.lib.errors import UserError
from postmortem.traces import services
from postmortem.traces.connections import clean_base_url
from postmortem.traces.links import parse_link
from postmortem.traces.models import Connection
from tests.builders import make_person

pytestmark = pytest.mark.django_db


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with StandIn(base_path="/langfuse") as running:
        yield running


@pytest.fixture
def admin() -> Person:
    return make_person("Ada Admin", Role.ADMINISTRATOR)


def connect(by: Person, **more: Any) -> Connection:
    given = {
        "name": "Production", "base_url": "https://cloud.langfuse.com", "public_key": "pk-lf-demo",
        "secret_key": "sk-lf-demo",
    }  # fmt: skip
    return services.create_connection(by=by, **(given | more))


def test_only_administrators_configure(admin: Person) -> None:
    connection = connect(admin)
    facilitator = make_person("Fay Facilitator", Role.FACILITATOR)
    for attempt in (
        lambda: connect(facilitator, name="Mine"),
        lambda: services.update_connection(
            connection=connection, by=facilitator, name="x", base_url="http://x.test", public_key="pk"
        ),
        lambda: services.delete_connection(connection=connection, by=facilitator),
        lambda: services.check_connection(connection=connection, by=facilitator),
    ):
        with pytest.raises(PermissionDenied):
            attempt()
    assert Connection.objects.get().name == "Production"


def test_the_secret_key_is_stored_encrypted_and_stays_out_of_the_audit_log(admin: Person, settings: Any) -> None:
    connection = connect(admin)
    stored = Connection.objects.get()
    assert b"sk-lf-demo" not in bytes(stored.secret_key_encrypted)
    assert "sk-lf-demo" not in str(AuditEntry.objects.values_list("before", "after"))
    services.open_source(stored).close()
    settings.SECRET_KEY = "another"
    with pytest.raises(UserError, match="SECRET_KEY has changed"):
        services.open_source(connection)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://Cloud.Langfuse.com/", "https://cloud.langfuse.com"),
        ("https://host.test:443/langfuse/", "https://host.test/langfuse"),
        ("http://127.0.0.1:3000/project/p1/traces", "http://127.0.0.1:3000"),
        ("https://host.test/api/public", "https://host.test"),
    ],
)
def test_addresses_are_kept_in_the_spelling_of_links(given: str, kept: str) -> None:
    assert clean_base_url(given) == kept


@pytest.mark.parametrize(
    "address", ["", "cloud.langfuse.com", "file:///etc/passwd", "https://me:secret@host.test", "https://host.test/?a=1"]
)
def test_an_address_that_is_none_is_refused(admin: Person, address: str) -> None:
    with pytest.raises(UserError) as error:
        connect(admin, base_url=address)
    assert "secret" not in str(error.value)
    assert not Connection.objects.exists()


def test_names_are_used_once_and_keys_are_no_nonsense(admin: Person) -> None:
    connect(admin)
    with pytest.raises(UserError, match="named “Production” already"):
        connect(admin)
    with pytest.raises(UserError, match="secret key is empty or no key"):
        connect(admin, name="B", secret_key="line\nbreak")
    assert Connection.objects.count() == 1


def test_checking_learns_project_and_flavour(admin: Person, stand_in: StandIn) -> None:
    connection = connect(admin, base_url=stand_in.base_url)
    info = services.check_connection(connection=connection, by=admin)
    stored = Connection.objects.get()
    assert (info.api, stored.api, stored.server_version) == ("v4", "v4", "4.16.0")
    assert (stored.project_id, stored.project_name) == ("demo-project", "Demo shop")


def test_new_keys_forget_what_the_old_ones_said(admin: Person, stand_in: StandIn) -> None:
    connection = connect(admin, base_url=stand_in.base_url)
    services.check_connection(connection=connection, by=admin)
    same = {"connection": connection, "by": admin, "name": "Renamed", "base_url": stand_in.base_url}
    services.update_connection(**same, public_key="pk-lf-demo")
    assert Connection.objects.get().project_id == "demo-project"
    services.update_connection(**same, public_key="pk-lf-other", secret_key="sk-lf-demo")
    assert (Connection.objects.get().project_id, Connection.objects.get().api) == ("", "unknown")


def test_a_stored_key_is_never_sent_to_a_new_address(admin: Person) -> None:
    connection = connect(admin)
    with pytest.raises(UserError, match="enter the secret key for it too"):
        services.update_connection(
            connection=connection, by=admin, name="Production", base_url="https://evil.test", public_key="pk-lf-demo"
        )
    assert Connection.objects.get().base_url == "https://cloud.langfuse.com"


def test_a_link_finds_its_connection(admin: Person, stand_in: StandIn) -> None:
    connection = connect(admin, base_url=stand_in.base_url)
    other = connect(admin, name="Another team", base_url=stand_in.base_url, public_key="pk-lf-other")
    assert services.connection_for_link(parse_link(stand_in.link(awkward.ORPHANS))) == connection
    link = parse_link(f"{stand_in.base_url}/project/other-project/traces/x")
    assert services.connection_for_link(link) == other


def test_a_link_of_an_unknown_server_is_refused_without_asking_it(admin: Person, stand_in: StandIn) -> None:
    connect(admin)
    with pytest.raises(UserError) as error:
        services.connection_for_link(parse_link(stand_in.link(awkward.ORPHANS)))
    assert f"No connection reads from {stand_in.base_url}" in str(error.value)
    assert "keys of project demo-project" in str(error.value)
    assert stand_in.requests == []


def test_a_link_of_another_project_names_whose_keys_there_are(admin: Person, stand_in: StandIn) -> None:
    connect(admin, base_url=stand_in.base_url, public_key="pk-lf-other")
    with pytest.raises(UserError) as error:
        services.connection_for_link(parse_link(stand_in.link(awkward.ORPHANS)))
    assert "belongs to project demo-project" in str(error.value)
    assert "“Another team” (other-project)" in str(error.value)


def test_a_short_link_needs_a_single_connection(admin: Person, stand_in: StandIn) -> None:
    link = parse_link(f"{stand_in.base_url}/trace/{awkward.ORPHANS}")
    connection = connect(admin, base_url=stand_in.base_url)
    assert services.connection_for_link(link) == connection
    connect(admin, name="Second", base_url=stand_in.base_url, public_key="pk-lf-other")
    with pytest.raises(UserError, match="names no project"):
        services.connection_for_link(link)


def test_a_broken_connection_does_not_hide_the_one_that_fits(admin: Person, stand_in: StandIn) -> None:
    connect(admin, name="Expired", base_url=stand_in.base_url, secret_key="sk-lf-old")
    connection = connect(admin, name="Working", base_url=stand_in.base_url)
    assert services.connection_for_link(parse_link(stand_in.link(awkward.ORPHANS))) == connection


def test_a_server_that_cannot_be_asked_says_why(admin: Person, stand_in: StandIn) -> None:
    connect(admin, base_url=stand_in.base_url)
    stand_in.faults.append(faults.sign_in_page())
    with pytest.raises(UserError, match="something other than JSON"):
        services.connection_for_link(parse_link(stand_in.link(awkward.ORPHANS)))
