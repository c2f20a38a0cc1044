"""What would settle it: experiments appear when changes cannot be told apart, and their sizes have the power said."""

import numpy as np
import pytest
from scipy import stats

from postmortem.attribution.interface import attribute, result_to_json
from postmortem.attribution.settle import traces_needed
from postmortem.lib.layers import Layer
from tests.attribution.builders import bystanders, case, change, world


@pytest.mark.parametrize(("good", "harm", "ratio"), [(0.9, 0.1, 1.0), (0.8, 0.15, 9.0), (0.6, 0.2, 3.0)])
def test_the_number_of_traces_has_the_power_it_says(good: float, harm: float, ratio: float) -> None:
    bad = good - harm
    needed = traces_needed(variance_1=bad * (1 - bad), variance_0=good * (1 - good), harm=harm, ratio=ratio)
    other = int(needed * ratio)
    dice = np.random.default_rng(4)
    low, high = dice.binomial(needed, bad, 4000) / needed, dice.binomial(other, good, 4000) / other
    error = np.sqrt(low * (1 - low) / needed + high * (1 - high) / other)
    seen = np.abs(high - low) / error > stats.norm.ppf(0.975)
    assert 0.86 < seen.mean() < 0.95


def test_no_harm_cannot_be_planned_for() -> None:
    with pytest.raises(ValueError, match="No harm"):
        traces_needed(variance_1=0.1, variance_0=0.1, harm=0.0)


def test_twins_get_experiments_and_a_clear_cause_gets_none() -> None:
    traces = world(harm=lambda hours, facets: 0.25 * (hours >= 170 and facets["prompt"] == "answer"))
    twins = [
        change("prompt-x", Layer.PROMPT, 170, scope={"prompt": ("answer",)}),
        change("infra-x", Layer.INFRASTRUCTURE, 170, scope={"prompt": ("answer",)}),
    ]
    result = result_to_json(attribute(case(traces, [*bystanders(), *twins])))
    assert {one["change"] for one in result["settle"]} == {"prompt-x", "infra-x"}
    replay = next(one for one in result["settle"] if one["kind"] == "replay")
    assert replay["change"] == "prompt-x"
    assert 20 <= replay["traces"] <= 400
    assert all(one["traces"] >= 10 and one["harm"] > 0 for one in result["settle"])
    assert not any(one["kind"] == "replay" for one in result["settle"] if one["change"] == "infra-x")
    alone = change("prompt-x", Layer.PROMPT, 170, facet="prompt_version", to_version="v2", from_version="v1")
    canary = world(
        versions=lambda hours, _, dice: {"prompt_version": "v2" if hours >= 170 and dice < 0.4 else "v1"},
        harm=lambda _, facets: 0.3 * (facets["prompt_version"] == "v2"),
    )
    clear = result_to_json(attribute(case(canary, [*bystanders(), alone])))
    assert clear["hypotheses"][0]["probability"] > 0.9
    assert clear["settle"] == []


def test_places_outside_a_changes_scope_are_not_proposed() -> None:
    traces = world(harm=lambda hours, facets: 0.25 * (hours >= 170 and facets["region"] == "eu"))
    twins = [
        change("infra-y", Layer.INFRASTRUCTURE, 170, scope={"region": ("eu",)}),
        change("prompt-y", Layer.PROMPT, 170, scope={"region": ("eu",)}),
    ]
    result = result_to_json(attribute(case(traces, [*bystanders(), *twins])))
    assert result["settle"]
    assert not any("region" in one["title"] for one in result["settle"])
