"""Incidents, participants and timeline over the API."""

import pytest

from postmortem.accounts.models import Role
from postmortem.incidents.models import Incident
from tests.api.client import Api
from tests.builders import make_change, make_feature, make_incident, make_person

pytestmark = pytest.mark.django_db


def test_open_read_and_edit(api):
    new = api.post("incidents/", {"title": "Slow answers", "feature_name": "Search", "severity": "sev3"})
    api.number = new["number"]
    assert api.get("./")["feature"]["name"] == "Search"
    changed = api.patch("./", {"revision": 1, "summary": "It was slow.", "onset_at": "2026-03-09T10:40:00+01:00"})
    assert changed["revision"] == 2 and changed["onset_at"] == "2026-03-09T09:40:00Z"


def test_bad_bodies_are_one_sentence(api):
    assert api.post("incidents/", {"title": "x", "severity": "sev3"}, expect=400)["detail"] == (
        "feature_name: This field is required."
    )
    answer = api.patch(
        "./", {"revision": 1, "onset_at": "2026-03-09T12:00Z", "detected_at": "2026-03-08T12:00Z"}, expect=400
    )
    assert answer["detail"].startswith("The time of detection (2026-03-08 12:00) is before that of onset")
    assert api.patch("./", {"title": "No revision"}, expect=400)["detail"] == "revision: This field is required."


def test_a_lost_edit_is_409_with_what_is_stored(api):
    api.patch("./", {"revision": 1, "title": "First"})
    answer = api.patch("./", {"revision": 1, "title": "Second"}, expect=409)
    assert answer["current"] == {"title": "First"} and answer["revision"] == 2
    assert Incident.objects.get().title == "First"


def test_a_viewer_reads_and_is_told_whom_to_ask(viewer):
    assert viewer.get("./")["title"]
    answer = viewer.patch("./", {"revision": 1, "title": "Mine"}, expect=403)
    assert answer["detail"].endswith("Ask the facilitator or an administrator.")


def test_what_one_may_not_see_is_not_there(api, viewer):
    hidden = make_incident("INC-2026-0002", visibility="participants")
    viewer.number = hidden.number
    for method in ("get", "patch", "delete", "post", "put"):
        answer = viewer.ask(method, "./", {"revision": 1}, expect=404)
        assert answer["detail"] == "There is no incident INC-2026-0002, or you may not see it."
    assert [row["number"] for row in viewer.get("incidents/")["results"]] == ["INC-2026-0001"]


def test_the_list_is_searched_paged_and_bounded(api, django_assert_max_num_queries):
    for index in range(2, 12):
        make_incident(f"INC-2026-{index:04d}", title=f"Case {index}", feature=make_feature(f"Feature {index}"))
    with django_assert_max_num_queries(4):
        page = api.get("incidents/", {"limit": 5})
    assert page["count"] == 11 and len(page["results"]) == 5
    assert api.get("incidents/", {"text": "feature 7"})["count"] == 1
    assert api.get("incidents/", {"status": "published"})["count"] == 0


def test_participants(api, viewer):
    priya = make_person()
    part = api.post("./participants/", {"person": priya.pk, "role": "layer_lead", "layer": "prompt"})
    assert part["person"]["name"] == "Priya Nair"
    assert [row["role"] for row in api.get("./participants/")["results"]] == ["facilitator", "layer_lead"]
    assert (
        "needs a layer" in api.post("./participants/", {"person": priya.pk, "role": "layer_lead"}, expect=400)["detail"]
    )
    assert "no person 999" in api.post("./participants/", {"person": 999, "role": "viewer"}, expect=400)["detail"]
    viewer.delete(f"./participants/{part['id']}/", expect=403)
    api.delete(f"./participants/{part['id']}/")
    api.delete(f"./participants/{part['id']}/", expect=404)


def test_timeline(api, viewer):
    make_change()
    note = api.post("./timeline/", {"at": "2026-03-09T12:00:00Z", "text": "First ticket"})
    kinds = [(row["kind"], row["note"]) for row in api.get("./timeline/")["results"]]
    assert ("note", note["id"]) in kinds and ("change", None) in kinds
    assert api.patch(f"./timeline/{note['id']}/", {"hidden": True})["hidden"] is True
    assert "note" not in [row["kind"] for row in api.get("./timeline/")["results"]]
    viewer.patch(f"./timeline/{note['id']}/", {"hidden": False}, expect=403)
    assert "at" in api.post("./timeline/", {"at": "noon", "text": "x"}, expect=400)["detail"]


def test_bodies_are_bounded(api):
    big = api.client.post(
        "/api/incidents/", data='{"title": "' + "x" * 6_000_000 + '"}', content_type="application/json"
    )
    assert big.status_code in (400, 413)
    deep = api.client.post("/api/incidents/", data="[" * 100_000, content_type="application/json")
    assert deep.status_code == 400
    array = api.client.post("/api/incidents/", data="[]", content_type="application/json")
    assert array.json()["detail"] == "Send a JSON object."
    text = api.client.post("/api/incidents/", data="x", content_type="text/plain")
    assert text.status_code == 415


def test_people_teams_and_features(api, administrator):
    assert api.get("people/")["count"] >= 1
    team = administrator.post("teams/", {"name": "Payments"})
    person = administrator.post("people/", {"email": "new@example.org", "name": "New Person", "team": team["id"]})
    assert person["team"]["name"] == "Payments" and "password" not in person
    assert (
        "has an account already"
        in administrator.post("people/", {"email": "new@example.org", "name": "Again"}, expect=400)["detail"]
    )
    assert (
        "no team 999"
        in administrator.post("people/", {"email": "x@example.org", "name": "X", "team": 999}, expect=400)["detail"]
    )
    assert api.post("teams/", {"name": "Mine"}, expect=403)["detail"].endswith("Ask an administrator.")
    api.post("people/", {"email": "y@example.org", "name": "Y"}, expect=403)
    assert [row["name"] for row in api.get("teams/")["results"]] == ["Payments"]
    assert api.get("features/")["results"][0]["name"] == "Help Centre Assistant"


def test_the_api_is_for_active_people_of_every_role(incident):
    for role in Role.values:
        assert Api(make_person(f"A {role}", role), incident.number).get("./")["number"] == incident.number
