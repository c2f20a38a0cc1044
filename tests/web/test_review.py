"""Review: answers, evidence, verdicts, signatures, factors; nobody's text is overwritten in silence."""

import pytest
from django.urls import reverse

from postmortem.accounts.models import Role
from postmortem.incidents.models import Participant, ParticipantRole, Status
from postmortem.lib.layers import LAYERS
from postmortem.review import services
from postmortem.review.checklist import load_checklist
from postmortem.review.models import CausalEdge, ChecklistAnswer, ContributingFactor, Evidence, SignOff, Verdict
from tests.builders import make_change, make_incident, make_person
from tests.review.builders import make_finding
from tests.web.builders import HTMX, import_traces

pytestmark = pytest.mark.django_db

QUESTION = next(iter(load_checklist().sections[LAYERS[2]])).id  # the first question of retrieval


@pytest.fixture
def reviewer():
    return make_person("Priya Nair", Role.REVIEWER)


@pytest.fixture
def facilitator():
    return make_person("Helen Lindqvist", Role.FACILITATOR, email="facilitator@example.org")


@pytest.fixture
def incident(facilitator):
    return make_incident(by=facilitator)


@pytest.fixture
def lead(incident):
    person = make_person("Jun Sato")
    Participant.objects.create(incident=incident, person=person, role=ParticipantRole.LAYER_LEAD, layer=LAYERS[2].value)
    return person


def url(incident, name="review", *args):
    return reverse(name, args=[incident.number, *args])


def answer(client, incident, value="yes", note="", revision="0", **kwargs):
    data = {"question_id": QUESTION, "value": value, "note": note, "revision": revision}
    return client.post(url(incident, "review-answer", "retrieval"), data, **kwargs)


def test_the_summary_shows_four_layers_and_what_is_open(client, incident, reviewer):
    client.force_login(reviewer)
    page = client.get(url(incident)).content.decode()
    assert "No layer has a verdict yet" in page
    for layer in LAYERS:
        assert url(incident, "review-layer", layer.value) in page
    assert "Nothing led to the impact yet." in page


def test_there_is_no_fifth_layer(client, incident, reviewer):
    client.force_login(reviewer)
    assert client.get(url(incident, "review-layer", "weather")).status_code == 404


def test_each_layer_asks_its_questions_with_keys_to_answer(client, incident, reviewer):
    import_traces(incident, reviewer)
    client.force_login(reviewer)
    for layer in LAYERS:
        page = client.get(url(incident, "review-layer", layer.value)).content.decode()
        for question in load_checklist().sections[layer]:
            assert f'id="question-{question.id}"' in page
        assert page.count('data-choice="1"') == len(load_checklist().sections[layer])
        assert "data-item" in page


def test_an_answer_is_stored_and_the_page_returns_to_its_question(client, incident, reviewer):
    client.force_login(reviewer)
    response = answer(client, incident, "no", "The index job is separate.")
    assert response.url.endswith(f"#question-{QUESTION}")
    stored = ChecklistAnswer.objects.get()
    assert (stored.value, stored.note, stored.answered_by) == ("no", "The index job is separate.", reviewer)


def test_htmx_draws_only_the_question_and_the_count(client, incident, reviewer):
    client.force_login(reviewer)
    page = answer(client, incident, headers=HTMX).content.decode()
    assert "<html" not in page
    assert page.count('class="question"') == 1
    assert "1 of " in page
    assert 'hx-swap-oob="true"' in page
    assert 'aria-pressed="true"' in page


@pytest.mark.parametrize("htmx", [True, False])
def test_two_answers_at_once_show_both(client, incident, reviewer, facilitator, htmx):
    services.answer_question(
        incident=incident, by=facilitator, question_id=QUESTION, value="yes", note="Seen in the manifest."
    )
    client.force_login(reviewer)
    response = answer(client, incident, "no", "My own words", headers=HTMX if htmx else {})
    page = response.content.decode()
    assert response.status_code == (200 if htmx else 409)
    assert "Seen in the manifest." in page
    assert "My own words" in page
    stored = ChecklistAnswer.objects.get()
    assert stored.value == "yes"
    assert f'name="revision" value="{stored.revision}"' in page
    answer(client, incident, "no", "My own words", revision=str(stored.revision))
    stored.refresh_from_db()
    assert (stored.value, stored.note) == ("no", "My own words")


