"""The stream tells open pages what others do, in every process, on both databases."""

import json
import threading
import time

import pytest
from django.test import Client
from django.urls import reverse

from postmortem.accounts.listener import RESYNC, Listener
from postmortem.accounts.models import AuditEntry, Role
from postmortem.incidents.models import Visibility
from postmortem.incidents.services import add_timeline_entry
from postmortem.lib.clock import utc_now
from postmortem.lib.layers import Layer
from postmortem.review import meeting as meetings
from postmortem.review.shared_text import read_text, save_text
from postmortem.web import live
from tests.builders import make_incident, make_person


@pytest.fixture(autouse=True)
def no_stream_outlives_its_test(db):
    yield
    live.listener().close()


def _signed_in(person):
    client = Client()
    client.force_login(person)
    return client


def _events(response, wanted: int, seconds: float = 5.0) -> list[tuple[str, dict]]:
    found: list[tuple[str, dict]] = []
    until = time.monotonic() + seconds
    for chunk in response.streaming_content:
        for block in chunk.decode().split("\n\n"):
            lines = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line and line[0] != ":")
            if "event" in lines:
                found.append((lines["event"], json.loads(lines["data"])))
        if len(found) >= wanted or time.monotonic() > until:
            break
    response.close()
    return found


@pytest.mark.django_db(transaction=True)
def test_a_text_that_somebody_saves_reaches_an_open_page_within_a_second(monkeypatch):
    monkeypatch.setattr(live, "_BEAT_SECONDS", 3.0)
    incident = make_incident()
    ana, ben = make_person("Ana Ruiz"), make_person("Ben Okafor")
    response = _signed_in(ana).get(reverse("live-stream", args=[incident.number]))
    assert response["Content-Type"] == "text/event-stream" and response["Cache-Control"] == "no-store"
    began: list[float] = []

    def write() -> None:
        time.sleep(0.6)
        began.append(time.monotonic())
        save_text(incident=incident, by=ben, key="meeting", base="", text="Ben writes.")
        add_timeline_entry(incident=incident, by=ben, at=utc_now(), text="Ben notes.")

    writer = threading.Thread(target=write)
    writer.start()
    events = _events(response, 3)
    took = time.monotonic() - began[0]
    writer.join()
    assert events[0][0] == "resync" and events[0][1]["texts"] == []
    assert ("text", "Ben writes.", "Ben Okafor") in [(name, data.get("text"), data.get("by")) for name, data in events]
    assert [data["action"] for name, data in events if name == "changed"] == ["timeline.add"]
    assert took < 1.5


@pytest.mark.django_db(transaction=True)
def test_a_listener_starts_with_its_first_page_and_ends_after_its_last():
    incident = make_incident()
    heard = Listener(lambda number, topic: None if topic == RESYNC else f"{number} {topic}".encode())
    with heard.subscribe(incident.number) as mine, heard.subscribe("INC-2026-0002") as other:
        meetings.be_present(incident=incident, by=incident.created_by, tab="a")
        assert mine.wait(3) == [f"{incident.number} presence".encode()]
        assert other.wait(0.1) == [] and heard.count == 2
    assert heard.count == 0


@pytest.mark.django_db(transaction=True)
def test_after_an_interruption_pages_are_told_to_read_everything_again():
    incident = make_incident()
    broken = ["presence"]

    def describe(number: str, topic: str) -> bytes:
        if topic in broken:
            broken.remove(topic)
            raise RuntimeError("the connection is gone")
        return topic.encode()

    heard = Listener(describe)
    with heard.subscribe(incident.number) as mine:
        meetings.be_present(incident=incident, by=incident.created_by, tab="a")
        assert mine.wait(5) == [RESYNC.encode()]
        meetings.leave(incident=incident, by=incident.created_by, tab="a")
        assert mine.wait(5) == [b"presence"]


