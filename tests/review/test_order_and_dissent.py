"""The order that fights bias, dissent by name, detection as a section, versions of the questions, relevance."""

import pytest
from django.core.exceptions import PermissionDenied
from django.urls import reverse

from postmortem.accounts.models import AuditEntry, Role
from postmortem.actions.undo import undo
from postmortem.lib.errors import UserError
from postmortem.lib.layers import LAYERS, Layer
from postmortem.report.record import assemble_record
from postmortem.review import services
from postmortem.review.checklist import built_in_data, is_relevant, load_checklist, parse_checklist
from postmortem.review.dissent import record_dissent, standing_dissents, withdraw_dissent
from postmortem.review.facts import FacetFact, ReviewFacts
from postmortem.review.models import ChecklistAnswer
from postmortem.review.question_sets import pin_version, publish_version, version_of
from postmortem.review.selectors import review_detection, review_layer
from tests.api.client import Api
from tests.builders import make_incident, make_person
from tests.review.builders import make_finding

pytestmark = pytest.mark.django_db
MODEL, PROMPT, RETRIEVAL, INFRASTRUCTURE = LAYERS


@pytest.fixture
def helen():
    return make_person("Helen Lindqvist", Role.FACILITATOR, email="facilitator@example.org")


@pytest.fixture
def incident(helen):
    return make_incident(by=helen)


def decide(incident, by, layer, value="out"):
    services.add_evidence(incident=incident, by=by, layer=layer, direction="for", text=f"About {layer}")
    return services.decide_verdict(incident=incident, by=by, layer=layer, value=value, reason="It shows")


def test_that_the_model_did_it_is_decided_after_the_other_three(incident, helen):
    with pytest.raises(UserError, match="Decide prompt, retrieval, infrastructure first"):
        decide(incident, helen, MODEL, "in")
    decide(incident, helen, MODEL, "out")
    other = make_incident("INC-2026-0002", by=helen)
    for layer in (PROMPT, RETRIEVAL, INFRASTRUCTURE):
        decide(other, helen, layer)
    assert decide(other, helen, MODEL, "in").value == "in"


def test_the_first_suspect_is_neither_examined_nor_decided_first(helen):
    incident = make_incident(by=helen, suspected_layer="retrieval")
    first = {layer: load_checklist().sections[layer][0].id for layer in LAYERS}

    def answer(layer):
        return services.answer_question(incident=incident, by=helen, question_id=first[layer], value="yes")

    with pytest.raises(UserError, match="not examined first"):
        answer(RETRIEVAL)
    with pytest.raises(UserError, match="not decided first"):
        decide(incident, helen, RETRIEVAL)
    answer(PROMPT), answer(RETRIEVAL)
    decide(incident, helen, PROMPT)
    assert decide(incident, helen, RETRIEVAL, "in").value == "in"


def test_dissent_stands_by_name_beside_the_verdict_and_in_the_record(client, incident, helen):
    ana = make_person("Ana Costa")
    with pytest.raises(UserError, match="no verdict"):
        record_dissent(incident=incident, by=ana, layer="prompt", value="in", reason="x")
    decide(incident, helen, PROMPT)
    for value, reason in (("out", "same"), ("in", " ")):
        with pytest.raises(UserError):
            record_dissent(incident=incident, by=ana, layer="prompt", value=value, reason=reason)
    mine = record_dissent(incident=incident, by=ana, layer="prompt", value="in", reason="The canary was too small")
    layer = next(one for one in assemble_record(incident)["layers"] if one["layer"] == "prompt")
    assert [(one["by"], one["value"]) for one in layer["dissents"]] == [("Ana Costa", "in")]
    client.force_login(ana)
    page = client.get(reverse("review-layer", args=[incident.number, "prompt"])).content.decode()
    assert "Ana Costa dissents" in page and "The canary was too small" in page
    with pytest.raises(UserError, match="Only Ana Costa"):
        withdraw_dissent(dissent=mine, by=helen)
    undo(entry=AuditEntry.objects.latest("id"), incident=incident, by=ana)
    assert standing_dissents(incident) == []
    undo(entry=AuditEntry.objects.latest("id"), incident=incident, by=ana)
    assert len(standing_dissents(incident)) == 1
    stored = incident.verdicts.get()
    services.decide_verdict(
        incident=incident, by=helen, layer="prompt", value="in", reason="Ana is right", revision=stored.revision
    )
    assert standing_dissents(incident) == []


def test_dissent_over_pages_and_api(client, incident, helen):
    decide(incident, helen, PROMPT)
    ana = make_person("Ana Costa")
    client.force_login(ana)
    url = reverse("layer-dissent", args=[incident.number, "prompt"])
    client.post(url, {"value": "insufficient", "reason": "Too few traces"})
    api = Api(ana, incident.number)
    assert api.get("./review/dissents/")["results"][0]["reason"] == "Too few traces"
    client.post(url, {"withdraw": "1"})
    api.put("./review/prompt/dissent/", {"value": "in", "reason": "Look again"})
    api.delete("./review/prompt/dissent/")
    assert not incident.dissents.exists()
    Api(make_person("Vic", Role.VIEWER), incident.number).put(
        "./review/prompt/dissent/", {"value": "in", "reason": "x"}, expect=403
    )


