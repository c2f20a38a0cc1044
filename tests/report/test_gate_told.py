"""The whole answer of the gate, word by word: when all is met, when nothing is known, and in between. Pure."""

import pytest

from postmortem.report.gate import ActionFacts, GateFacts, check_gate, empty_layers
from tests.report.test_gate import complete, layer_facts

TOLD_WHEN_COMPLETE = [
    (
        "summary",
        True,
        "The summary is written",
        "What happened, in two or three sentences that a reader from outside understands.",
    ),
    ("impact", True, "The impact is written", "Who was touched, how badly and how we know."),
    ("onset", True, "The time of onset is set", "When the signal began to fall. The attribution proposes a time."),
    ("detected", True, "The time of detection is set", "When the first person or alert noticed."),
    ("mitigated", True, "The time of mitigation is set", "When the harm was stopped."),
    ("evidence", True, "Evidence is imported", "4,000 traces."),
    ("changes", True, "Change logs are present", "15 changes."),
    ("attribution", True, "The attribution is up to date", "Run 3."),
    (
        "verdict-model",
        True,
        "Model is OUT",
        "Priya Nair leads this layer. The attribution rules it out, P 0.02. 2 pieces of evidence.",
    ),
    (
        "verdict-prompt",
        True,
        "Prompt is INSUFFICIENT",
        "Priya Nair leads this layer. The attribution rules it out, P 0.02. 2 pieces of evidence.",
    ),
    (
        "instrument-prompt",
        True,
        "Prompt is INSUFFICIENT and says what to log next time",
        "1 action item of kind instrument.",
    ),
    (
        "verdict-retrieval",
        True,
        "Retrieval is IN",
        "Priya Nair leads this layer. The attribution rules it out, P 0.02. 2 pieces of evidence.",
    ),
    ("factor-retrieval", True, "Retrieval is IN and has a contributing factor", "2 contributing factors."),
    ("signed-retrieval", True, "Retrieval is IN and its lead has signed", "Priya Nair."),
    (
        "verdict-infrastructure",
        True,
        "Infrastructure is OUT",
        "Priya Nair leads this layer. The attribution rules it out, P 0.02. 2 pieces of evidence.",
    ),
    ("graph-acyclic", True, "The causal graph has no circle", ""),
    ("graph-connected", True, "The causal graph connects causes and impact", "4 factors."),
    ("paths-cut", True, "Every path from a cause to the impact is cut", "By an action item or an accepted risk."),
    ("actions", True, "1 action item", ""),
    ("owners", True, "Every action item has an active owner", ""),
    ("signed-facilitator", True, "The facilitator has signed", "Helen Lindqvist."),
]
TOLD_WHEN_EMPTY = [
    (
        "summary",
        False,
        "The summary is not written",
        "What happened, in two or three sentences that a reader from outside understands.",
    ),
    ("impact", False, "The impact is not written", "Who was touched, how badly and how we know."),
    ("onset", False, "The time of onset is missing", "When the signal began to fall. The attribution proposes a time."),
    ("detected", False, "The time of detection is missing", "When the first person or alert noticed."),
    ("mitigated", False, "The time of mitigation is missing", "When the harm was stopped."),
    ("evidence", False, "No evidence is imported", "Paste a trace link or upload an export."),
    ("changes", False, "No change is logged", "Bring the logs of model, prompt, retrieval and infrastructure."),
    (
        "attribution",
        False,
        "Attribution was not run",
        "It joins traces and changes and proposes a verdict for each layer.",
    ),
    ("verdict-model", False, "Model has no verdict", "Nobody leads this layer yet. No evidence added yet."),
    ("verdict-prompt", False, "Prompt has no verdict", "Nobody leads this layer yet. No evidence added yet."),
    ("verdict-retrieval", False, "Retrieval has no verdict", "Nobody leads this layer yet. No evidence added yet."),
    (
        "verdict-infrastructure",
        False,
        "Infrastructure has no verdict",
        "Nobody leads this layer yet. No evidence added yet.",
    ),
    ("graph-acyclic", True, "The causal graph has no circle", ""),
    (
        "graph-connected",
        False,
        "The causal graph connects no cause to the impact",
        "Add the impact as a factor and draw an arrow from a cause to it.",
    ),
    (
        "signed-facilitator",
        False,
        "Nobody facilitates",
        "Name a facilitator among the participants; they sign the whole review.",
    ),
]
TOLD_IN_BETWEEN = [
    (
        "summary",
        True,
        "The summary is written",
        "What happened, in two or three sentences that a reader from outside understands.",
    ),
    ("impact", True, "The impact is written", "Who was touched, how badly and how we know."),
    ("onset", True, "The time of onset is set", "When the signal began to fall. The attribution proposes a time."),
    ("detected", True, "The time of detection is set", "When the first person or alert noticed."),
    ("mitigated", True, "The time of mitigation is set", "When the harm was stopped."),
    ("evidence", True, "Evidence is imported", "4,000 traces."),
    ("changes", True, "Change logs are present", "15 changes."),
    ("attribution", True, "The attribution is up to date", "Run 3."),
    ("verdict-model", False, "Model has no verdict", "Nobody leads this layer yet. No evidence added yet."),
    (
        "verdict-prompt",
        True,
        "Prompt is IN",
        "Amara Obi leads this layer. The attribution leaves it open, P 0.40. 1 piece of evidence.",
    ),
    (
        "factor-prompt",
        False,
        "Prompt is IN and has no contributing factor",
        "Say what in this layer led to the impact: latent condition, trigger, amplifier or gap.",
    ),
    ("signed-prompt", False, "Prompt is IN and its lead has not signed", "Amara Obi leads this layer."),
    (
        "verdict-retrieval",
        True,
        "Retrieval is IN",
        "Nobody leads this layer yet. The attribution rules it out, P 0.02. 2 pieces of evidence.",
    ),
    ("factor-retrieval", True, "Retrieval is IN and has a contributing factor", "1 contributing factor."),
    ("signed-retrieval", True, "Retrieval is IN and its lead has signed", ""),
    (
        "verdict-infrastructure",
        True,
        "Infrastructure is INSUFFICIENT",
        "Priya Nair leads this layer. The attribution has no word on it, P 0.30. 2 pieces of evidence.",
    ),
    (
        "instrument-infrastructure",
        False,
        "Infrastructure is INSUFFICIENT and names nothing to log next time",
        "Add an action item of kind instrument for infrastructure.",
    ),
    ("graph-acyclic", True, "The causal graph has no circle", ""),
    (
        "graph-connected",
        False,
        "5 factors of the causal graph lead to no impact",
        "Lead nowhere: A, B, C, D and 1 more.",
    ),
    ("paths-cut", False, "One path from a cause to the impact is not cut", "F → Impact. Fewest cuts: F and G."),
    ("actions", False, "There is no action item", "Prompt and Retrieval are IN and nobody does anything."),
    (
        "signed-facilitator",
        False,
        "The review changed after the facilitator signed",
        "Helen and Ana have to read it again and sign.",
    ),
]

