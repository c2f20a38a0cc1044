"""Two people at the same moment: nothing is lost, nothing half there."""

import pytest

from postmortem.review import services
from postmortem.review.causal_graph import check_graph
from postmortem.review.models import ChecklistAnswer
from postmortem.review.selectors import graph
from tests.actions.races import race, shared_by_threads  # noqa: F401
from tests.builders import make_incident, make_person
from tests.review.builders import make_finding

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("shared_by_threads")]


def test_of_two_first_answers_one_is_stored_and_one_is_told():
    incident, people = make_incident(), [make_person("Priya Nair"), make_person("Jun Sato")]
    ask = "retrieval-encoder-agrees"
    outcomes = race(
        *[
            lambda person=person, value=value: services.answer_question(
                incident=incident, by=person, question_id=ask, value=value
            )
            for person, value in zip(people, ("yes", "no"), strict=True)
        ]
    )
    assert sorted(outcomes) == ["done", "refused"] and ChecklistAnswer.objects.count() == 1


def test_two_arrows_cannot_close_a_circle_together():
    incident, person = make_incident(), make_person()
    for _ in range(5):
        a, b = (
            services.add_factor(incident=incident, by=person, kind="trigger", layer="retrieval", text=name)
            for name in "AB"
        )
        outcomes = race(
            lambda a=a, b=b: services.connect(cause=a, effect=b, by=person),
            lambda a=a, b=b: services.connect(cause=b, effect=a, by=person),
        )
        assert sorted(outcomes) == ["done", "refused"]
    assert check_graph(graph(incident)).is_acyclic


def test_first_factors_make_one_impact_and_adopting_twice_copies_once():
    incident, person = make_incident(), make_person()
    make_finding(incident)
    add = lambda: services.add_factor(  # noqa: E731
        incident=incident, by=person, kind="trigger", layer="model", text="x"
    )
    assert race(add, add, add) == ["done"] * 3
    assert incident.factors.filter(kind="impact").count() == 1
    adopt = lambda: services.adopt_proposed_evidence(incident=incident, by=person, layer="model")  # noqa: E731
    assert race(adopt, adopt, adopt) == ["done"] * 3
    assert incident.evidence.count() == 1
