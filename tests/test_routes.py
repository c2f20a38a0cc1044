"""Every address of the product, found by asking the resolver: walked as nobody, and as somebody
who may not see an incident."""

import re
from dataclasses import dataclass

import pytest
from django.urls import URLPattern, get_resolver

from postmortem.accounts.models import Role
from postmortem.incidents.models import Incident, Visibility
from tests.builders import make_action, make_change, make_incident, make_participant, make_person, make_trace

pytestmark = pytest.mark.django_db

NUMBER = "INC-2026-0001"
ABSENT = "INC-2026-0999"
# Where somebody who is not signed in may do something: sign in.
OPEN = {"/sign-in/", "/admin/login/", "/api/auth/login/"}
WORDS = {
    "public_id": "00000000-0000-4000-8000-000000000000",
    "layer": "prompt",
    "view": "full",
    "form": "html",
    "place": "0",
    "item_number": "1",
    "action": "1",
    "run": "1",
}
PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")


@dataclass(frozen=True)
class Route:
    """One address. `template` still has its parameters."""

    template: str

    def address(self, number: str = NUMBER, rows: dict[str, int] | None = None) -> str:
        """The address with every parameter filled in; ids of rows go by the segment before them."""
        filled = []
        for part in self.template.split("/"):
            before = filled[-1] if filled else ""

            def value(match: re.Match[str], before: str = before) -> str:
                name = match[1]
                return number if name == "number" else WORDS.get(name) or str((rows or {}).get(before, 1))

            filled.append(PARAMETER.sub(value, part))
        return "/" + "/".join(filled)

    @property
    def is_api(self) -> bool:
        return self.template.startswith("api/")


def routes() -> list[Route]:
    return [Route(template) for template in sorted(_templates(get_resolver().url_patterns))]


def _templates(patterns: list, prefix: str = "") -> set[str]:
    found: set[str] = set()
    for pattern in patterns:
        template = prefix + str(pattern.pattern)
        if isinstance(pattern, URLPattern):
            # The administration's two patterns in regular expressions.
            template = re.sub(r"\^?\(\?P<app_label>.*", "accounts/", template)
            found.add(re.sub(r"\(\?P<url>.*", "nowhere/", template))
        else:
            found |= _templates(pattern.url_patterns, template)
    return found


def of_incidents() -> list[Route]:
    return [route for route in routes() if "<str:number>" in route.template]


def test_the_walk_finds_pages_api_and_administration():
    found = {route.template for route in routes()}
    assert {"", "sign-in/", "api/incidents/", "admin/", "admin/accounts/person/add/"} <= found
    assert len(of_incidents()) > 80
    assert not [address for address in (route.address() for route in routes()) if re.search(r"[<>()^$?]", address)]


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete"])
def test_nobody_gets_nowhere(client, method):
    make_incident(NUMBER)
    leaks = []
    for route in routes():
        address = route.address()
        if address in OPEN:
            continue
        answer = getattr(client, method)(address)
        if route.is_api:
            refused = answer.status_code == 401
        else:
            # A share link opens by its token alone; one that nobody made is not there.
            refused = (
                answer.status_code in {404, 405}
                if address.startswith("/shared/")
                else answer.status_code == 302 and re.match(r"/(sign-in|admin/login)/", answer["Location"])
            )
        if not refused:
            leaks.append((method, address, answer.status_code))
    assert not leaks


def test_the_open_addresses_only_sign_in(client):
    assert client.get("/sign-in/").status_code == 200
    assert client.get("/admin/login/").status_code == 200
    assert client.get("/api/auth/login/").status_code == 405
    assert client.post("/api/auth/login/", {}).status_code == 400


@pytest.fixture
def hidden():
    """A participants-only incident with something behind every kind of address."""
    incident = make_incident(NUMBER, visibility=Visibility.PARTICIPANTS)
    owner = incident.created_by
    part = make_participant(incident, owner, "facilitator")
    cause = incident.factors.create(kind="trigger", layer="prompt", text="A change", added_by=owner)
    impact = incident.factors.create(kind="impact", text="Wrong answers", added_by=owner)
    make_action(incident, owner)
    rows = {
        "participants": part.pk,
        "people": part.pk,
        "timeline": incident.timeline_entries.create(at=incident.created_at, text="Paged", written_by=owner).pk,
        "runs": incident.runs.create(kind="attribute", started_by=owner).pk,
        "traces": make_trace(incident).pk,
        "changes": make_change().pk,
        "factors": cause.pk,
        "edges": incident.causal_edges.create(cause=cause, effect=impact).pk,
        "evidence": incident.evidence.create(layer="prompt", direction="for", text="Seen", added_by=owner).pk,
    }
    return incident, rows


@pytest.mark.parametrize("role", [Role.VIEWER, Role.REVIEWER, Role.FACILITATOR])
@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete"])
def test_an_incident_that_one_may_not_see_is_not_there(client, hidden, method, role):
    """404 everywhere; where a page knows no such method, the answer for an absent incident is the same 405."""
    incident, rows = hidden
    incident.findings.create(number=1, method="x", code_version="x", inputs_sha256="0" * 64, result={})
    client.force_login(make_person("Vic Viewer", role))
    ask = getattr(client, method)
    leaks = []
    for route in of_incidents():
        answer, absent = ask(route.address(NUMBER, rows)), ask(route.address(ABSENT, rows))
        allowed = {404, 405} if not route.is_api else {404}
        if answer.status_code not in allowed or answer.status_code != absent.status_code:
            leaks.append((method, route.address(), answer.status_code, absent.status_code))
        said = answer.content.decode(errors="replace")
        assert "Refund answers went stale" not in said and "Helen Lindqvist" not in said, route.address()
    assert not leaks


def test_every_address_of_an_incident_answers_404_to_get_or_to_post(client, hidden):
    """So that the 405 above is never all there is to say."""
    _, rows = hidden
    client.force_login(make_person("Vic Viewer", Role.VIEWER))
    for route in of_incidents():
        address = route.address(NUMBER, rows)
        assert 404 in {client.get(address).status_code, client.post(address).status_code}, address


def test_an_address_cannot_borrow_the_rows_of_another_incident(client, hidden):
    """The hidden incident's ids below the number of an incident that one may edit."""
    _, rows = hidden
    person = make_person("Jun Sato", Role.FACILITATOR)
    mine = make_incident("INC-2026-0002", by=person)
    make_participant(mine, person, "facilitator")
    client.force_login(person)
    changes = rows["changes"]  # belong to the feature, which both share
    for route in of_incidents():
        match = re.search(r"(\w+)/<int:pk>", route.template)
        if match and match[1] in rows and rows[match[1]] != changes:
            for method in ("get", "post", "put", "patch", "delete"):
                answer = getattr(client, method)(route.address(mine.number, rows))
                assert answer.status_code in {404, 405}, (method, route.template, answer.status_code)
    hidden[0].refresh_from_db()
    assert hidden[0].participants.exists() and hidden[0].factors.count() == 2 and hidden[0].evidence.exists()


def test_the_addresses_lead_somewhere_for_those_who_may(client, hidden):
    """The walk above proves something only if these addresses answer at all."""
    incident, rows = hidden
    client.force_login(incident.created_by)
    answered = [route for route in of_incidents() if client.get(route.address(NUMBER, rows)).status_code == 200]
    assert len(answered) >= 30
    assert Incident.objects.count() == 1
