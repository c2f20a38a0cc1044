"""The facets page, the masking page and their resources."""

import pytest
from django.urls import reverse

from postmortem.accounts.models import Role
from postmortem.traces.models import FacetRule, RedactionPattern
from tests.builders import make_incident, make_person
from tests.web.builders import import_traces

pytestmark = pytest.mark.django_db


@pytest.fixture
def administrator():
    return make_person("Ada Min", Role.ADMINISTRATOR)


@pytest.fixture
def incident(administrator):
    incident = make_incident()
    import_traces(incident, administrator)
    return incident


def test_what_was_not_logged_becomes_an_action_in_one_click(client, incident, administrator):
    client.force_login(administrator)
    page = client.get(reverse("facets", args=[incident.number])).content.decode()
    assert "of 100 points" in page and "A silent provider update goes unnoticed." in page
    assert "facets.prompt_version" in page
    link = next(part for part in page.split('"') if "title=Record+model_version" in part).replace("&amp;", "&")
    form = client.get(link).content.decode()
    assert 'value="Record model_version on every trace"' in form
    assert 'value="instrument" selected' in form and 'value="model" selected' in form


def test_an_administrator_tries_adds_and_retires(client, incident, administrator):
    client.force_login(administrator)
    tried = client.get(reverse("facets", args=[incident.number]), {"name": "x", "path": "facets.region"})
    assert "is found on 12 of 12 sampled traces" in tried.content.decode()
    add = reverse("facet-add", args=[incident.number])
    assert client.post(add, {"name": "Bad Name", "path": "a"}).status_code == 400
    assert client.post(add, {"name": "zone", "path": "facets.region"}).status_code == 302
    rule = FacetRule.objects.get()
    assert client.post(reverse("facet-retire", args=[incident.number, rule.pk])).status_code == 302
    assert FacetRule.objects.filter(retired_at=None).count() == 0
    client.force_login(make_person("Jun Sato", Role.FACILITATOR))
    assert client.post(add, {"name": "zone", "path": "a"}).status_code == 403
    assert "Add this facet" not in client.get(reverse("facets", args=[incident.number])).content.decode()


def test_masking_is_an_administrators(client, administrator):
    client.force_login(administrator)
    address = reverse("masking")
    sample = {"kind": "customer", "pattern": "CUST-[0-9]+", "sample": "ask CUST-77"}
    tried = client.post(address, sample | {"try": "1"}).content.decode()
    assert '<mark class="masked">customer</mark>' in tried and not RedactionPattern.objects.exists()
    assert client.post(address, {"kind": "customer", "pattern": "("}).status_code == 400
    assert client.post(address, sample).status_code == 302
    row = RedactionPattern.objects.get()
    assert client.post(reverse("masking-retire", args=[row.pk])).status_code == 302
    client.force_login(make_person("Jun Sato", Role.FACILITATOR))
    assert client.get(address).status_code == 403


def test_the_resources(client, incident, administrator):
    client.force_login(administrator)
    found = client.get(f"/api/incidents/{incident.number}/facets/").json()
    assert 0 < found["points"] < 100 and found["missing"][0]["remedy"]
    body = {"name": "zone", "path": "facets.region"}
    made = client.post("/api/facet-rules/", body, content_type="application/json")
    assert made.status_code == 201
    assert client.post("/api/facet-rules/", body, content_type="application/json").status_code == 400
    assert client.get("/api/facet-rules/").json()["count"] == 1
    assert client.delete(f"/api/facet-rules/{made.json()['id']}/").status_code == 204
    pattern = client.post(
        "/api/redaction-patterns/", {"kind": "k", "pattern": "CUST-[0-9]+"}, content_type="application/json"
    )
    assert pattern.status_code == 201
    assert client.get("/api/redaction-patterns/").json()["count"] == 1
    assert client.delete(f"/api/redaction-patterns/{pattern.json()['id']}/").status_code == 204
    client.force_login(make_person("Jun Sato", Role.FACILITATOR))
    assert client.post("/api/facet-rules/", body, content_type="application/json").status_code == 403
    assert client.get("/api/redaction-patterns/").status_code == 403
