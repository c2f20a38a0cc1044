"""Review, factors, actions and report over the API."""

import pytest

from postmortem.actions.models import ActionItem
from postmortem.lib.layers import LAYERS
from postmortem.review.checklist import load_checklist
from tests.api.client import Api
from tests.builders import make_action, make_incident, make_participant, make_person, make_trace

pytestmark = pytest.mark.django_db

DUE = "2200-01-31"
ACTION = {
    "title": "Pin the encoder", "layer": "retrieval", "due_on": DUE, "verification": "Grounded rate at least 92 %",
}  # fmt: skip


@pytest.fixture
def lead(incident):
    person = make_person("Priya Nair")
    make_participant(incident, person, "layer_lead", "retrieval")
    return Api(person, incident.number)


def test_four_layers_with_their_questions(api, django_assert_max_num_queries):
    with django_assert_max_num_queries(15):
        layers = api.get("./review/")
    assert [layer["layer"] for layer in layers] == [str(layer) for layer in LAYERS]
    prompt = api.get("./review/prompt/")
    assert len(prompt["questions"]) >= 8 and prompt["verdict"] is None
    assert api.get("./review/kernel/", expect=404)["detail"].startswith("The layers are model")


def test_answer_evidence_verdict_and_signature(api, lead, viewer, incident):
    question = load_checklist().sections[LAYERS[2]][0].id
    answer = api.post("./review/answers/", {"question_id": question, "value": "yes", "note": "Seen"}, expect=200)
    assert answer["revision"] == 1
    trace = make_trace(incident)
    no_evidence = {"value": "in", "reason": "The encoder moved"}
    assert "evidence" in lead.put("./review/retrieval/verdict/", no_evidence, expect=400)["detail"]
    piece = api.post("./review/retrieval/evidence/", {"direction": "for", "text": "Stale hits", "trace": trace.pk})
    assert api.get("./review/retrieval/evidence/")["results"][0]["trace"] == trace.pk
    verdict = lead.put("./review/retrieval/verdict/", {"value": "in", "reason": "The encoder moved"})
    assert (verdict["value"], verdict["decided_by"]) == ("in", "Priya Nair")
    assert (
        "reason"
        in lead.put("./review/retrieval/verdict/", {"value": "out", "reason": ""}, expect=400)["detail"].lower()
    )
    assert lead.post("./review/retrieval/sign-off/", expect=200)["signed_by"] == "Priya Nair"
    assert api.get("./review/retrieval/")["signed"] is True
    assert "sign off" in lead.post("./review/prompt/sign-off/", expect=403)["detail"]
    viewer.put("./review/retrieval/verdict/", no_evidence, expect=403)
    viewer.post("./review/answers/", {"question_id": question, "value": "no"}, expect=403)
    api.delete(f"./review/evidence/{piece['id']}/")
    assert api.get("./review/retrieval/")["signed"] is False


def test_evidence_of_another_incident_is_not_cited(api):
    other = make_trace(make_incident("INC-2026-0002"))
    answer = api.post("./review/prompt/evidence/", {"direction": "for", "text": "x", "trace": other.pk}, expect=400)
    assert answer["detail"] == f"There is no trace {other.pk} here; list them to find its id."


def test_the_facilitator_signs_the_whole(api, lead):
    refused = api.post("./review/sign-off/", expect=400)
    assert refused["detail"].startswith("There is no verdict to sign yet")
    lead.post("./review/sign-off/", expect=403)


def test_adopting_without_a_finding_is_refused_or_empty(api):
    response = api.client.post("/api/incidents/INC-2026-0001/review/prompt/evidence/adopt/")
    assert (response.status_code == 400 and response.json()["detail"]) or response.json() == []