@pytest.mark.django_db
def test_no_page_is_told_that_a_concern_was_raised():
    incident = make_incident()
    meeting = meetings.start_meeting(incident=incident, by=incident.created_by, layers=[])
    told = live._describe(incident.number, f"audit {AuditEntry.objects.latest('pk').pk}")
    assert told is not None and b"meeting.start" in told
    ana = make_person("Ana Ruiz")
    note = meetings.raise_concern(meeting=meeting, by=ana, text="We skip the judge")
    assert live._describe(incident.number, f"audit {AuditEntry.objects.latest('pk').pk}") is None
    meetings.settle_concern(note=note, by=incident.created_by)
    assert live._describe(incident.number, f"audit {AuditEntry.objects.latest('pk').pk}") is None


@pytest.mark.django_db
def test_a_page_that_was_away_reads_everything_at_once():
    incident = make_incident()
    save_text(incident=incident, by=incident.created_by, key="meeting", base="", text="Kept.")
    meetings.be_present(incident=incident, by=incident.created_by, tab="a", place="Review")
    said = _signed_in(incident.created_by).get(reverse("live-state", args=[incident.number])).json()
    assert [one["text"] for one in said["texts"]] == ["Kept."]
    assert said["present"][0]["place"] == "Review"


@pytest.mark.django_db
def test_saving_answers_with_the_merged_text_or_with_both():
    incident = make_incident()
    url = reverse("live-text", args=[incident.number])
    client = _signed_in(incident.created_by)
    first = client.post(url, {"key": "meeting", "base": "", "text": "one two three"})
    assert first.status_code == 200 and first.json()["revision"] == 1
    client.post(url, {"key": "meeting", "base": "one two three", "text": "one 2 three"})
    merged = client.post(url, {"key": "meeting", "base": "one two three", "text": "one two three four"})
    assert merged.json()["text"] == "one 2 three four"
    refused = client.post(url, {"key": "meeting", "base": "one two three", "text": "one zwei three"})
    assert refused.status_code == 409 and refused.json()["text"] == "one 2 three four"
    unknown = client.post(url, {"key": "password", "base": "", "text": "x"})
    assert unknown.status_code == 400 and "has no text" in unknown.json()["detail"]


@pytest.mark.django_db
def test_hidden_incidents_have_no_live_pages_and_streams_are_bounded(settings):
    hidden = make_incident("INC-2026-0003", visibility=Visibility.PARTICIPANTS)
    client = _signed_in(make_person("Ana Ruiz"))
    for name in ("live-stream", "live-state", "meeting"):
        assert client.get(reverse(name, args=[hidden.number])).status_code == 404
    settings.LIVE_STREAMS_PER_PROCESS = 0
    seen = make_incident("INC-2026-0004")
    assert client.get(reverse("live-stream", args=[seen.number])).status_code == 503
    assert client.post(reverse("live-here", args=[seen.number])).status_code == 400


@pytest.mark.django_db
def test_a_meeting_is_held_from_start_to_end_without_a_script():
    incident = make_incident()
    client = _signed_in(incident.created_by)
    page = reverse("meeting", args=[incident.number])
    assert "No meeting is going on" in client.get(page).content.decode()
    client.post(reverse("meeting-start", args=[incident.number]), {"minutes": "45"})
    assert "What happened" in client.get(page).content.decode()
    client.post(reverse("meeting-decision", args=[incident.number]), {"text": "Roll back in the EU <b>now</b>"})
    client.post(reverse("meeting-notes", args=[incident.number]), {"text": "Long notes", "text_base": ""})
    client.post(reverse("meeting-concern", args=[incident.number]), {"text": "Too fast"})
    shown = client.get(page).content.decode()
    assert "Roll back in the EU &lt;b&gt;now&lt;/b&gt;" in shown and "Long notes" in shown and "without a name" in shown
    meeting = meetings.open_meeting(incident)
    client.post(reverse("meeting-move", args=[incident.number]), {"position": "3", "revision": str(meeting.revision)})
    stale = client.post(
        reverse("meeting-move", args=[incident.number]), {"position": "1", "revision": "1"}, follow=True
    )
    assert "moved the meeting on meanwhile" in stale.content.decode()
    meeting = meetings.open_meeting(incident)
    assert meeting.position == 3
    client.post(reverse("meeting-move", args=[incident.number]), {"end": "1", "revision": str(meeting.revision)})
    assert "Earlier meetings" in client.get(page).content.decode()


