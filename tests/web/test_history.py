"""The history page: differences, filters, undo from the page and over the API."""

import pytest
from django.urls import reverse

from postmortem.accounts.models import AuditEntry, Role
from postmortem.incidents.services import update_incident
from postmortem.review.services import add_evidence
from tests.api.client import Api
from tests.builders import make_incident, make_person

pytestmark = pytest.mark.django_db


@pytest.fixture
def helen():
    return make_person("Helen Lindqvist", Role.FACILITATOR, email="facilitator@example.org")


def test_a_change_shows_its_difference_and_is_undone_from_the_page(client, helen):
    incident = make_incident(by=helen)
    update_incident(incident=incident, by=helen, revision=1, title="Refund answers <b>failed</b>")
    client.force_login(helen)
    page = client.get(reverse("history", args=[incident.number])).content.decode()
    assert "<del>went stale</del>" in page and "&lt;b&gt;failed" in page and "<b>failed" not in page
    entry = AuditEntry.objects.get(action="incident.update")
    back = reverse("history", args=[incident.number]) + "?kind=record"
    answer = client.post(reverse("history-undo", args=[incident.number, entry.pk]), {"back": back})
    assert answer.url == back
    incident.refresh_from_db()
    assert incident.title == "Refund answers went stale"
    assert "undone" in client.get(back).content.decode()
    away = {"back": "https://elsewhere.example/"}
    assert client.post(reverse("history-undo", args=[incident.number, entry.pk]), away).url.startswith("/incidents/")


def test_the_filter_shows_one_person_and_one_kind(client, helen, django_assert_max_num_queries):
    incident, ana = make_incident(by=helen), make_person("Ana Costa")
    add_evidence(incident=incident, by=ana, layer="model", direction="for", text="Ana's piece")
    add_evidence(incident=incident, by=helen, layer="model", direction="for", text="Helen's piece")
    client.force_login(helen)
    with django_assert_max_num_queries(70):
        page = client.get(reverse("history", args=[incident.number]), {"person": ana.pk, "kind": "evidence"})
    text = page.content.decode()
    assert "Ana&#x27;s piece" in text and "Helen&#x27;s piece" not in text
    assert "Nothing of this kind" in client.get(page.wsgi_request.path, {"kind": "graph"}).content.decode()


def test_the_api_tells_and_undoes(helen):
    incident = make_incident(by=helen)
    add_evidence(incident=incident, by=helen, layer="model", direction="for", text="Slow answers")
    api = Api(helen, incident.number)
    (line,) = api.get("./history/?kind=evidence")["results"]
    assert (
        line["may_undo"]
        and {"label": "Text", "pieces": [{"kind": "new", "text": "Slow answers"}]} in line["differences"]
    )
    assert "kind of change" in api.get("./history/?kind=weather", expect=400)["detail"]
    viewer = Api(make_person("Vic", Role.VIEWER), incident.number)
    viewer.post("./history/", {"key": line["key"]}, expect=403)
    api.post("./history/", {"key": line["key"]}, expect=204)
    assert not incident.evidence.exists()
    api.post("./history/", {"key": line["key"]}, expect=400)