def test_a_nonsense_answer_is_refused(client, incident, reviewer):
    client.force_login(reviewer)
    response = answer(client, incident, "perhaps", "typed")
    assert response.status_code == 400
    assert "Answer with yes, no or cannot tell." in response.content.decode()
    assert "typed" in response.content.decode()
    assert not ChecklistAnswer.objects.exists()


def evidence(client, incident, **changed):
    data = {"layer": "retrieval", "direction": "for", "text": "Ids differ in every exposed trace."} | changed
    return client.post(url(incident, "evidence-add", "retrieval"), data)


def test_evidence_rests_on_a_trace_and_a_change(client, incident, reviewer):
    import_traces(incident, reviewer)
    change = make_change("encoder-3", layer="retrieval", summary="Encoder helix-3")
    client.force_login(reviewer)
    response = evidence(client, incident, trace="trace-0003", change=change.pk, question_id=QUESTION)
    assert response.url.endswith(f"#question-{QUESTION}")
    piece = Evidence.objects.get()
    assert piece.trace.external_id == "trace-0003"
    assert piece.change == change
    page = client.get(url(incident, "review-layer", "retrieval")).content.decode()
    assert "Ids differ in every exposed trace." in page


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"text": ""}, "Say in a sentence what it shows."),
        ({"trace": "nobody"}, "No trace of this incident has the id nobody"),
        ({"link": "javascript:alert(1)"}, "http"),
        ({"direction": "sideways"}, "sideways"),
    ],
)
def test_wrong_evidence_is_refused_with_a_sentence(client, incident, reviewer, changed, sentence):
    client.force_login(reviewer)
    response = evidence(client, incident, **changed)
    assert response.status_code == 400
    assert sentence in response.content.decode()
    assert not Evidence.objects.exists()


def test_evidence_is_taken_back(client, incident, reviewer):
    client.force_login(reviewer)
    evidence(client, incident)
    client.post(url(incident, "evidence-remove", Evidence.objects.get().pk))
    assert not Evidence.objects.exists()


def test_without_a_run_nothing_can_be_adopted(client, incident, reviewer):
    client.force_login(reviewer)
    page = client.post(url(incident, "evidence-adopt", "retrieval"), follow=True).content.decode()
    assert "There is no attribution run yet" in page


def decide(client, incident, **changed):
    data = {"value": "in", "reason": "The encoder moved, the index did not.", "revision": "0"} | changed
    return client.post(url(incident, "verdict-decide", "retrieval"), data)


def test_a_verdict_needs_evidence_a_choice_and_a_reason(client, incident, lead):
    client.force_login(lead)
    assert "at least one piece of evidence" in decide(client, incident).content.decode()
    evidence(client, incident)
    assert "Choose IN, OUT or INSUFFICIENT." in decide(client, incident, value="").content.decode()
    response = decide(client, incident, reason="")
    assert response.status_code == 400
    assert "Say what decides it." in response.content.decode()
    assert not Verdict.objects.exists()
    assert decide(client, incident).status_code == 302
    page = client.get(url(incident, "review-layer", "retrieval")).content.decode()
    assert "Retrieval: a cause lies here" in page


def test_two_verdicts_at_once_show_both(client, incident, lead, facilitator):
    client.force_login(lead)
    evidence(client, incident)
    services.decide_verdict(
        incident=incident, by=facilitator, layer="retrieval", value="out", reason="Canary was flat."
    )
    response = decide(client, incident)
    page = response.content.decode()
    assert response.status_code == 409
    assert "Canary was flat." in page
    assert "The encoder moved, the index did not." in page
    assert Verdict.objects.get().value == "out"
    assert decide(client, incident, revision="1").status_code == 302
    assert Verdict.objects.get().value == "in"


def test_a_reviewer_does_not_decide(client, incident, reviewer):
    client.force_login(reviewer)
    evidence(client, incident)
    page = client.get(url(incident, "review-layer", "retrieval")).content.decode()
    assert "verdict-choices" not in page
    assert decide(client, incident).status_code == 403


