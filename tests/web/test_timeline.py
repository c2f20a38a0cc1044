"""The timeline page: notes on the reader's clock, marks, corrections, gaps, clocks; and the same over the API."""

import pytest
from django.urls import reverse

from postmortem.accounts.models import Role
from postmortem.incidents.services import add_timeline_entry
from postmortem.lib.clock import parse_moment
from tests.api.client import Api
from tests.builders import make_change, make_incident, make_person

pytestmark = pytest.mark.django_db
NOON = parse_moment("2026-03-09T12:00:00Z")


@pytest.fixture
def helen():
    return make_person("Helen Lindqvist", Role.FACILITATOR, email="facilitator@example.org", time_zone="Europe/Berlin")


@pytest.fixture
def incident(helen):
    return make_incident(by=helen, onset_at=NOON)


def test_a_note_typed_on_the_readers_clock_is_stored_in_utc(client, incident, helen):
    client.force_login(helen)
    page = reverse("incident-timeline", args=[incident.number])
    note = {"at": "2026-07-10T10:00", "zone": "Europe/Berlin", "text": "Paged", "kind": "alert"}
    client.post(page, note)
    client.post(page, note | {"at": "2026-07-10T10:00:00Z"})
    assert sorted(entry.at.hour for entry in incident.timeline_entries.all()) == [8, 10]
    text = client.get(page).content.decode()
    assert "10:00 CEST" in text and "10 Jul 2026 08:00" in text
    refused = client.post(page, note | {"at": "2026-03-29T02:30"})
    assert refused.status_code == 400 and "skipped" in refused.content.decode()


def test_entries_are_pinned_hidden_and_corrected_from_the_page(client, incident, helen):
    change = make_change(at=NOON)
    client.force_login(helen)
    key = f"change.{change.pk}"
    page = reverse("incident-timeline", args=[incident.number])
    mark = reverse("timeline-mark", args=[incident.number, key])
    client.post(mark, {"act": "pin"})
    client.post(mark, {"act": "hide"})
    assert "1 hidden" in client.get(page).content.decode()
    client.post(mark, {"act": "show"})
    correct = reverse("timeline-correct", args=[incident.number, key])
    form = {"correct-at": "2026-03-09T13:00:00", "correct-text": change.summary, "correct-zone": "UTC", "revision": "3"}
    assert client.post(correct, form).status_code == 302
    assert "assembled as" in client.get(page).content.decode()
    assert client.post(correct, form).status_code == 409
    client.post(correct, form | {"as_assembled": "1", "revision": "4"})
    assert "assembled as" not in client.get(page).content.decode()
    assert (
        client.post(reverse("timeline-mark", args=[incident.number, "change.999"]), {"act": "pin"}).status_code == 404
    )
    text = client.get(page).content.decode()
    assert "Nothing says when somebody first knew." in text and "To detect" in text


def test_a_note_is_corrected_with_its_history(client, incident, helen):
    note = add_timeline_entry(incident=incident, by=helen, at=NOON, text="Page sent")
    client.force_login(helen)
    correct = reverse("timeline-correct", args=[incident.number, f"note.{note.pk}"])
    form = {"correct-at": "2026-03-09T13:30", "correct-zone": "Europe/Berlin", "correct-text": "Page ignored",
            "correct-kind": "alert", "revision": "1"}  # fmt: skip
    client.post(correct, form)
    note.refresh_from_db()
    assert (note.at.hour, note.text, note.kind) == (12, "Page ignored", "alert")
    client.force_login(make_person("Vic", Role.VIEWER))
    assert client.post(correct, form).status_code == 403


def test_the_api_marks_corrects_and_tells_gaps_and_clocks(incident, helen):
    change = make_change(at=NOON)
    api = Api(helen, incident.number)
    note = api.post("./timeline/", {"at": "2026-03-09T14:00:00+02:00", "text": "Alert fired", "kind": "alert"})
    changed = api.patch(f"./timeline/{note['id']}/", {"text": "Alert ignored", "revision": 1, "pinned": True})
    assert (changed["text"], changed["pinned"], changed["kind"]) == ("Alert ignored", True, "alert")
    api.patch(f"./timeline/{note['id']}/", {"text": "Late", "revision": 1}, expect=409)
    mark = api.put("./timeline/marks/", {"key": f"change.{change.pk}", "hidden": True})
    assert mark["hidden"] and len(api.get("./timeline/?hidden=1")["results"]) == 3
    assert len(api.get("./timeline/")["results"]) == 2
    api.put("./timeline/marks/", {"key": "change.0", "hidden": True}, expect=400)
    found = api.get("./timeline/findings/")
    assert len(found["clocks"]) == 5 and found["clocks"][1]["seconds"] is None
    assert "detected_at" in [gap["field"] for gap in found["gaps"]]


def test_everybody_chooses_their_own_time_zone(client, helen):
    client.force_login(helen)
    client.post(reverse("time-zone"), {"time_zone": "America/New_York"})
    helen.refresh_from_db()
    assert helen.time_zone == "America/New_York"
    refused = client.post(reverse("time-zone"), {"time_zone": "Mars/Olympus"}, follow=True)
    assert "is not a time zone" in refused.content.decode()
    Api(helen).patch("auth/me/", {"time_zone": "Asia/Tokyo"}, expect=204)
    helen.refresh_from_db()
    assert helen.time_zone == "Asia/Tokyo"


def test_after_hiding_an_entry_the_page_stands_at_the_one_after_it(client, incident, helen):
    client.force_login(helen)
    first = add_timeline_entry(incident=incident, by=helen, at=parse_moment("2026-03-09T13:00:00Z"), text="Paged")
    second = add_timeline_entry(
        incident=incident, by=helen, at=parse_moment("2026-03-09T14:00:00Z"), text="Rolled back"
    )
    hidden = client.post(reverse("timeline-mark", args=[incident.number, f"note.{first.pk}"]), {"act": "hide"})
    assert hidden.url.endswith(f"#note.{second.pk}")
    last = client.post(reverse("timeline-mark", args=[incident.number, f"note.{second.pk}"]), {"act": "hide"})
    assert last.url.endswith("#time.onset_at")
    back = client.post(reverse("timeline-mark", args=[incident.number, f"note.{first.pk}"]), {"act": "restore"})
    assert back.url.endswith(f"#note.{first.pk}")
