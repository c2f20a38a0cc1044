"""What a finding proposes: verdict, evidence, a draft of the reason, the order in which layers are heard."""

import pytest

from postmortem.lib.layers import Layer
from postmortem.review.proposals import heard_order, proposed_reason


def finding(verdict: str) -> dict:
    row = {
        "layer": "prompt", "verdict": verdict, "probability": 0.9,
        "for": [{"text": "Exposed traces fell."}, {"text": "The rest did not"}, {"text": "A third"}],
        "against": [{"text": "Few traces"}],
    }  # fmt: skip
    return {"layers": [row]}


@pytest.mark.parametrize(
    ("verdict", "draft"),
    [
        ("ruled_in", "Exposed traces fell. The rest did not."),
        ("ruled_out", "Few traces."),
        ("open", "Exposed traces fell. Few traces."),
    ],
)
def test_the_draft_of_a_reason_speaks_the_way_the_proposal_goes(verdict, draft):
    assert proposed_reason(finding(verdict), Layer.PROMPT) == draft


def test_without_a_run_there_is_no_draft():
    assert proposed_reason(None, Layer.PROMPT) == ""


@pytest.mark.parametrize(
    ("probabilities", "suspected", "order"),
    [
        ({}, "", ["model", "prompt", "retrieval", "infrastructure"]),
        ({}, "model", ["prompt", "retrieval", "infrastructure", "model"]),
        ({"prompt": 0.9, "model": 0.1}, "model", ["retrieval", "infrastructure", "prompt", "model"]),
        ({"retrieval": 0.9}, "retrieval", ["model", "prompt", "infrastructure", "retrieval"]),
        # That the model did it is decided after the other three, so a model in favour comes after the suspect too.
        ({"model": 0.9, "prompt": 0.1}, "prompt", ["retrieval", "infrastructure", "prompt", "model"]),
    ],
)
def test_the_most_suspected_layers_are_heard_last(probabilities, suspected, order):
    assert [layer.value for layer in heard_order(probabilities, suspected)] == order
