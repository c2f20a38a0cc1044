"""Hand-made incidents of which everybody can see what happened, and what the attribution must say of them."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from postmortem.attribution.cases import case_folders, read_case
from postmortem.attribution.fit import fit_case
from postmortem.attribution.interface import attribute, result_to_json
from postmortem.attribution.shapes import AttributionResult, Hypothesis
from postmortem.lib.errors import UserError
from postmortem.lib.layers import Layer
from tests.attribution.builders import at, bystanders, case, change, world
from tests.benchmarks.simulator import simulate


def _change(result: AttributionResult, identifier: str) -> Hypothesis:
    return next(one for one in result.hypotheses if one.changes == (identifier,))


def _kind(result: AttributionResult, kind: str) -> Hypothesis:
    return next(one for one in result.hypotheses if one.kind == kind)


def _canary(hours: float, facets: dict[str, str], dice: float) -> dict[str, str]:
    ran = facets["prompt"] == "answer" and (dice < 0.3 if hours < 200 else True) and hours >= 170
    return {"prompt_version": "v2" if ran else "v1"}


@pytest.fixture(scope="module")
def canary() -> AttributionResult:
    """A prompt version reaches 30 % of one prompt at hour 170 and everybody at hour 200; it costs 25 points."""
    cause = change(
        "prompt-cause", Layer.PROMPT, 170, length=30, rollout="canary", canary_share=0.3, facet="prompt_version",
        to_version="v2", scope={"prompt": ("answer",)}, summary="Answer prompt v1 → v2",
    )  # fmt: skip
    traces = world(versions=_canary, harm=lambda hours, facets: 0.25 * (facets["prompt_version"] == "v2"))
    return attribute(case(traces, [*bystanders(), cause]))


def test_a_canary_that_did_harm_is_named(canary: AttributionResult) -> None:
    top = canary.hypotheses[0]
    assert top.changes == ("prompt-cause",)
    assert top.probability > 0.95
    assert canary.credible_sets[0].changes == ("prompt-cause",)
    assert canary.headline == "One change explains the drop: Answer prompt v1 → v2, P > 0.99"


def test_its_row_compares_like_with_like(canary: AttributionResult) -> None:
    row = canary.hypotheses[0].arithmetic
    assert row is not None
    assert row.difference.estimate == pytest.approx(row.exposed.mean - row.unexposed.mean)
    assert row.difference.interval[0] < -0.25 < row.difference.interval[1]
    assert row.difference.interval[1] < 0
    assert row.observed > 150
    assert 20 < row.exposed.count < row.observed  # those of the days when both versions ran
    assert row.expected == row.inferred == 0
    assert "At the same time" in canary.hypotheses[0].sentence


def test_its_layer_is_ruled_in_and_layers_of_bystanders_are_not(canary: AttributionResult) -> None:
    verdicts = {one.layer: one for one in canary.layers}
    assert [one.layer for one in canary.layers] == list(Layer)
    assert verdicts[Layer.PROMPT].verdict == "ruled_in"
    assert all(one.verdict != "ruled_in" for layer, one in verdicts.items() if layer is not Layer.PROMPT)
    assert verdicts[Layer.PROMPT].evidence_for[0].change == "prompt-cause"
    assert all(one.evidence_against for layer, one in verdicts.items() if layer is not Layer.PROMPT)


def test_the_onset_is_when_it_began(canary: AttributionResult) -> None:
    assert canary.onset is not None
    assert canary.onset.interval[0] <= at(170) <= canary.onset.interval[1]


def test_the_leading_change_has_a_picture(canary: AttributionResult) -> None:
    series = canary.hypotheses[0].exposed_series
    assert series is not None
    both = [part for part in series if part.exposed and part.unexposed]
    assert both
    assert (
        sum(part.exposed.mean < part.unexposed.mean for part in both if part.exposed and part.unexposed) > len(both) / 2
    )


def test_a_step_that_nobody_logged_is_not_blamed_on_a_bystander() -> None:
    traces = world(seed=2, harm=lambda hours, facets: 0.3 * (hours >= 172))
    result = attribute(case(traces, bystanders()))
    assert result.hypotheses[0].kind == "unlogged"
    assert max(one.probability for one in result.hypotheses if one.kind == "change") < 0.5
    assert result.headline.startswith("No logged change explains the drop")
    assert "ruled_in" not in {one.verdict for one in result.layers}


def test_a_silent_model_update_is_named_as_unlogged_with_its_layer() -> None:
    def served(hours: float, facets: dict[str, str], dice: float) -> dict[str, str]:
        return {"model_served": f"{facets['model']}-b" if facets["model"] == "large" and hours > 175 else "a"}

    traces = world(seed=3, versions=served, harm=lambda hours, f: 0.3 * f["model_served"].endswith("-b"))
    result = attribute(case(traces, bystanders()))
    top = result.hypotheses[0]
    assert (top.kind, top.layer) == ("unlogged", Layer.MODEL)
    assert top.probability > 0.9
    assert top.title.startswith("Served model ")
    assert [row.to_version for row in result.never_logged] == ["large-b"]
    assert next(one for one in result.layers if one.layer is Layer.MODEL).verdict == "ruled_in"


def test_what_ran_all_along_cannot_explain_what_came_after() -> None:
    """Before hour 12 everything was better by chance; the change of that hour is as old as the quiet time."""
    traces = world(harm=lambda hours, facets: 0.1 * (hours > 12))
    result = attribute(case(traces, [*bystanders(), change("old", Layer.INFRASTRUCTURE, 12)]))
    old = _change(result, "old")
    assert old.probability == 0.0 and old.arithmetic is not None
    assert re.match(r"9\d% of its traffic already ran on it in the quiet time", old.sentence)
    younger = attribute(case(traces, [*bystanders(), change("old", Layer.INFRASTRUCTURE, 160)]))
    assert "quiet time" not in _change(younger, "old").sentence


def test_an_unlogged_step_has_its_row_and_its_picture_too() -> None:
    result = attribute(case(world(harm=lambda hours, facets: 0.2 * (hours > 190)), bystanders()))
    top = result.hypotheses[0]
    row = top.arithmetic
    assert top.kind == "unlogged" and row is not None and top.exposed_series
    assert row.difference.estimate == pytest.approx(-0.2, abs=0.1) and row.difference.interval[1] < 0
    assert row.probability == top.probability and row.prior == pytest.approx(0.2) and row.log_bayes_factor > 5


def test_a_shift_of_the_traffic_mix_is_told_from_a_regression() -> None:
    traces = world(seed=4, count=5000, prompts=lambda hours: [0.4, 0.35, 0.25] if hours < 168 else [0.05, 0.1, 0.85])
    result = attribute(case(traces, bystanders(), baseline=(at(0), at(168)), incident=(at(168), at(228))))
    assert result.drop.interval[1] < -0.05
    assert result.mix is not None
    assert result.mix.facet == "prompt"
    assert result.mix.mix.estimate == pytest.approx(result.mix.total, abs=0.05)
    changes = [one.probability for one in result.hypotheses if one.kind == "change"]
    assert _kind(result, "mix").probability > max(changes)
    assert _kind(result, "mix").probability > _kind(result, "none").probability
    assert result.hypotheses[0].kind == "mix"


def test_noise_gives_nobody_the_blame() -> None:
    result = attribute(case(world(seed=5), bystanders()))
    assert max(one.probability for one in result.hypotheses if one.kind == "change") < 0.5
    assert "ruled_in" not in {one.verdict for one in result.layers}


def test_a_change_that_reached_no_trace_cannot_be_a_cause() -> None:
    ghost = change("ghost", Layer.RETRIEVAL, 171, facet="index_version", to_version="v9")
    traces = world(
        seed=6, versions=lambda hours, facets, dice: {"index_version": "v1"}, harm=lambda hours, f: 0.3 * (hours >= 172)
    )
    result = attribute(case(traces, [*bystanders(), ghost]))
    assert _change(result, "ghost").probability == 0.0
    assert "reached no trace" in _change(result, "ghost").sentence
    assert [row.change for row in result.never_observed] == ["ghost"]


def test_versions_that_the_log_tells_backwards_do_not_swap_their_blame() -> None:
    def versions(hours: float, facets: dict[str, str], dice: float) -> dict[str, str]:
        number = "0" if hours < 190 else "1" if hours < 200 else "2"
        return {"prompt_version": number if facets["prompt"] == "draft" else "0"}

    traces = world(versions=versions, harm=lambda hours, facets: 0.4 * (facets["prompt"] == "draft" and hours >= 190))
    log = [
        change("second", Layer.PROMPT, 186, scope={"prompt": ("draft",)}, facet="prompt_version", to_version="2"),
        change("first", Layer.PROMPT, 196, scope={"prompt": ("draft",)}, facet="prompt_version", to_version="1"),
    ]
    result = attribute(case(traces, log))
    assert result.hypotheses[0].changes == ("first",)
    assert result.hypotheses[0].probability > 0.9


def test_a_harm_that_a_later_version_hides_is_found_by_the_clock() -> None:
    """A trace on version 2 does not tell that change 1 reached it later than its version came."""

    def versions(hours: float, facets: dict[str, str], dice: float) -> dict[str, str]:
        return {"prompt_version": "2" if facets["prompt"] == "draft" and hours >= 170 else "0"}

    traces = world(versions=versions, harm=lambda hours, facets: 0.4 * (facets["prompt"] == "draft" and hours >= 195))
    log = [
        change("first", Layer.PROMPT, 165, length=30, scope={"prompt": ("draft",)}, facet="prompt_version",
               to_version="1", rollout="canary", canary_share=0.05),
        change("second", Layer.PROMPT, 170, scope={"prompt": ("draft",)}, facet="prompt_version", to_version="2"),
    ]  # fmt: skip
    result = attribute(case(traces, log))
    assert result.hypotheses[0].changes == ("first",)
    assert result.hypotheses[0].probability > 0.5


def test_latency_that_rises_for_one_region_is_attributed_in_seconds() -> None:
    cause = change(
        "infra-cause", Layer.INFRASTRUCTURE, 174, scope={"region": ("us",)}, summary="Scheduler first in first out"
    )
    traces = world(seed=7, latency=True, harm=lambda hours, f: 0.6 * (hours >= 174 and f["region"] == "us"))
    result = attribute(case(traces, [*bystanders(), cause], signal="latency", worse="higher"))
    assert result.signal.unit == "s"
    assert result.hypotheses[0].changes == ("infra-cause",)
    assert result.hypotheses[0].probability > 0.9
    assert result.hypotheses[0].effect is not None
    assert result.hypotheses[0].effect.interval[0] > 0.3
    assert "rise" in result.headline
    assert result.drop.estimate > 0


def test_an_improvement_is_not_a_cause_of_harm() -> None:
    helper = change("helper", Layer.PROMPT, 172, scope={"prompt": ("draft",)})
    traces = world(seed=8, harm=lambda hours, f: -0.18 * (hours >= 172 and f["prompt"] == "draft"))
    result = attribute(case(traces, [*bystanders(), helper]))
    assert _change(result, "helper").probability < 0.1


def test_two_changes_at_once_cannot_be_told_apart() -> None:
    twins = [change(f"twin-{n}", Layer.PROMPT, 172, scope={"prompt": ("answer",)}) for n in (1, 2)]
    traces = world(seed=9, harm=lambda hours, f: 0.3 * (hours >= 172 and f["prompt"] == "answer"))
    result = attribute(case(traces, [*bystanders(), *twins]))
    assert {"twin-1", "twin-2"} <= set(result.credible_sets[0].changes)
    assert all(0.3 < _change(result, one.id).probability < 0.7 for one in twins)
    assert next(one for one in result.layers if one.layer is Layer.PROMPT).verdict == "ruled_in"


def test_without_changes_the_layers_stay_open_unless_something_else_explains_it() -> None:
    result = attribute(case(world(seed=10), []))
    assert {one.kind for one in result.hypotheses} == {"unlogged", "mix", "none"}
    assert {one.verdict for one in result.layers} == {"open"}


def test_a_layer_that_stays_open_says_what_keeps_it_open() -> None:
    quiet = attribute(case(world(), bystanders()))
    unlogged = attribute(case(world(harm=lambda hours, facets: 0.2 * (hours > 190)), bystanders()))
    bare = attribute(case(world(), []))
    left = [(one, result) for result in (quiet, unlogged, bare) for one in result.layers if one.verdict == "open"]
    assert left and all(one.evidence_for for one, _ in left)
    said = " ".join(text.text for one, _ in left for text in one.evidence_for)
    assert "could still hide in" in said and "could lie in any layer" in said and "nobody logged" in said


def test_too_few_traces_are_refused_with_what_to_do() -> None:
    with pytest.raises(UserError, match=r"Only 20 of 20 traces carry the signal “success”"):
        attribute(case(world(count=20), bystanders()))
    with pytest.raises(UserError, match="Only 0 of 100 traces"):
        attribute(case(world(count=100), bystanders(), signal="no such score"))


def test_a_window_without_traces_is_refused() -> None:
    with pytest.raises(UserError, match="baseline window holds no traces"):
        attribute(case(world(), bystanders(), baseline=(at(-200), at(-100)), incident=(at(168), at(228))))


def test_a_large_incident_does_not_make_quiet_days_look_restless() -> None:
    traces = world(harm=lambda hours, facets: 0.5 * (hours >= 170))
    assert fit_case(case(traces, bystanders())).inflation < 1.6


def test_equal_inputs_give_equal_answers(canary: AttributionResult) -> None:
    traces = world(seed=5, count=800)
    one, other = (json.dumps(result_to_json(attribute(case(traces, bystanders())))) for _ in range(2))
    assert one == other


def test_a_signal_that_never_varies_gives_no_answer_but_no_error_either() -> None:
    traces = [dataclasses.replace(trace, scores={"success": 1.0}) for trace in world(count=400)]
    result = attribute(case(traces, bystanders()))
    assert max(one.probability for one in result.hypotheses if one.kind == "change") < 0.5


def test_every_change_is_there_once_with_one_of_each_other_kind(canary: AttributionResult) -> None:
    kinds = [one.kind for one in canary.hypotheses]
    assert sorted(one.changes[0] for one in canary.hypotheses if one.kind == "change") == sorted(
        [one.id for one in bystanders()] + ["prompt-cause"]
    )
    assert [kinds.count(kind) for kind in ("unlogged", "mix", "none")] == [1, 1, 1]
    probabilities = [one.probability for one in canary.hypotheses]
    assert probabilities == sorted(probabilities, reverse=True)
    assert all(0 <= one <= 1 for one in probabilities)


def test_the_published_json_has_the_agreed_shape(canary: AttributionResult) -> None:
    result = json.loads(json.dumps(result_to_json(canary), allow_nan=False))
    assert set(result) == {
        "method", "headline", "lede", "signal", "windows", "drop", "onset", "series", "hypotheses", "layers",
        "credible_sets", "told_apart", "reconciliation", "mix", "settle", "counts", "recovery", "endings",
        "interactions", "versions",
    }  # fmt: skip
    assert result["signal"] == {
        "name": "success", "label": "success", "worse": "lower", "kind": "binary", "unit": "share",
    }  # fmt: skip
    window = {"start", "end", "count", "mean", "interval"}
    assert set(result["windows"]) == {"baseline", "incident"}
    assert all(set(one) == window for one in [*result["windows"].values(), *result["series"]])
    assert 30 <= len(result["series"]) <= 60
    assert set(result["onset"]) == {"at", "interval"}
    assert result["onset"]["at"].endswith("Z")
    top = result["hypotheses"][0]
    assert set(top) == {
        "kind", "changes", "layer", "probability", "effect", "title", "sentence", "arithmetic", "exposed_series",
    }  # fmt: skip
    assert set(top["arithmetic"]) == {
        "exposed", "unexposed", "difference", "strata", "z", "log_bayes_factor", "prior", "inflation", "probability",
            "basis",
    }  # fmt: skip
    assert set(top["arithmetic"]["basis"]) == {"observed", "inferred", "expected"}
    assert set(top["exposed_series"][0]) == {"start", "end", "exposed", "unexposed"}
    assert all(one["exposed_series"] is None for one in result["hypotheses"][5:])
    assert [one["layer"] for one in result["layers"]] == ["model", "prompt", "retrieval", "infrastructure"]
    for layer in result["layers"]:
        assert set(layer) == {"layer", "probability", "verdict", "largest_hidden_harm", "for", "against"}
        assert layer["verdict"] in {"ruled_in", "ruled_out", "open"}
        assert all(set(one) == {"text", "change"} for one in [*layer["for"], *layer["against"]])
    assert set(result["reconciliation"]) == {"never_observed", "never_logged"}
    assert set(result["mix"]) == {"total", "mix", "mix_interval", "within", "within_interval", "facet", "groups"}
    assert result["counts"] == {"traces": 3000, "with_signal": 3000, "changes": 5}


def test_a_case_folder_reads_back_what_was_written(tmp_path: Path) -> None:
    truth = simulate(3, tmp_path / "case-3", traces=400, family="plain")
    (folder,) = case_folders(tmp_path)
    read = read_case(folder)
    assert read.signal == truth["metric"]
    assert set(truth["causes"]) <= {one.id for one in read.changes}
    assert 200 < read.cells.trace_count <= read.trace_count <= 400


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("incident.json", "[]", "is not an object"),
        ("incident.json", '{"signal": "a"}', "detected_at"),
        ("incident.json", '{"signal": "a", "worse": "odd", "detected_at": "2026-01-01T00:00:00Z"}', "worse must be"),
        ("changes.jsonl", '{"id": "a"}\n', r"changes\.jsonl, line 1"),
        ("traces.jsonl", '{"id": "a", "timestamp": "2026-01-01T00:00:00Z", "facets": {}}\n{"id":', "line 2"),
        ("traces.jsonl", '{"id": "a", "facets": {}}\n', "line 1"),
    ],
)
def test_a_broken_case_is_refused_naming_file_and_line(tmp_path: Path, file: str, text: str, said: str) -> None:
    folder = tmp_path / "case"
    folder.mkdir()
    (folder / "incident.json").write_text('{"signal": "a", "worse": "lower", "detected_at": "2026-01-01T00:00:00Z"}')
    (folder / "traces.jsonl").write_text('{"id": "a", "timestamp": "2026-01-01T00:00:00Z", "facets": {}}\n')
    (folder / file).write_text(text)
    with pytest.raises(UserError, match=said):
        read_case(folder)