def test_the_lead_signs_what_was_read(client, incident, lead):
    client.force_login(lead)
    evidence(client, incident)
    decide(client, incident)
    page = client.get(url(incident, "review-layer", "retrieval"))
    content = page.context["seen"].sign.content_sha256
    assert "Sign off as layer lead" in page.content.decode()
    evidence(client, incident, text="Something new.", direction="against")
    refused = client.post(url(incident, "layer-sign", "retrieval"), {"content": content}, follow=True)
    assert "has changed since you opened it" in refused.content.decode()
    assert not SignOff.objects.exists()
    content = client.get(url(incident, "review-layer", "retrieval")).context["seen"].sign.content_sha256
    page = client.post(url(incident, "layer-sign", "retrieval"), {"content": content}, follow=True).content.decode()
    assert "Signed by Jun Sato" in page
    evidence(client, incident, text="Newer still.")
    page = client.get(url(incident, "review-layer", "retrieval")).content.decode()
    assert "it must be signed again" in page


def test_only_the_lead_signs_the_layer_and_the_facilitator_the_review(client, incident, lead, facilitator):
    client.force_login(lead)
    evidence(client, incident)
    decide(client, incident)
    client.force_login(facilitator)
    assert client.post(url(incident, "layer-sign", "retrieval")).status_code == 403
    page = client.post(url(incident, "review-sign"), follow=True).content.decode()
    assert "no verdict to sign yet" in page
    for layer in LAYERS:
        services.add_evidence(incident=incident, by=facilitator, layer=layer, direction="against", text="Flat.")
        if layer.value != "retrieval":
            services.decide_verdict(incident=incident, by=facilitator, layer=layer, value="out", reason="Flat.")
    page = client.get(url(incident)).content.decode()
    assert "All four layers have a verdict" in page
    page = client.post(url(incident, "review-sign"), follow=True).content.decode()
    assert "Signed by Helen Lindqvist" in page


def add_factor(client, incident, **changed):
    data = {"text": "Encoder moved alone", "kind": "trigger", "layer": "retrieval", "change": "", "leads_to": ""}
    return client.post(url(incident, "factor-add"), data | changed)


def test_a_factor_leads_to_the_impact_unless_told_otherwise(client, incident, reviewer):
    client.force_login(reviewer)
    add_factor(client, incident)
    add_factor(client, incident, text="Nobody was told", kind="detection_gap", layer="infrastructure")
    first = ContributingFactor.objects.get(text="Encoder moved alone")
    page = client.get(url(incident)).content.decode()
    assert "Encoder moved alone" in page
    assert "<svg" in page
    assert CausalEdge.objects.filter(effect__kind="impact").count() == 2
    assert f"cuts={first.pk}" in page


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [({"text": ""}, "Say in a line what contributed."), ({"layer": ""}, "Choose the layer in which it lies.")],
)
def test_a_wrong_factor_is_refused(client, incident, reviewer, changed, sentence):
    client.force_login(reviewer)
    response = add_factor(client, incident, **changed)
    assert response.status_code == 400
    assert sentence in response.content.decode()
    assert not ContributingFactor.objects.exists()


def test_arrows_are_drawn_refused_in_a_circle_and_taken_out(client, incident, reviewer):
    client.force_login(reviewer)
    add_factor(client, incident)
    first = ContributingFactor.objects.get(text="Encoder moved alone")
    add_factor(client, incident, text="Job set to manual", kind="latent_condition", leads_to=first.pk)
    second = ContributingFactor.objects.get(text="Job set to manual")
    response = client.post(
        url(incident, "factor-connect", first.pk),
        {f"connect-{first.pk}-effect": second.pk, f"connect-{first.pk}-claim": ""},
    )
    assert response.status_code == 400
    assert "would close a circle" in response.content.decode()
    edge = CausalEdge.objects.get(cause=second)
    client.post(url(incident, "edge-remove", edge.pk))
    assert not CausalEdge.objects.filter(cause=second).exists()
    client.post(url(incident, "factor-remove", second.pk))
    assert not ContributingFactor.objects.filter(pk=second.pk).exists()