def test_a_long_text_travels_as_what_changed_in_it(client):
    incident = make_incident()
    client.force_login(incident.created_by)
    address = f"/incidents/{incident.number}/live/text/"
    base = "a line of a long note\n" * 100
    save_text(incident=incident, by=incident.created_by, key="meeting", base="", text=base)
    ana = make_person("Ana Ruiz")
    save_text(incident=incident, by=ana, key="meeting", base=base, text=f"{base}hers\n")
    mine = {"key": "meeting", "base": base, "head": len(base), "tail": 0, "put": "mine\n"}
    said = client.post(address, mine).json()
    assert "text" not in said and said["put"] == "hers\n" and said["revision"] == 3
    assert read_text(incident, "meeting").text == f"{base}hers\nmine\n"
    refused = client.post(address, mine | {"head": len(base) + 1})
    assert refused.status_code == 400 and "does not fit" in refused.json()["detail"]
    assert client.post(address, mine | {"head": "x"}).status_code == 400


def test_pages_hear_what_changed_since_they_were_told_and_now_and_then_the_whole():
    incident = make_incident()
    live._told.clear()
    text, told = "a line of a long note\n" * 100, []
    for number in range(40):
        before, text = text, f"{text}{number}\n"
        save_text(incident=incident, by=incident.created_by, key="meeting", base=before if number else "", text=text)
        event = live._describe(incident.number, "text meeting").decode()
        told.append(json.loads(event.split("data: ", 1)[1]))
    assert "text" in told[0] and told[0]["revision"] == 1
    assert told[1]["put"] == "1\n" and told[1]["from"] == 1 and "text" not in told[1]
    assert [one["revision"] for one in told if "text" in one] == [1, 32]


@pytest.mark.django_db
def test_the_shared_screen_shows_no_concern_and_every_page_what_is_discussed():
    incident = make_incident(suspected_layer="model")
    client = _signed_in(incident.created_by)
    page = reverse("meeting", args=[incident.number])
    meeting = meetings.start_meeting(incident=incident, by=incident.created_by, layers=[Layer.RETRIEVAL])
    concern = meetings.raise_concern(meeting=meeting, by=make_person("Ana Ruiz"), text="We skip the judge")
    assert "We skip the judge" in client.get(page).content.decode()
    screen = client.get(page, {"screen": "1"}).content.decode()
    assert "We skip the judge" not in screen and "quiet" not in screen.split("<main")[1].replace('class="quiet', "")
    for again in ("", "1"):
        client.post(reverse("meeting-settle", args=[incident.number, concern.pk]), {"again": again})
        concern.refresh_from_db()
        assert (concern.settled_at is None) == bool(again)
    moved = client.post(
        reverse("meeting-move", args=[incident.number]), {"position": "1", "revision": "1"},
        headers={"referer": f"http://testserver{page}?screen=1"},
    )  # fmt: skip
    assert moved.url == f"{page}?screen=1"
    rail = client.get(reverse("evidence", args=[incident.number])).content.decode()
    assert "In the meeting" in rail and reverse("review-layer", args=[incident.number, "retrieval"]) in rail
    assert "concern" not in client.get(reverse("history", args=[incident.number])).content.decode().split("<main")[1]


@pytest.mark.django_db
def test_a_decision_is_struck_and_the_history_takes_that_back():
    incident = make_incident()
    client = _signed_in(incident.created_by)
    meeting = meetings.start_meeting(incident=incident, by=incident.created_by, layers=[])
    note = meetings.note_decision(meeting=meeting, by=incident.created_by, text="Roll back")
    viewer = _signed_in(make_person("Vic", Role.VIEWER))
    strike = reverse("meeting-strike", args=[incident.number, note.pk])
    assert viewer.post(strike).status_code == 403
    client.post(strike)
    assert not meeting.notes.exists()
    entry = AuditEntry.objects.get(action="meeting.undecide")
    client.post(reverse("history-undo", args=[incident.number, entry.pk]))
    assert meeting.notes.get().text == "Roll back"
