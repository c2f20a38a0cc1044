"""Texts that are written together, and the meeting, over the API."""

import pytest

pytestmark = pytest.mark.django_db


def test_a_text_is_saved_merged_and_refused_with_what_is_stored(api, viewer):
    first = api.put("./texts/meeting/", {"base": "", "text": "one two three\n"})
    assert first["text"] == "one two three\n" and first["revision"] == 1
    api.put("./texts/meeting/", {"base": "one two three\n", "text": "one 2 three\n"})
    merged = api.put("./texts/meeting/", {"base": "one two three\n", "text": "one two three\nfour\n"})
    assert merged["text"] == "one 2 three\nfour\n"
    refused = api.put("./texts/meeting/", {"base": "one two three\n", "text": "one zwei three\n"}, expect=409)
    assert "same words" in refused["detail"]
    assert api.get("./texts/meeting/")["text"] == "one 2 three\nfour\n"
    assert [one["key"] for one in api.get("./texts/")["results"]] == ["meeting"]
    assert "has no text" in api.get("./texts/password/", expect=400)["detail"]
    viewer.put("./texts/meeting/", {"base": "", "text": "x"}, expect=403)


def test_a_meeting_is_started_moved_noted_and_ended(api, viewer):
    assert "start one" in api.get("./meeting/", expect=400)["detail"]
    viewer.post("./meeting/", {}, expect=403)
    begun = api.post("./meeting/", {"minutes": 45})
    assert len(begun["agenda"]) == 8 and begun["agenda"][0]["is_current"]
    moved = api.patch("./meeting/", {"position": 2, "revision": begun["revision"]})
    assert moved["agenda"][2]["is_current"]
    api.patch("./meeting/", {"position": 1, "revision": begun["revision"]}, expect=409)
    api.patch("./meeting/", {"revision": moved["revision"]}, expect=400)
    api.post("./meeting/notes/", {"kind": "decision", "text": "Roll back in the EU"})
    quiet = viewer.post("./meeting/notes/", {"kind": "concern", "text": "Too fast", "named": False})
    assert quiet["written_by"] is None
    assert [note["text"] for note in viewer.get("./meeting/")["notes"]] == ["Roll back in the EU"]
    viewer.post(f"./meeting/notes/{quiet['id']}/settle/", expect=403)
    api.post(f"./meeting/notes/{quiet['id']}/settle/", expect=204)
    api.delete(f"./meeting/notes/{quiet['id']}/settle/", expect=204)
    notes = {note["kind"]: note for note in api.get("./meeting/")["notes"]}
    assert notes["concern"]["settled_at"] is None
    api.delete(f"./meeting/notes/{quiet['id']}/", expect=404)
    viewer.delete(f"./meeting/notes/{notes['decision']['id']}/", expect=403)
    api.delete(f"./meeting/notes/{notes['decision']['id']}/", expect=204)
    struck = api.get("./history/?kind=meetings")["results"][0]
    assert struck["action"] == "meeting.undecide" and struck["may_undo"]
    api.post("./history/", {"key": struck["key"]}, expect=204)
    ended = api.patch("./meeting/", {"end": True, "revision": moved["revision"]})
    assert ended["ended_at"] and not any(item["is_current"] for item in ended["agenda"])
    assert api.get("./presence/")["results"] == []