def test_a_factor_changed_meanwhile_shows_both(client, incident, reviewer):
    client.force_login(reviewer)
    add_factor(client, incident)
    factor = ContributingFactor.objects.get(text="Encoder moved alone")

    def save(text, revision):
        own = {"text": text, "kind": "trigger", "layer": "retrieval", "change": "", "revision": revision}
        data = {f"edit-{factor.pk}-{name}": value for name, value in own.items()}
        return client.post(url(incident, "factor-edit", factor.pk), data)

    assert save("Encoder was upgraded alone", factor.revision).status_code == 302
    response = save("My own words", factor.revision)
    page = response.content.decode()
    assert response.status_code == 409
    assert "Encoder was upgraded alone" in page
    assert "My own words" in page


def test_a_risk_is_accepted_by_name_and_taken_back(client, incident, reviewer, facilitator):
    client.force_login(facilitator)
    add_factor(client, incident)
    factor = ContributingFactor.objects.get(text="Encoder moved alone")
    field = f"risk-{factor.pk}-reason"
    assert "Say why the risk is acceptable." in client.post(url(incident, "risk-accept", factor.pk)).content.decode()
    client.post(url(incident, "risk-accept", factor.pk), {field: "Helix-2 is retired next week."})
    page = client.get(url(incident)).content.decode()
    assert "Risk accepted by Helen Lindqvist" in page
    client.post(url(incident, "risk-withdraw", factor.pk))
    factor.refresh_from_db()
    assert factor.risk_accepted_by is None
    client.force_login(reviewer)
    assert client.post(url(incident, "risk-accept", factor.pk), {field: "Because."}).status_code == 403


def test_who_only_looks_sees_the_review_and_no_form(client, incident, lead):
    client.force_login(lead)
    evidence(client, incident)
    client.force_login(make_person("Vera Look", Role.VIEWER))
    for page in (client.get(url(incident)), client.get(url(incident, "review-layer", "retrieval"))):
        assert "Read only" in page.content.decode()
        assert 'method="post"' not in page.content.decode()
    assert answer(client, incident).status_code == 403
    assert evidence(client, incident).status_code == 403
    assert add_factor(client, incident).status_code == 403


def test_a_published_review_is_frozen(client, incident, lead):
    client.force_login(lead)
    evidence(client, incident)
    type(incident).objects.filter(pk=incident.pk).update(status=Status.PUBLISHED)
    page = client.get(url(incident, "review-layer", "retrieval")).content.decode()
    assert "Read only: the report is published" in page
    assert 'method="post"' not in page
    answer(client, incident)
    decide(client, incident)
    assert not ChecklistAnswer.objects.exists()
    assert not Verdict.objects.exists()


def test_the_layer_page_asks_a_bounded_number_of_queries(client, incident, reviewer, django_assert_max_num_queries):
    for index in range(30):
        services.add_evidence(incident=incident, by=reviewer, layer="retrieval", direction="for", text=f"Piece {index}")
    client.force_login(reviewer)
    with django_assert_max_num_queries(85):
        client.get(url(incident, "review-layer", "retrieval"))
    for index in range(30):
        services.add_factor(incident=incident, by=reviewer, kind="trigger", layer="retrieval", text=f"Factor {index}")
    with django_assert_max_num_queries(80):
        client.get(url(incident))


def test_the_rail_names_the_next_step_and_a_suggested_factor_is_added_by_one_key(client):
    incident = make_incident()
    make_change("retrieval-1", layer="retrieval", summary="Encoder upgraded")
    make_finding(incident)
    client.force_login(incident.created_by)
    said = client.get(f"/incidents/{incident.number}/review/").content.decode()
    assert "The summary is not written" in said.split('class="next-step"')[1].split("</p>")[0]
    assert 'data-hotkey="f"' in said and "The findings suggest" in said
    address = f"/incidents/{incident.number}/review/factors/adopt/"
    assert client.post(address, {"key": "change-retrieval-1"}).status_code == 302
    assert incident.factors.filter(text="Encoder upgraded", kind="trigger").exists()
    assert incident.causal_edges.count() == 1
    client.post(address, {"key": "change-retrieval-1"})
    assert incident.factors.count() == 2