def test_factors_edges_and_accepted_risk(api, viewer):
    impact = api.post("./factors/", {"kind": "impact", "text": "Wrong answers"})
    cause = api.post(
        "./factors/", {"kind": "trigger", "layer": "retrieval", "text": "Encoder moved", "leads_to": impact["id"]}
    )
    edges = api.get("./edges/")["results"]
    assert [(edge["cause"], edge["effect"]) for edge in edges] == [(cause["id"], impact["id"])]
    assert api.post("./edges/", {"cause": impact["id"], "effect": cause["id"]}, expect=400)["detail"]
    assert (
        "no contributing factor 999"
        in api.post("./edges/", {"cause": 999, "effect": cause["id"]}, expect=400)["detail"]
    )
    assert api.patch(f"./factors/{cause['id']}/", {"text": "Encoder moved first"})["text"] == "Encoder moved first"
    assert api.put(f"./factors/{cause['id']}/risk/", {"reason": ""}, expect=400)["detail"]
    assert api.put(f"./factors/{cause['id']}/risk/", {"reason": "Too rare"})["risk_accepted_by"] == "Helen Lindqvist"
    assert api.ask("delete", f"./factors/{cause['id']}/risk/")["risk_accepted_by"] is None
    viewer.post("./factors/", {"kind": "impact", "text": "Mine"}, expect=403)
    api.delete(f"./edges/{edges[0]['id']}/")
    api.delete(f"./factors/{cause['id']}/")
    assert api.get("./factors/")["count"] == 1
    api.delete(f"./factors/{cause['id']}/", expect=404)


def test_actions_are_added_changed_and_moved_but_never_deleted(api, viewer, incident):
    owner = incident.created_by
    item = api.post("./actions/", ACTION | {"owner": owner.pk})
    assert item["number"] == 1 and item["owner"]["name"] == owner.name
    changed = api.patch("./actions/1/", {"revision": 1, "title": "Pin both"})
    assert changed["title"] == "Pin both" and changed["revision"] == 2
    stale = api.patch("./actions/1/", {"revision": 1, "title": "Mine"}, expect=409)
    assert stale["current"]["title"] == "Pin both"
    assert api.post("./actions/1/status/", {"status": "done", "revision": 2}, expect=200)["status"] == "done"
    assert "note" in api.post("./actions/1/status/", {"status": "dropped", "revision": 3}, expect=400)["detail"]
    api.delete("./actions/1/", expect=405)
    viewer.post("./actions/", ACTION | {"owner": owner.pk}, expect=403)
    assert api.get("./actions/")["count"] == 1
    api.get("./actions/2/", expect=404)


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        ("owner", "An action item needs an owner; choose one active person."),
        ("due_on", "An action item needs a due date"),
        ("verification", "An action item needs a verification"),
    ],
)
@pytest.mark.parametrize("how", ["left out", "null", "taken away"])
def test_an_action_without_owner_due_date_or_verification_is_refused(api, incident, missing, sentence, how):
    empty = "" if missing == "verification" else None
    complete = ACTION | {"owner": incident.created_by.pk}
    if how == "taken away":
        make_action(incident, incident.created_by)
        answer = api.patch("./actions/1/", {"revision": 1, missing: empty}, expect=400)
    else:
        body = {name: value for name, value in complete.items() if name != missing}
        answer = api.post("./actions/", body | ({missing: empty} if how == "null" else {}), expect=400)
        assert not ActionItem.objects.exists()
    assert answer["detail"].startswith(sentence)


def test_inactive_owners_are_refused(api):
    gone = make_person("Gone Person", is_active=False)
    assert "no longer active" in api.post("./actions/", ACTION | {"owner": gone.pk}, expect=400)["detail"]
    assert "no person 999999" in api.post("./actions/", ACTION | {"owner": 999_999}, expect=400)["detail"]


def test_actions_are_listed_with_bounded_queries(api, incident, django_assert_max_num_queries):
    for number in range(1, 21):
        make_action(incident, incident.created_by, number)
    with django_assert_max_num_queries(6):
        assert api.get("./actions/")["count"] == 20


def test_the_gate_says_what_is_missing_and_keeps_the_report_closed(api, viewer, django_assert_max_num_queries):
    with django_assert_max_num_queries(40):
        gate = api.get("./gate/")
    assert gate["can_publish"] is False and gate["missing"] == sum(not rule["met"] for rule in gate["rules"]) > 5
    answer = api.post("./reports/", expect=400)
    assert "\n" not in answer["detail"] and api.get("./reports/")["count"] == 0
    viewer.post("./reports/", expect=403)
    viewer.post("./reports/correction/", {"reason": "x"}, expect=403)
    assert "is not published" in api.post("./reports/correction/", {"reason": "x"}, expect=400)["detail"]


def test_the_draft_is_a_document_marked_draft(api):
    page = api.get("./reports/draft/full.html")
    assert page["Content-Type"].startswith("text/html") and b"DRAFT" in page.content.upper()
    api.get("./reports/draft/full.exe", expect=404)
    api.get("./reports/draft/novel.pdf", expect=404)
    api.get("./reports/1/record/", expect=404)
    api.get("./reports/1/full.pdf", expect=404)
