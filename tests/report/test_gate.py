"""Every rule of the gate, both ways. Pure: no database."""

from dataclasses import replace

import pytest

from postmortem.lib.clock import parse_moment
from postmortem.lib.layers import LAYERS
from postmortem.report.gate import (
    ActionFacts,
    GateFacts,
    GateRule,
    LayerFacts,
    check_gate,
    empty_layers,
    missing,
    next_step,
)

ONSET = parse_moment("2026-03-09T09:40:00Z")
LATER = parse_moment("2026-03-11T15:25:00Z")


def layer_facts(name: str, **changed) -> LayerFacts:
    """A layer that is OUT with evidence, unless said otherwise."""
    layer = next(layer for layer in LAYERS if layer.value == name)
    plain = LayerFacts(layer, verdict="out", evidence_count=2, lead="Priya Nair", proposed="out", probability=0.02)
    return replace(plain, **changed)


def complete(**changed) -> GateFacts:
    """Facts with which everything is met: retrieval is IN, prompt INSUFFICIENT, the others OUT."""
    facts = GateFacts(
        layers=(
            layer_facts("model"),
            layer_facts("prompt", verdict="insufficient", instrument_count=1),
            layer_facts("retrieval", verdict="in", factor_count=2, signed=True),
            layer_facts("infrastructure"),
        ),
        summary="Answers went stale.",
        impact="412 customers.",
        onset=ONSET,
        detected=LATER,
        mitigated=LATER,
        trace_count=4000,
        change_count=15,
        finding_number=3,
        factor_count=4,
        has_impact_node=True,
        connects_cause_to_impact=True,
        actions=(ActionFacts(1, "Refuse mixed ids", "Priya Nair"),),
        facilitators=("Helen Lindqvist",),
        facilitator_signed=True,
    )
    return replace(facts, **changed)


def with_layer(name: str, **changed) -> GateFacts:
    facts = complete()
    return replace(
        facts, layers=tuple(replace(one, **changed) if one.layer.value == name else one for one in facts.layers)
    )


def rule(facts: GateFacts, rule_id: str) -> GateRule:
    return next(rule for rule in check_gate(facts) if rule.id == rule_id)


def test_a_complete_incident_misses_nothing():
    assert missing(check_gate(complete())) == []


@pytest.mark.parametrize(
    ("rule_id", "facts", "words", "stage", "anchor"),
    [
        ("summary", complete(summary="  "), "summary is not written", "overview", "field-summary"),
        ("impact", complete(impact=""), "impact is not written", "overview", "field-impact"),
        ("onset", complete(onset=None), "time of onset is missing", "overview", "field-onset_at"),
        ("detected", complete(detected=None), "time of detection is missing", "overview", "field-detected_at"),
        ("mitigated", complete(mitigated=None), "time of mitigation is missing", "overview", "field-mitigated_at"),
        (
            "times-in-order",
            complete(onset=LATER, mitigated=ONSET),
            "before the onset",
            "overview",
            "field-mitigated_at",
        ),
        ("evidence", complete(trace_count=0), "No evidence", "evidence", "import"),
        ("changes", complete(change_count=0), "No change is logged", "changes", "add"),
        ("attribution", complete(finding_number=None), "was not run", "attribution", "run"),
        ("attribution", complete(finding_stale=True), "out of date", "attribution", "run"),
        ("verdict-model", with_layer("model", verdict=""), "Model has no verdict", "review", "verdict"),
        ("verdict-model", with_layer("model", evidence_count=0), "OUT without evidence", "review", "verdict"),
        ("instrument-prompt", with_layer("prompt", instrument_count=0), "nothing to log", "actions", "new"),
        ("factor-retrieval", with_layer("retrieval", factor_count=0), "no contributing factor", "review", "factors"),
        ("signed-retrieval", with_layer("retrieval", signed=False), "lead has not signed", "review", "sign-off"),
        ("signed-retrieval", with_layer("retrieval", signed=False, lead=""), "nobody leads", "review", "sign-off"),
        (
            "signed-retrieval",
            with_layer("retrieval", signed=False, signature_withdrawn=True),
            "changed after its lead signed",
            "review",
            "sign-off",
        ),
        ("graph-acyclic", complete(graph_acyclic=False), "circle", "review", "graph"),
        ("graph-connected", complete(connects_cause_to_impact=False), "connects no cause", "review", "graph"),
        (
            "graph-connected",
            complete(has_impact_node=False, connects_cause_to_impact=False),
            "connects no cause",
            "review",
            "graph",
        ),
        ("graph-connected", complete(orphans=("A stray factor",)), "leads to no impact", "review", "graph"),
        ("paths-cut", complete(uncut_paths=(("Cache", "Impact"),)), "One path", "actions", "new"),
        ("actions", complete(actions=()), "no action item", "actions", "new"),
        (
            "owner-2",
            complete(actions=(ActionFacts(2, "Alert on recall", "Dana Levi", owner_active=False),)),
            "A-2 has no active owner",
            "actions",
            "action-2",
        ),
        (
            "due-2",
            complete(actions=(ActionFacts(2, "Alert on recall", "Dana Levi", has_due_date=False),)),
            "A-2 has no due date",
            "actions",
            "action-2",
        ),
        (
            "verification-2",
            complete(actions=(ActionFacts(2, "Alert on recall", "Dana Levi", has_verification=False),)),
            "A-2 has no verification",
            "actions",
            "action-2",
        ),
        (
            "graph-connected",
            complete(has_impact_node=False, connects_cause_to_impact=True),
            "connects no cause",
            "review",
            "graph",
        ),
        ("signed-facilitator", complete(facilitator_signed=False), "facilitator has not signed", "review", "sign-off"),
        (
            "signed-facilitator",
            complete(facilitator_signed=False, facilitator_signature_withdrawn=True),
            "changed after the facilitator signed",
            "review",
            "sign-off",
        ),
        (
            "signed-facilitator",
            complete(facilitator_signed=False, facilitators=()),
            "Nobody facilitates",
            "review",
            "sign-off",
        ),
    ],
)
def test_each_rule_is_missed_and_says_where_it_is_mended(rule_id, facts, words, stage, anchor):
    missed = missing(check_gate(facts))
    assert [one.id for one in missed] == [rule_id]
    assert words in missed[0].title
    assert missed[0].stage == stage
    if rule_id != "verdict-model":
        assert missed[0].anchor == anchor


