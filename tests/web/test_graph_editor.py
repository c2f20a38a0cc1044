"""The graph editor: every edit is one POST that answers with the graph, its checks and what can be undone."""

import json

import pytest
from django.urls import reverse

from postmortem.accounts.models import Role
from postmortem.lib.clock import parse_moment
from postmortem.review.factors import add_factor, connect
from postmortem.review.suggesting import ChangeSketch, suggest_factors
from tests.api.client import Api
from tests.builders import make_action, make_change, make_incident, make_person
from tests.review.builders import finding_result, make_finding

pytestmark = pytest.mark.django_db


@pytest.fixture
def helen():
    return make_person("Helen Lindqvist", Role.FACILITATOR, email="facilitator@example.org")


@pytest.fixture
def incident(helen):
    return make_incident(by=helen)


@pytest.fixture
def step(client, incident, helen):
    client.force_login(helen)

    def act(name: str, expect: int = 200, **fields: object) -> dict:
        response = client.post(reverse("graph-edit", args=[incident.number]), {"act": name, **fields})
        assert response.status_code == expect, response.content
        return json.loads(response.content)

    return act


def add(step, text: str, leads_to: object = "", **fields: str) -> int:
    told = step("add", text=text, kind="trigger", layer="retrieval", leads_to=leads_to, **fields)
    return told["selected"]


def test_a_graph_is_built_checked_and_cut(step, incident, helen):
    encoder = add(step, "Encoder moved")
    told = step("add", text="No test of recall", kind="missing_guard", layer="infrastructure", leads_to=encoder)
    check = told["state"]["check"]
    assert check["acyclic"] and check["connected"] and not check["good"]
    assert [len(path) for path in check["uncut_paths"]] == [3] and len(check["cut_suggestion"]) == 1
    assert "1 path is not cut" in check["sentences"][0].lower()
    factor = incident.factors.get(pk=check["cut_suggestion"][0])
    make_action(incident, helen, cuts_factor=factor)
    state = Api(helen, incident.number).get("./graph/")
    assert state["check"]["good"] and state["check"]["sentences"] == []
    assert [node["cut_by"] for node in state["nodes"] if node["id"] == factor.pk] == [["A-1"]]
    assert "circle" in step("connect", cause=encoder, effect=told["selected"], expect=400)["said"]


def test_steps_are_undone_and_done_again_as_a_whole(step, incident, helen):
    first = add(step, "Encoder moved")
    state = step("undo")["state"]
    assert state["nodes"] == [] and state["may_redo"] and not state["may_undo"]
    state = step("redo")["state"]
    assert {node["id"] for node in state["nodes"]} >= {first} and len(state["edges"]) == 1
    assert state["may_undo"] and not state["may_redo"]
    step("undo")
    add(step, "Another")
    assert "nothing to do again" in step("redo", expect=400)["said"]
    other = make_person("Ana Costa", Role.REVIEWER)
    Api(other, incident.number).post("./graph/", {"step": "undo"}, expect=400)


def test_factors_are_changed_regrouped_and_taken_out(step, incident):
    one, two = add(step, "Encoder moved"), add(step, "Index stayed")
    revision = incident.factors.get(pk=one).revision
    words = {"id": one, "text": "Encoder v3", "kind": "trigger", "layer": "retrieval", "change": ""}
    step("update", **words, revision=revision)
    step("update", **words | {"text": "Late"}, revision=revision, expect=409)
    step("regroup", id=[one, two], layer="infrastructure", kind="")
    assert set(incident.factors.exclude(kind="impact").values_list("layer", flat=True)) == {"infrastructure"}
    step("undo")
    assert set(incident.factors.exclude(kind="impact").values_list("layer", flat=True)) == {"retrieval"}
    edge = incident.causal_edges.get(cause=one)
    step("claim", id=edge.pk, claim="Same hour")
    edge.refresh_from_db()
    assert edge.claim == "Same hour"
    step("disconnect", id=edge.pk)
    assert one in step("remove", id=two)["state"]["check"]["orphans"]
    step("undo"), step("undo")
    assert incident.causal_edges.filter(pk=edge.pk, claim="Same hour").exists()
    assert step("regroup", layer="model", expect=400)["said"].startswith("Choose at least one")
    assert step("explode", expect=400)["said"].startswith("The editor knows")


def test_the_findings_suggest_factors_that_are_added_in_one_step(step, incident):
    make_change("retrieval-1", layer="retrieval", summary="Encoder upgraded")
    make_finding(incident)
    key = "change-retrieval-1"
    assert key in {one["key"] for one in Api(incident.created_by, incident.number).get("./graph/")["suggestions"]}
    state = step("adopt", key=key)["state"]
    assert [node["change"] for node in state["nodes"] if node["kind"] == "trigger"] == ["retrieval-1"]
    assert key not in {one["key"] for one in state["suggestions"]}
    assert "gone" in step("adopt", key=key, expect=400)["said"]