def test_detection_is_a_section_of_its_own(client, incident, helen):
    questions = load_checklist().detection
    assert len(questions) >= 6 and {question.layer for question in questions} == {INFRASTRUCTURE}
    client.force_login(helen)
    page = reverse("review-layer", args=[incident.number, "detection"])
    assert questions[0].id in client.get(page).content.decode()
    data = {"question_id": questions[0].id, "value": "no", "note": "Nobody defined one", "revision": "0"}
    client.post(reverse("review-answer", args=[incident.number, "detection"]), data, headers={"HX-Request": "true"})
    assert review_detection(incident).answered == 1
    assert ChecklistAnswer.objects.get().layer == "infrastructure"
    assert Api(helen, incident.number).get("./review/detection/")["results"][0]["answer"] == "no"
    layer = next(one for one in assemble_record(incident)["layers"] if one["layer"] == "infrastructure")
    assert "Nobody defined one" in [one["note"] for one in layer["answers"]]


def test_questions_appear_when_the_evidence_makes_them_relevant(client, incident, helen):
    question = load_checklist().question("infrastructure-noisy-neighbour")
    assert not is_relevant(question, ReviewFacts())
    assert is_relevant(question, ReviewFacts(facets={"tenant": FacetFact("tenant", 3)}))
    seen = {one.question.id: one for one in review_layer(incident, Layer.INFRASTRUCTURE).questions}
    assert not seen[question.id].shown and seen["infrastructure-follows-exposure"].shown
    client.force_login(helen)
    page = client.get(reverse("review-layer", args=[incident.number, "infrastructure"])).content.decode()
    assert page.index("does not bear on") < page.index(f'id="question-{question.id}"')
    services.answer_question(incident=incident, by=helen, question_id=question.id, value="no")
    seen = {one.question.id: one for one in review_layer(incident, Layer.INFRASTRUCTURE).questions}
    assert seen[question.id].shown


def changed_data(text: str) -> dict:
    data = built_in_data("2026-2")
    data["sections"]["prompt"][0]["text"] = text
    return data


def test_administrators_publish_versions_and_incidents_stay_with_theirs(client, incident, helen):
    first = load_checklist().sections[PROMPT][0].id
    services.answer_question(incident=incident, by=helen, question_id=first, value="yes")
    boss = make_person("Boss", Role.ADMINISTRATOR)
    with pytest.raises(PermissionDenied):
        publish_version(by=helen, version="house-1", data=changed_data("Ours?"))
    publish_version(by=boss, version="house-1", data=changed_data("Ours?"), note="Our words")
    fresh = make_incident("INC-2026-0002", by=helen)
    assert (version_of(incident), version_of(fresh)) == ("2026-2", "house-1")
    assert review_layer(fresh, "prompt").questions[0].question.text == "Ours?"
    bad = {"sections": {"model": [{"id": 1}]}}
    taken = [("house-1", changed_data("x")), ("2026-2", changed_data("x")), ("A b", changed_data("x"))]
    for version, data in (*taken, ("house-2", {}), ("house-2", []), ("house-2", bad)):
        with pytest.raises(UserError):
            publish_version(by=boss, version=version, data=data)
    pin_version(incident=incident, by=helen, version="house-1")
    assert review_layer(incident, "prompt").questions[0].answer.value == "yes"
    with pytest.raises(UserError):
        pin_version(incident=incident, by=helen, version="nowhere")
    client.force_login(boss)
    page = client.get(reverse("checklists"), {"incident": incident.number}).content.decode()
    assert "is answered by house-1" in page
    client.post(reverse("checklist-pin", args=[incident.number]), {"version": "2026-2"})
    assert version_of(incident) == "2026-2"
    assert "Ours?" in client.get(reverse("checklist-version", args=["house-1"])).content.decode()
    assert client.get(reverse("checklist-new"), {"from": "2026-1"}).status_code == 200
    assert client.post(reverse("checklist-new"), {"version": "x", "questions": "{"}).status_code == 400
    api = Api(boss, incident.number)
    api.post("checklists/", {"version": "house-3", "data": changed_data("Api?")})
    assert api.get("checklists/house-3/")["sections"]["prompt"][0]["text"] == "Api?"
    assert api.put("./review/checklist/", {"version": "house-3"})["version"] == "house-3"


def test_a_condition_that_nobody_knows_is_refused():
    data = built_in_data("2026-2")
    data["sections"]["prompt"][0]["when"] = "moonlight"
    with pytest.raises(ValueError, match="is no condition"):
        parse_checklist(data)


def test_open_questions_are_answered_as_suggested_in_one_step(client, incident, helen):
    client.force_login(helen)
    url = reverse("review-suggested", args=[incident.number, "prompt"])
    client.post(url)
    assert not incident.checklist_answers.exists(), "nothing is known yet, so nothing is suggested"
    make_finding(incident)
    client.post(url)
    answers = incident.checklist_answers.all()
    assert answers and {answer.layer for answer in answers} == {"prompt"}
    assert len({entry.batch for entry in AuditEntry.objects.filter(action="answer.save")}) == 1
    assert Api(helen, incident.number).post("./review/retrieval/suggested/")["answered"]
