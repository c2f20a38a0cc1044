"""The symptom finder's page and resource."""

import pytest
from django.urls import reverse

from postmortem.accounts.models import Role
from postmortem.incidents.models import Status
from postmortem.lib.clock import parse_moment
from tests.builders import make_incident, make_person
from tests.web.builders import import_traces

pytestmark = pytest.mark.django_db


@pytest.fixture
def reviewer():
    return make_person("Priya Nair", Role.REVIEWER)


@pytest.fixture
def incident(reviewer):
    windows = {
        "baseline_start": "2026-03-02T00:00:00Z", "baseline_end": "2026-03-04T00:00:00Z",
        "incident_start": "2026-03-04T00:00:00Z", "incident_end": "2026-03-06T00:00:00Z",
    }  # fmt: skip
    incident = make_incident(**{name: parse_moment(text) for name, text in windows.items()})
    import_traces(incident, reviewer, count=96)
    return incident


def test_one_click_picks_the_signal(client, incident, reviewer):
    client.force_login(reviewer)
    page = client.get(reverse("symptoms", args=[incident.number])).content.decode()
    assert "1 signal moved in the incident window" in page and "grounded" in page
    chosen = {"signal": "grounded", "worse": "lower", "revision": str(incident.revision)}
    answer = client.post(reverse("symptoms-choose", args=[incident.number]), chosen)
    assert answer.url == reverse("attribution", args=[incident.number])
    incident.refresh_from_db()
    assert (incident.signal, incident.worse) == ("grounded", "lower")
    again = client.post(reverse("symptoms-choose", args=[incident.number]), chosen)  # with an old revision
    assert again.url == reverse("symptoms", args=[incident.number])


def test_nonsense_and_viewers_choose_nothing(client, incident, reviewer):
    client.force_login(reviewer)
    for odd in ({}, {"signal": "zebra", "worse": "lower", "revision": "1"}, {"signal": "grounded", "worse": "up"}):
        assert client.post(reverse("symptoms-choose", args=[incident.number]), odd).status_code == 302
    client.force_login(make_person("Vera Look", Role.VIEWER))
    assert "Attribute grounded" not in client.get(reverse("symptoms", args=[incident.number])).content.decode()
    assert client.post(reverse("symptoms-choose", args=[incident.number])).status_code == 403
    incident.refresh_from_db()
    assert incident.signal == ""


def test_without_windows_it_leads_to_them(client, reviewer):
    bare = make_incident("INC-2026-0009", status=Status.DRAFT)
    client.force_login(reviewer)
    assert "Set the windows" in client.get(reverse("symptoms", args=[bare.number])).content.decode()
    assert client.get(f"/api/incidents/{bare.number}/symptoms/").status_code == 400


def test_the_resource_says_the_same(client, incident, reviewer):
    client.force_login(reviewer)
    found = client.get(f"/api/incidents/{incident.number}/symptoms/").json()
    assert found["signals"][0]["signal"] == "grounded" and found["signals"][0]["moved"]
    assert found["signals"][0]["difference"]["estimate"] == -1.0
