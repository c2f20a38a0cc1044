"""A closed incident is known again by layer, target and pattern, and says what was never finished."""

from typing import Any

import pytest

from postmortem.accounts.models import Role
from postmortem.attribution.models import Finding
from postmortem.insights.recurrence import ChangeTarget, Signature, shared, signature, target_name
from postmortem.insights.watching import recurrences
from tests.builders import make_action, make_change, make_feature, make_incident, make_person
from tests.review.builders import finding_result

CHANGES = {
    "p-1": ChangeTarget("prompt", "prompt_version", {"prompt": "support-answer", "region": "eu"}),
    "r-1": ChangeTarget("retrieval", "encoder", {}),
}


def result(**replaced: Any) -> dict[str, Any]:
    """A finding: prompt change p-1 did it, one pattern matches in its layer, another elsewhere."""
    found: dict[str, Any] = {
        "hypotheses": [
            {"kind": "change", "changes": ["p-1"], "layer": "prompt", "probability": 0.97},
            {"kind": "change", "changes": ["r-1"], "layer": "retrieval", "probability": 0.02},
        ],
        "patterns": [
            {"pattern": "conflated_drift", "answer": "match", "layer": "prompt"},
            {"pattern": "noisy_neighbour", "answer": "match", "layer": "infrastructure"},
            {"pattern": "embedding_churn", "answer": "not_enough_data", "layer": "prompt"},
        ],
    }
    return found | replaced


def test_a_signature_is_what_the_ruled_in_layers_show():
    found = signature(result(), ruled_in=["prompt"], changes=CHANGES, feature="Help")
    assert found == Signature(
        frozenset({"prompt"}), frozenset({"conflated_drift"}), frozenset({"prompt_version of support-answer"})
    )


def test_without_verdicts_the_likely_hypotheses_say_the_layer():
    assert signature(result(), ruled_in=[], changes=CHANGES, feature="Help").layers == {"prompt"}
    assert signature(None, ruled_in=[], changes={}, feature="Help") == Signature(frozenset(), frozenset(), frozenset())


def test_a_verdict_against_the_attribution_takes_its_target_away():
    assert signature(result(), ruled_in=["retrieval"], changes=CHANGES, feature="Help").targets == frozenset()


def test_an_unlogged_move_is_a_target_too():
    unlogged = result(
        hypotheses=[{"kind": "unlogged", "changes": [], "layer": "model", "probability": 0.99}],
        reconciliation={"never_logged": [{"facet": "model_served", "layer": "model", "scope": "model orion-large"}]},
    )
    found = signature(unlogged, ruled_in=[], changes={}, feature="Invoices")
    assert found.targets == {"model_served of orion-large"}


def test_what_names_no_object_belongs_to_its_application():
    assert target_name("encoder", {"region": "eu"}, "Docs Search") == "encoder of Docs Search"
    assert target_name("", {"prompt": "a"}, "Docs Search") == ""


@pytest.mark.parametrize(
    ("layers", "patterns", "targets", "same"),
    [
        ({"prompt"}, {"drift"}, {"t"}, True),
        ({"prompt", "model"}, {"drift", "other"}, {"t", "u"}, True),
        ({"model"}, {"drift"}, {"t"}, False),
        ({"prompt"}, {"other"}, {"t"}, False),
        ({"prompt"}, set(), {"t"}, False),
        ({"prompt"}, {"drift"}, {"u"}, False),
    ],
)
def test_layer_target_and_pattern_have_to_agree(layers, patterns, targets, same):
    mine = Signature(frozenset({"prompt"}), frozenset({"drift"}), frozenset({"t"}))
    other = Signature(frozenset(layers), frozenset(patterns), frozenset(targets))
    assert (shared(mine, other) is not None) is same


def test_two_without_any_pattern_agree_in_that():
    mine = Signature(frozenset({"prompt"}), frozenset(), frozenset({"t"}))
    assert shared(mine, mine) is not None


def run(incident, number=1, **replaced):
    found = finding_result() | result(**replaced)
    return Finding.objects.create(
        incident=incident, number=number, method="x", code_version="x", inputs_sha256="0" * 64, result=found
    )


@pytest.fixture
def pair(db):
    """A closed incident and a new one of the same application, both blamed on prompt change p-1."""
    closed, new = make_incident("INC-2026-0001", status="published"), make_incident("INC-2026-0002")
    make_change("p-1", facet="prompt_version", scope={"prompt": "support-answer"})
    run(closed)
    run(new)
    owner = closed.created_by
    make_action(closed, owner, 1, title="Never done")
    make_action(closed, owner, 2, title="Done, not verified", status="done")
    make_action(closed, owner, 3, title="Verified", status="verified")
    make_action(closed, owner, 4, title="Dropped", status="dropped")
    return closed, new


def test_a_new_incident_says_which_closed_one_it_looks_like_and_what_was_never_finished(pair):
    closed, new = pair
    (found,) = recurrences(new, new.created_by)
    assert found.incident == closed
    assert found.shared.targets == ("prompt_version of support-answer",)
    assert [item.title for item in found.unfinished] == ["Never done", "Done, not verified"]


def test_open_hidden_and_later_incidents_are_not_named(pair):
    closed, new = pair
    assert recurrences(closed, closed.created_by) == []
    closed.status = "in_review"
    closed.save()
    assert recurrences(new, new.created_by) == []
    closed.status, closed.visibility = "published", "participants"
    closed.save()
    assert recurrences(new, make_person("Vic Viewer", Role.VIEWER)) == []


def test_another_cause_is_another_incident(pair):
    _, new = pair
    run(new, 2, hypotheses=[{"kind": "change", "changes": ["r-1"], "layer": "retrieval", "probability": 0.9}])
    assert recurrences(new, new.created_by) == []


def test_queries_do_not_grow_with_the_closed_incidents(pair, django_assert_num_queries):
    _, new = pair
    for number in range(3, 9):
        run(make_incident(f"INC-2025-000{number}", status="published", feature=make_feature(f"Other {number}")))
    recurrences(new, new.created_by)
    with django_assert_num_queries(5):
        assert len(recurrences(new, new.created_by)) == 1


def test_the_first_page_says_it(client, pair):
    _, new = pair
    client.force_login(new.created_by)
    said = client.get(f"/incidents/{new.number}/").content.decode()
    assert "This looks like 1 closed incident" in said
    assert "Never finished then" in said and "A-1 Never done" in said and "A-3" not in said
    answer = client.get(f"/api/incidents/{new.number}/recurrences/").json()["results"]
    assert [row["title"] for row in answer[0]["unfinished"]] == ["Never done", "Done, not verified"]