def test_suggestions_name_unlogged_moves_and_late_detection():
    move = {"facet": "model_served", "layer": "model", "from": "a", "to": "b", "at": "2026-03-09T09:00:00Z", "count": 9}
    result = finding_result(reconciliation={"never_logged": [move], "never_observed": []})
    onset, late = parse_moment("2026-03-09T09:00:00Z"), parse_moment("2026-03-09T19:00:00Z")
    sketch = {"retrieval-1": ChangeSketch("retrieval-1", "retrieval", "Encoder", "ramp")}
    found = suggest_factors(result, sketch, there=(), texts=(), onset=onset, detected=late)
    assert [one.kind for one in found] == ["trigger", "latent_condition", "detection_gap"]
    assert found[2].text == "Nothing told anybody for 10 h"
    again = suggest_factors(result, sketch, there={"retrieval-1"}, texts={found[2].text}, onset=onset, detected=late)
    assert [one.kind for one in again] == ["latent_condition"]


def test_sixty_factors_stay_within_a_fixed_number_of_queries(client, step, incident, django_assert_max_num_queries):
    before = ""
    for count in range(60):
        before = add(step, f"Factor {count}", before if count % 6 else "")
    with django_assert_max_num_queries(70):
        page = client.get(reverse("graph-editor", args=[incident.number]))
    assert page.status_code == 200 and "graph-data" in page.content.decode()
    state = Api(incident.created_by, incident.number).get("./graph/")
    assert len(state["nodes"]) == 61
    places = {(node["x"], node["y"]) for node in state["nodes"]}
    assert len(places) == 61


def test_who_may_only_look_cannot_edit(client, incident):
    client.force_login(make_person("Vic", Role.VIEWER))
    assert client.post(reverse("graph-edit", args=[incident.number]), {"act": "undo"}).status_code == 403
    page = client.get(reverse("graph-editor", args=[incident.number])).content.decode()
    assert "data-editable" not in page


def test_the_graph_is_told_folded_on_the_page_and_over_rest(client):
    helen = make_person("Helen Lindqvist", Role.FACILITATOR, email="facilitator@example.org")
    incident = make_incident(by=helen)
    first = add_factor(incident=incident, by=helen, kind="trigger", layer="prompt", text="Prompt moved")
    impact = incident.factors.get(kind="impact")
    between = add_factor(incident=incident, by=helen, kind="amplifier", layer="model", text="Longer", leads_to=impact)
    connect(cause=first, effect=between, by=helen)
    client.force_login(helen)
    url = reverse("graph-state", args=[incident.number])
    whole = client.get(url).json()
    assert whole["total"] == len(whole["nodes"]) == 3 and len(whole["edges"]) == 2
    shown = client.get(url, {"hide": "model", "around": "x"}).json()
    assert {node["text"] for node in shown["nodes"]} == {"Prompt moved", impact.text}
    assert [(edge["id"], edge["claim"]) for edge in shown["edges"]] == [(0, "through 1 folded away")]
    assert shown["check"] == whole["check"] and shown["total"] == 3
    assert Api(helen, incident.number).get("./graph/?hide=model")["edges"] == shown["edges"]
    assert len(Api(helen, incident.number).get(f"./graph/?around={impact.pk}&open=1")["nodes"]) == 3
    asked = {"act": "update", "id": first.pk, "revision": 1, "kind": "trigger", "layer": "prompt", "text": "Moved"}
    told = client.post(reverse("graph-edit", args=[incident.number]), asked | {"hide": "model"}).json()
    assert {node["text"] for node in told["state"]["nodes"]} == {"Moved", impact.text}


def test_many_open_paths_are_told_by_their_fewest_cuts(client):
    helen = make_person("Helen Lindqvist", Role.FACILITATOR, email="facilitator@example.org")
    incident = make_incident(by=helen)
    last = add_factor(incident=incident, by=helen, kind="trigger", layer="prompt", text="The last gate")
    connect(cause=last, effect=incident.factors.get(kind="impact"), by=helen)
    for count in range(22):
        add_factor(incident=incident, by=helen, kind="trigger", layer="model", text=f"Cause {count}", leads_to=last)
    client.force_login(helen)
    for name in ("review", "graph-editor", "actions"):
        page = client.get(reverse(name, args=[incident.number])).content.decode().split("<main")[1]
        assert "The last gate" in page and f"?cuts={last.pk}" in page and "ore than 20 paths" in page
    review = client.get(reverse("review", args=[incident.number])).content.decode()
    assert "All 24, with their forms" in review and "24 factors and 23 connections" in review
    opened = client.get(reverse("review", args=[incident.number]), {"factor": last.pk}).content.decode()
    assert "<details open><summary>All 24" in opened
