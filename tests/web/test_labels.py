"""Labels one after another, on pages and by the API."""

import json
import re

import pytest
from django.urls import reverse

from postmortem.accounts.models import AuditEntry, Role
from postmortem.lib.clock import parse_moment
from postmortem.traces import services as traces
from postmortem.traces.labelling import label_counts, next_to_label
from postmortem.traces.labels import label_trace
from postmortem.traces.models import Trace, TraceLabel
from tests.builders import make_incident, make_person
from tests.web.builders import HTMX, import_traces

pytestmark = pytest.mark.django_db


@pytest.fixture
def reviewer():
    return make_person("Priya Nair", Role.REVIEWER)


@pytest.fixture
def incident(reviewer):
    windows = {
        "baseline_start": "2026-03-02T00:00:00Z", "baseline_end": "2026-03-03T00:00:00Z",
        "incident_start": "2026-03-03T00:00:00Z", "incident_end": "2026-03-04T00:00:00Z",
    }  # fmt: skip
    incident = make_incident(**{name: parse_moment(text) for name, text in windows.items()})
    import_traces(incident, reviewer, count=48)
    return incident


def test_the_sample_alternates_between_the_windows_and_ends(incident, reviewer):
    for place in range(48):
        trace = next_to_label(incident, place)
        early = trace.timestamp < incident.incident_start
        assert early == (place % 2 == 0)
        label_trace(trace=trace, by=reviewer, value="fine" if early else "fail")
    assert next_to_label(incident, 48) is None
    assert label_counts(incident) == {"baseline": (24, 0), "incident": (24, 24)}


def test_one_labels_by_key_after_key(client, incident, reviewer):
    client.force_login(reviewer)
    page = client.get(reverse("label", args=[incident.number])).content.decode()
    for value in ("fail", "fine"):
        address = re.search(r'hx-post="([^"]+/label/)"', page)[1]
        page = client.post(
            address, {"value": value, "place": "1"}, headers=HTMX | {"HX-Target": "label-card"}
        ).content.decode()
        assert "<html" not in page
    assert list(TraceLabel.objects.order_by("pk").values_list("value", flat=True)) == ["fail", "fine"]
    assert "Your last: fine" in page and "Latest labels" in page
    back = re.search(r'action="([^"]+/label/withdraw/)"', page)[1]
    page = client.post(back, {"place": "1"}, headers=HTMX | {"HX-Target": "label-card"}).content.decode()
    assert TraceLabel.objects.filter(withdrawn_at=None).count() == 1 and "taken back" in page
    found = client.get(reverse("trace-list", args=[incident.number]), {"label": "fail"}).content.decode()
    assert "1 trace" in found


def test_without_scripts_and_with_nonsense(client, incident, reviewer):
    client.force_login(reviewer)
    trace = Trace.objects.first()
    address = reverse("trace-label", args=[incident.number, trace.pk])
    assert client.post(address, {"value": "fine", "back": "trace"}).url.endswith(f"/traces/{trace.pk}/")
    assert client.post(address, {"value": "odd"}).status_code == 302
    assert TraceLabel.objects.count() == 1


def test_viewers_look_only(client, incident):
    client.force_login(make_person("Vera Look", Role.VIEWER))
    page = client.get(reverse("label", args=[incident.number])).content.decode()
    assert "You may look, but not label." in page and 'name="value"' not in page
    trace = Trace.objects.first()
    assert client.post(reverse("trace-label", args=[incident.number, trace.pk]), {"value": "fail"}).status_code == 403


def test_in_clear_by_a_form_only_and_recorded(client, incident, reviewer):
    trace = Trace.objects.first()
    look = reverse("trace-clear", args=[incident.number, trace.pk])
    part = reverse("trace-observation", args=[incident.number, trace.pk, 0])
    client.force_login(reviewer)
    assert client.get(look).status_code == 405 and client.post(look).status_code == 403
    assert client.post(part).status_code == 403
    assert "See in clear" not in client.get(reverse("trace-detail", args=[incident.number, trace.pk])).content.decode()
    facilitator = make_person("Jun Sato", Role.FACILITATOR)
    client.force_login(facilitator)
    page = client.get(reverse("trace-detail", args=[incident.number, trace.pk])).content.decode()
    assert "See in clear (this is recorded)" in page
    assert "You see this in clear" in client.post(look).content.decode()
    assert AuditEntry.objects.filter(action="see in clear", person=facilitator).count() == 1


def test_what_was_found_at_import_is_said(client, incident, reviewer):
    row = {"id": "mail", "timestamp": "2026-03-02T00:00:00Z", "facets": {}, "input": "I am jane@example.org"}
    traces.import_file(incident=incident, by=reviewer, filename="mail.jsonl", data=json.dumps(row).encode())
    client.force_login(reviewer)
    mail = Trace.objects.get(external_id="mail")
    page = client.get(reverse("trace-detail", args=[incident.number, mail.pk])).content.decode()
    assert "are masked: e-mail address 1×." in page and "jane@example.org" not in page
    listed = client.get(f"/api/incidents/{incident.number}/traces/{mail.pk}/").content.decode()
    assert "jane@example.org" not in listed and "[masked: e-mail address]" in listed


def test_the_api_labels_and_takes_back(client, incident, reviewer):
    client.force_login(reviewer)
    trace = Trace.objects.first()
    address = f"/api/incidents/{incident.number}/traces/{trace.pk}/label/"
    made = client.post(address, {"value": "fail"}, content_type="application/json")
    assert made.status_code == 201 and made.json()["value"] == "fail"
    assert client.post(address, {"value": "odd"}, content_type="application/json").status_code == 400
    levels = client.get(f"/api/incidents/{incident.number}/labels/levels/").json()
    assert levels["windows"]["baseline"]["count"] == 1 and levels["difference"] is None
    assert client.delete(address).status_code == 204 and client.delete(address).status_code == 404
    listed = client.get(f"/api/incidents/{incident.number}/labels/").json()
    assert listed["count"] == 1 and listed["results"][0]["withdrawn_at"]
    assert client.post(f"/api/incidents/{incident.number}/traces/{trace.pk}/clear/").status_code == 403


def test_a_trace_stands_beside_a_healthy_one(client, incident, reviewer):
    client.force_login(reviewer)
    bad = Trace.objects.get(external_id="trace-0040")
    page = client.get(reverse("trace-compare", args=[incident.number, bad.pk])).content.decode()
    assert "1 version moved between a healthy answer and this one" in page
    assert "prompt_version from v42 to v43" in page
    found = client.get(f"/api/incidents/{incident.number}/traces/{bad.pk}/compare/").json()
    assert found["moved"] == ["prompt_version"]
    first = Trace.objects.get(external_id="trace-0000")
    alone = client.get(reverse("trace-compare", args=[incident.number, first.pk])).content.decode()
    assert "No similar healthy trace" in alone
    assert client.get(f"/api/incidents/{incident.number}/traces/{first.pk}/compare/").status_code == 400