def test_rules_of_a_layer_name_it_and_who_leads_it():
    missed = rule(with_layer("infrastructure", verdict="", proposed="insufficient", probability=0.09, lead="Tomasz"),
                  "verdict-infrastructure")  # fmt: skip
    assert missed.layer == "infrastructure"
    assert "Tomasz leads this layer" in missed.detail
    assert "leaves it open, P 0.09" in missed.detail


def test_rules_that_do_not_apply_are_not_listed():
    ids = {one.id for one in check_gate(complete())}
    assert "instrument-model" not in ids
    assert "signed-model" not in ids
    assert "times-in-order" not in ids


def test_uncut_paths_are_told_with_the_fewest_cuts():
    facts = complete(
        uncut_paths=(("Cache", "Stale answers", "Impact"), ("Alert", "Impact")), cut_suggestion=("Stale answers",)
    )
    missed = rule(facts, "paths-cut")
    assert "2 paths" in missed.title
    assert "Cache → Stale answers → Impact" in missed.detail
    assert "Fewest cuts: Stale answers" in missed.detail


def test_paths_are_not_judged_before_there_are_any():
    ids = {one.id for one in check_gate(complete(connects_cause_to_impact=False))}
    assert "paths-cut" not in ids


def test_an_incident_of_which_nothing_is_known_misses_every_layer():
    missed = {one.id for one in missing(check_gate(GateFacts(layers=empty_layers())))}
    assert {f"verdict-{layer.value}" for layer in LAYERS} <= missed
    assert {"summary", "evidence", "changes", "attribution", "graph-connected", "signed-facilitator"} <= missed
    assert "actions" not in missed


ORDER = ("retrieval", "infrastructure", "prompt", "model")


@pytest.mark.parametrize(
    ("facts", "rule_id"),
    [
        (GateFacts(layers=empty_layers()), "summary"),
        (with_layer("model", verdict=""), "verdict-model"),
        (complete(layers=empty_layers()), "verdict-retrieval"),
        (complete(layers=empty_layers(), mitigated=None), "mitigated"),
        (complete(facilitator_signed=False, uncut_paths=(("Cache", "Impact"),)), "paths-cut"),
        (with_layer("retrieval", signed=False), "signed-retrieval"),
        (replace(with_layer("retrieval", signed=False), uncut_paths=(("Cache", "Impact"),)), "paths-cut"),
        (
            complete(
                layers=(
                    layer_facts("model"),
                    layer_facts("prompt", verdict="insufficient"),
                    layer_facts("retrieval"),
                    layer_facts("infrastructure", verdict=""),
                )
            ),
            "verdict-infrastructure",
        ),
    ],
)
def test_the_next_step_is_the_record_then_verdicts_in_their_order_then_work_then_signatures(facts, rule_id):
    step = next_step(check_gate(facts), ORDER)
    assert step is not None and step.id == rule_id


def test_the_lead_signs_before_the_facilitator_and_nothing_comes_after():
    facts = replace(with_layer("retrieval", signed=False), facilitator_signed=False)
    step = next_step(check_gate(facts), ORDER)
    assert step is not None and step.id == "signed-retrieval"
    assert next_step(check_gate(complete()), ORDER) is None


@pytest.mark.parametrize("changed", [{"impact": "  "}, {"actions": ()}, {"finding_stale": True}, {"trace_count": 0}])
def test_one_missing_thing_is_enough(changed):
    assert len(missing(check_gate(complete(**changed)))) == 1


def test_every_path_that_an_action_or_an_accepted_risk_leaves_open_is_counted():
    three = (("A", "Impact"), ("B", "Impact"), ("C", "Impact"), ("D", "Impact"))
    missed = rule(complete(uncut_paths=three, more_uncut_paths=True), "paths-cut")
    assert missed.title.startswith("More than 4 paths")
    assert "D → Impact" not in missed.detail