IN_BETWEEN = complete(
    layers=(
        layer_facts("model", verdict="", evidence_count=0, lead="", proposed="", probability=None),
        layer_facts(
            "prompt", verdict="in", evidence_count=1, lead="Amara Obi", proposed="insufficient", probability=0.4
        ),
        layer_facts("retrieval", verdict="in", factor_count=1, signed=True, lead=""),
        layer_facts("infrastructure", verdict="insufficient", proposed="strange", probability=0.3),
    ),
    actions=(),
    orphans=("A", "B", "C", "D", "E"),
    uncut_paths=(("F", "Impact"),),
    cut_suggestion=("F", "G"),
    facilitators=("Helen", "Ana"),
    facilitator_signed=False,
    facilitator_signature_withdrawn=True,
)


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        (complete(), TOLD_WHEN_COMPLETE),
        (GateFacts(layers=empty_layers()), TOLD_WHEN_EMPTY),
        (IN_BETWEEN, TOLD_IN_BETWEEN),
    ],
)
def test_the_gate_tells_each_rule_in_these_words(facts, told):
    assert [(rule.id, rule.met, rule.title, rule.detail) for rule in check_gate(facts)] == told


def test_it_says_which_run_is_out_of_date_and_who_has_to_read_again():
    details = {rule.id: rule.detail for rule in check_gate(complete(finding_stale=True))}
    assert details["attribution"].endswith("altered after run 3. Run it again.")
    alone = complete(facilitator_signed=False, facilitator_signature_withdrawn=True)
    assert check_gate(alone)[-1].detail == "Helen Lindqvist has to read it again and sign."
    assert check_gate(complete(facilitator_signed=False))[-1].detail == "Helen Lindqvist signs for the whole review."


def test_the_title_of_the_action_rule_counts_and_one_inactive_owner_takes_the_good_word_away():
    two = (ActionFacts(1, "One", "Priya"), ActionFacts(2, "Two", "Dana", owner_active=False))
    rules = {rule.id: rule for rule in check_gate(complete(actions=two))}
    assert rules["actions"].title == "2 action items"
    assert "owners" not in rules and rules["owner-2"].detail == "Dana is not active any more. Hand “Two” over."
    assert "owners" not in {rule.id for rule in check_gate(complete(actions=()))}


def test_one_orphan_leads_and_several_lead():
    assert "1 factor of the causal graph leads" in check_gate(complete(orphans=("A",)))[16].title
