"""The eleven failure patterns: each matches, each leaves its near miss alone, each says when data are too few."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from postmortem.attribution.patterns import compare as comparing
from postmortem.attribution.patterns.detectors import DETECTORS, detect_patterns
from postmortem.attribution.patterns.retirements import model_retirements
from postmortem.attribution.patterns.shapes import PatternFinding, PatternInput, finding_to_json
from postmortem.changes.records import ChangeRecord
from postmortem.lib.errors import UserError
from postmortem.lib.layers import Layer
from postmortem.report.charts.patterns import pattern_chart
from postmortem.report.charts.svg import text_width
from postmortem.traces.records import TraceRecord

START = datetime(2026, 5, 4, tzinfo=UTC)
DAY = 24.0


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


def change(layer: Layer, hours: float, **fields: Any) -> ChangeRecord:
    fields.setdefault("summary", f"{layer.value} change")
    return ChangeRecord(id=f"{layer.value}-{hours:g}", layer=layer, at=at(hours), until=at(hours), **fields)


Maker = Callable[[float, np.random.Generator], dict[str, Any]]


def world(make: Maker, *, count: int = 2400, days: float = 12, seed: int = 5, **given: Any) -> PatternInput:
    """Traces over twelve days: baseline the first seven, incident from the eighth.

    `make(hours, dice)` gives facets, `rate` (of success) and any other field of the trace.
    """
    dice = np.random.default_rng(seed)
    traces = []
    for number, hours in enumerate(np.sort(dice.uniform(0, days * DAY, count))):
        fields = make(float(hours), dice)
        rate = fields.pop("rate", 0.9)
        scores = {"success": float(dice.random() < rate)} | fields.pop("scores", {})
        traces.append(TraceRecord(external_id=f"t{number}", timestamp=at(float(hours)), scores=scores, **fields))
    values: dict[str, Any] = {
        "changes": (), "signal": "success", "worse": "lower",
        "baseline": (at(0), at(7 * DAY)), "incident": (at(7 * DAY), at(10 * DAY)),
    }  # fmt: skip
    return PatternInput(traces=traces, **(values | given))


def answer(number: int, given: PatternInput) -> PatternFinding:
    found = DETECTORS[number - 1](given)
    finding_to_json(found, number)
    if found.answer == "match":
        assert found.numbers and found.picture and found.picture.rows and found.traces and found.actions
        assert all(one.count for one in found.numbers)
    if found.answer == "not_enough_data":
        assert found.missing
    return found


def late(hours: float) -> bool:
    return hours >= 7 * DAY


# 1 quantization slippage


def _quantized(fall: Callable[[str, float], float]) -> PatternInput:
    def make(hours: float, dice: np.random.Generator) -> dict[str, Any]:
        segment = str(dice.choice(["plain", "plain2", "tables"], p=[0.6, 0.3, 0.1]))
        build = "int4" if late(hours) else "fp16"
        facets = {"segment": segment, "model_version": build}
        return {"facets": facets, "rate": 0.9 - fall(segment, hours)}

    swap = change(
        Layer.MODEL, 7 * DAY, facet="model_version", from_version="fp16", to_version="int4",
        summary="serve the int4 build", details={"precision": "int4"},
    )  # fmt: skip
    return world(make, changes=(swap,), count=4000)


def test_a_slice_that_falls_with_a_cheaper_build_is_slippage() -> None:
    found = answer(1, _quantized(lambda segment, hours: (0.35 if segment == "tables" else -0.04) * late(hours)))
    assert found.answer == "match"
    assert any("tables" in line for line in found.evidence_for)


def test_structured_output_that_fails_more_while_the_rest_holds_is_slippage() -> None:
    def make(hours: float, dice: np.random.Generator) -> dict[str, Any]:
        failing = 0.15 if late(hours) else 0.02
        return {"facets": {}, "scores": {"json_parse_failed": float(dice.random() < failing)}}

    swap = change(Layer.MODEL, 7 * DAY, summary="same weights, other server", details={"engine": "vllm 0.9"})
    found = answer(1, world(make, changes=(swap,), count=4000))
    assert found.answer == "match" and "json_parse_failed rose" in found.evidence_for
    assert answer(1, world(make, changes=(change(Layer.MODEL, 7 * DAY),), count=4000)).answer == "not_enough_data"


def test_everything_falling_alike_is_a_plain_regression() -> None:
    found = answer(1, _quantized(lambda _, hours: 0.25 if late(hours) else 0.0))
    assert found.answer == "no_match"
    assert "no slippage" in found.sentence


def test_a_slice_that_fell_before_the_swap_is_not_its_work() -> None:
    found = answer(1, _quantized(lambda segment, hours: 0.4 if segment == "tables" and hours > 3.5 * DAY else 0.0))
    assert found.answer == "no_match"


def test_a_model_change_that_tells_no_precision_is_too_little() -> None:
    given = world(lambda *_: {"facets": {}}, changes=(change(Layer.MODEL, 170),))
    assert answer(1, given).answer == "not_enough_data"


# 2 corpus provenance gap


def _tuned(fall: Callable[[str, float], float], provenance: dict[str, Any] | None) -> PatternInput:
    def make(hours: float, dice: np.random.Generator) -> dict[str, Any]:
        intent = str(dice.choice(["billing", "login", "other"]))
        return {
            "facets": {"intent": intent, "model_version": "v2" if late(hours) else "v1"},
            "rate": 0.9 - fall(intent, hours),
        }

    details = {"provenance": provenance} if provenance is not None else {}
    tuned = change(
        Layer.MODEL, 7 * DAY, facet="model_version", from_version="v1", to_version="v2", summary="fine-tune promoted",
        details=details,
    )  # fmt: skip
    return world(make, changes=(tuned,), count=3000)


ROWS = {"added": 400, "without_author": 120, "without_reviewer": 90, "topics": {"billing": 380}}


def test_failures_in_the_topics_of_unaccounted_rows_match() -> None:
    found = answer(2, _tuned(lambda intent, hours: 0.3 if intent == "billing" and late(hours) else 0, ROWS))
    assert found.answer == "match"
    assert found.numbers[0].estimate == pytest.approx(0.3)


def test_rows_added_elsewhere_do_not_match_and_the_share_is_told_all_the_same() -> None:
    found = answer(2, _tuned(lambda intent, hours: 0.3 if intent == "login" and late(hours) else 0, ROWS))
    assert found.answer == "no_match"
    assert "120 of 400" in found.sentence


def test_a_fine_tune_without_a_manifest_is_too_little() -> None:
    assert answer(2, _tuned(lambda *_: 0, None)).answer == "not_enough_data"


def test_no_rows_added_is_no_gap() -> None:
    assert answer(2, _tuned(lambda *_: 0, {"added": 0})).answer == "no_match"


# 3 production bias


def _cohorts(fall: Callable[[str, str, float], float], shift: bool = False, facet: str = "language") -> PatternInput:
    def make(hours: float, dice: np.random.Generator) -> dict[str, Any]:
        language = str(dice.choice(["de", "fi"]))
        hard = 0.8 if shift and late(hours) and language == "fi" else 0.2
        intent = "hard" if dice.random() < hard else "easy"
        base = 0.95 if intent == "easy" else 0.55
        return {"facets": {facet: language, "intent": intent}, "rate": base - fall(language, intent, hours)}

    return world(make, count=4000)


def test_a_gap_that_widens_within_the_same_inputs_is_bias() -> None:
    found = answer(3, _cohorts(lambda language, _, hours: 0.2 if language == "fi" and late(hours) else 0))
    assert found.answer == "match"
    assert "language fi" in found.sentence


def test_a_gap_that_vanishes_within_inputs_is_the_mix() -> None:
    found = answer(3, _cohorts(lambda *_: 0, shift=True))
    assert found.answer == "no_match"
    assert found.evidence_against


def test_without_a_cohort_there_is_nothing_to_compare() -> None:
    assert answer(3, _cohorts(lambda *_: 0, facet="colour")).answer == "not_enough_data"


# 4 deprecated base


def test_a_served_version_that_no_log_mentions_matches_and_a_logged_one_does_not() -> None:
    def make(hours: float, _: np.random.Generator) -> dict[str, Any]:
        served = "m-b" if late(hours) else "m-a"
        return {"facets": {"model": "m", "model_served": served}, "rate": 0.6 if late(hours) else 0.9}

    assert answer(4, world(make)).answer == "match"
    logged = change(Layer.MODEL, 7 * DAY, facet="model_served", from_version="m-a", to_version="m-b")
    assert answer(4, world(make, changes=(logged,))).answer == "no_match"


def test_one_model_id_that_starts_to_fail_is_gone() -> None:
    def make(hours: float, dice: np.random.Generator) -> dict[str, Any]:
        model = str(dice.choice(["old", "new"]))
        gone = model == "old" and late(hours) and bool(dice.random() < 0.7)
        return {"facets": {"model": model, "model_served": model}, "has_error": gone}

    found = answer(4, world(make, retirements={"old": at(7 * DAY)}))
    assert found.answer == "match"
    assert "old" in found.sentence
    assert "retire" in found.sentence


def test_without_any_model_recorded_nothing_can_be_said() -> None:
    assert answer(4, world(lambda *_: {"facets": {}})).answer == "not_enough_data"


def test_models_that_retire_later_are_warned_of() -> None:
    given = world(
        lambda *_: {"facets": {"model": "m", "model_served": "m-a"}}, retirements={"m": at(90 * DAY), "x": at(1)}
    )
    found = answer(4, given)
    assert found.answer == "no_match"
    assert [line.split()[0] for line in found.evidence_for] == ["m"]


def test_few_recorded_models_still_warn_and_say_what_is_missing() -> None:
    def make(hours: float, dice: np.random.Generator) -> dict[str, Any]:
        return {"facets": {"model": "m"} if dice.random() < 0.05 else {}}

    logged = (
        change(Layer.MODEL, 2 * DAY, facet="model", to_version="m-old"),
        change(Layer.MODEL, 3 * DAY, facet="model", to_version="m-logged"),
        change(Layer.MODEL, 11 * DAY, facet="model", to_version="m-next", scope={"region": ("eu",)}),
    )
    days = {"m": at(90 * DAY), "m-old": at(60 * DAY), "m-logged": at(40 * DAY), "m-next": at(50 * DAY)}
    found = answer(4, world(make, changes=logged, retirements=days))
    assert found.answer == "not_enough_data"
    assert found.sentence.startswith("Only ") and "m-logged retires on 13 Jun 2026 (by the change log" in found.sentence
    assert [line.split()[0] for line in found.evidence_for] == ["m-logged", "m"]
    assert found.missing and len(found.actions) == 2
    silent = answer(4, world(make, retirements={}))
    assert "No warning of a retirement can be given" in silent.sentence


# 5 conflated drift


def _drifting(suspected: Layer | None) -> PatternInput:
    def make(hours: float, dice: np.random.Generator) -> dict[str, Any]:
        prompt = "2" if late(hours) and dice.random() < 0.5 else "1"
        model = "b" if late(hours) and dice.random() < 0.5 else "a"
        facets = {"prompt_version": prompt, "model_version": model, "segment": "all"}
        return {"facets": facets, "rate": 0.9 - 0.4 * (model == "b") - 0.02 * (prompt == "2")}

    return world(make, suspected=suspected, count=3000)


def test_the_part_that_was_not_named_is_the_largest() -> None:
    found = answer(5, _drifting(Layer.PROMPT))
    assert found.answer == "match"
    assert "model" in found.evidence_for[0]
    assert found.picture is not None and found.picture.kind == "parts" and found.traces
    assert [row.label for row in found.picture.rows] == [
        "whole change", "with the model", "with the prompt", "with the inputs",
    ]  # fmt: skip
    svg = pattern_chart(finding_to_json(found, 5)["picture"], found.title)
    told = ElementTree.fromstring(svg).findtext("{http://www.w3.org/2000/svg}title")
    assert told is not None and re.search(
        r"with the model: \+\d+\.\d points \(\d+\.\d to \d+\.\d\); with the prompt", told
    )


def test_long_names_of_two_sides_do_not_overlap() -> None:
    long = "orion-large-2026-03-12"
    row = {"label": "valid", "before": {"mean": 0.9, "interval": [0.8, 1.0]}, "after": None}
    drawn = pattern_chart({"first": long, "second": long, "unit": "share", "rows": [row]}, "Deprecated base")
    texts = [one for one in ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text") if one.text == long]
    first, second = (float(str(one.get("x"))) for one in texts)
    assert second - first > text_width(long, 11.5) + 12


def test_a_change_of_the_inputs_speaks_for_no_layer() -> None:
    def make(hours: float, dice: np.random.Generator) -> dict[str, Any]:
        segment = "new" if dice.random() < (0.7 if late(hours) else 0.1) else "old"
        prompt = "2" if late(hours) and dice.random() < 0.5 else "1"
        return {"facets": {"prompt_version": prompt, "segment": segment}, "rate": 0.5 if segment == "new" else 0.9}

    found = answer(5, world(make, suspected=Layer.PROMPT, count=3000))
    assert found.answer == "match" and found.evidence_for[0].endswith("with the inputs")
    assert found.layer is None and finding_to_json(found, 5)["layer"] is None


def test_naming_the_largest_part_is_no_conflation() -> None:
    assert answer(5, _drifting(Layer.MODEL)).answer == "no_match"


def test_a_suspicion_that_nobody_wrote_down_is_missing() -> None:
    assert answer(5, _drifting(None)).answer == "not_enough_data"
    still = world(lambda *_: {"facets": {"prompt_version": "1"}}, suspected=Layer.PROMPT)
    assert answer(5, still).answer == "not_enough_data"


# 6 rollback that did not recover


def _rolled_back(rate: Callable[[bool, float], float], users: bool = True) -> PatternInput:
    def make(hours: float, dice: np.random.Generator) -> dict[str, Any]:
        old = hours < 9 * DAY or bool(dice.random() < 0.5)
        user = f"old{int(dice.integers(60))}" if old else f"new{int(dice.integers(60))}"
        return {"facets": {}, "user_id": user if users else "", "rate": rate(old, hours)}

    rollback = change(Layer.INFRASTRUCTURE, 9 * DAY, is_rollback=True, summary="roll back the cache")
    return world(make, changes=(rollback,), count=4000)


def _hurt(hours: float) -> bool:
    return 7 * DAY <= hours < 9 * DAY


def test_users_who_carry_the_damage_on_match() -> None:
    found = answer(6, _rolled_back(lambda old, hours: 0.6 if late(hours) and (old or _hurt(hours)) else 0.9))
    assert found.answer == "match"
    assert "Users first exposed" in found.sentence


def test_nobody_back_means_the_wrong_cause() -> None:
    found = answer(6, _rolled_back(lambda _, hours: 0.6 if late(hours) else 0.9))
    assert found.answer == "match"
    assert "nobody is back" in found.sentence


def test_everybody_back_is_a_recovery() -> None:
    assert answer(6, _rolled_back(lambda _, hours: 0.6 if _hurt(hours) else 0.9)).answer == "no_match"


def test_without_a_rollback_or_users_nothing_can_be_told() -> None:
    assert answer(6, world(lambda *_: {"facets": {}})).answer == "not_enough_data"
    mixed = _rolled_back(lambda old, hours: 0.72 if late(hours) and (old or _hurt(hours)) else 0.9, users=False)
    assert answer(6, mixed).answer == "not_enough_data"


# 7 embedding churn


def test_a_query_encoder_that_is_not_the_indexes_matches() -> None:
    def make(hours: float, dice: np.random.Generator) -> dict[str, Any]:
        query = "e2" if late(hours) and dice.random() < 0.5 else "e1"
        return {"facets": {"encoder": "e1", "query_encoder": query}, "rate": 0.5 if query == "e2" else 0.9}

    assert answer(7, world(make)).answer == "match"


def _by_manifest(encoder: str) -> PatternInput:
    """Traces that record the encoder of their embedding step; what the index was built with a manifest tells."""

    def make(hours: float, dice: np.random.Generator) -> dict[str, Any]:
        version = "2" if late(hours) and dice.random() < 0.6 else "1"
        wrong = version == "2" and encoder != "e1"
        return {"facets": {"encoder": "e1", "index_version": version}, "rate": 0.5 if wrong else 0.9}

    details = {"encoder": {"from": "e1", "to": encoder}, "embedding": {"stale": 300, "of": 1000}}
    rebuilt = change(
        Layer.RETRIEVAL, 7 * DAY, facet="index_version", from_version="1", to_version="2", details=details
    )  # fmt: skip
    return world(make, changes=(rebuilt,))


def test_an_index_that_its_manifest_says_another_encoder_built_matches() -> None:
    found = answer(7, _by_manifest("e2"))
    assert found.answer == "match"
    assert found.numbers[0].estimate == pytest.approx(0.6, abs=0.05)
    assert any("300 of 1,000 documents" in line for line in found.evidence_for)


def test_a_rebuild_with_the_same_encoder_is_no_churn() -> None:
    found = answer(7, _by_manifest("e1"))
    assert found.answer == "no_match" and [one.estimate for one in found.numbers[:2]] == [0.0, 0.0]


def test_a_query_encoder_alone_is_too_little() -> None:
    found = answer(7, world(lambda *_: {"facets": {"query_encoder": "e1"}}))
    assert found.answer == "not_enough_data" and "corpus manifest" in found.missing[0]


def _similarity(moves: bool, recall_falls: bool, recall: bool = True) -> PatternInput:
    def make(hours: float, dice: np.random.Generator) -> dict[str, Any]:
        shift = 0.3 if moves and late(hours) else 0.0
        scores = {"top_similarity": float(dice.normal(0.8 - shift, 0.1))}
        if recall:
            scores["known_item_recall"] = float(dice.random() < (0.5 if recall_falls and late(hours) else 0.95))
        return {"facets": {"encoder": "e1", "index_version": "2" if late(hours) else "1"}, "scores": scores}

    return world(make)


def test_similarity_that_moves_while_recall_falls_matches() -> None:
    assert answer(7, _similarity(moves=True, recall_falls=True)).answer == "match"


def test_a_new_corpus_with_steady_similarity_is_no_churn() -> None:
    assert answer(7, _similarity(moves=False, recall_falls=False)).answer == "no_match"


def test_without_encoders_recall_or_similarity_it_is_too_little() -> None:
    assert answer(7, _similarity(moves=True, recall_falls=False, recall=False)).answer == "not_enough_data"
    assert answer(7, world(lambda *_: {"facets": {}})).answer == "not_enough_data"


# 8 pilot-to-production gap


def _piloted(like_pilot: float, rest: float, pilot: bool = True) -> PatternInput:
    def make(hours: float, dice: np.random.Generator) -> dict[str, Any]:
        tested = pilot and hours < 3 * DAY
        intent = "simple" if tested or dice.random() < 0.5 else "legal"
        rate = 0.92 if tested else like_pilot if intent == "simple" else rest
        return {"facets": {"intent": intent}, "environment": "pilot" if tested else "production", "rate": rate}

    return world(make, count=3000)


def test_production_unlike_the_pilot_that_fails_matches() -> None:
    found = answer(8, _piloted(0.91, 0.55))
    assert found.answer == "match"
    assert "legal" in found.evidence_for[1]


def test_the_pilot_like_part_failing_too_is_no_gap() -> None:
    assert answer(8, _piloted(0.55, 0.54)).answer == "no_match"


def test_without_a_pilot_nothing_is_known_of_it() -> None:
    assert answer(8, _piloted(0.9, 0.5, pilot=False)).answer == "not_enough_data"


# 9 invalidated RAG evaluation


def _evaluated(evaluation: float, live: float, runs: bool = True) -> PatternInput:
    def make(hours: float, dice: np.random.Generator) -> dict[str, Any]:
        tested = runs and bool(dice.random() < 0.2)
        rate = 0.9 if not late(hours) else evaluation if tested else live
        return {
            "facets": {"index_version": "2" if late(hours) else "1"}, "rate": rate,
            "environment": "evaluation" if tested else "production",
        }  # fmt: skip

    corpus = change(Layer.RETRIEVAL, 7 * DAY, details={"documents": {"gold_changed": 14, "gold": 40}})
    return world(make, changes=(corpus,), count=4000)


def test_an_evaluation_that_falls_alone_is_invalid() -> None:
    found = answer(9, _evaluated(0.6, 0.9))
    assert found.answer == "match"
    assert any("14 gold" in line for line in found.evidence_for)
    assert (found.numbers[0].estimate, found.numbers[0].count) == (0.35, 40)


def test_live_quality_falling_too_is_a_real_regression() -> None:
    assert answer(9, _evaluated(0.6, 0.6)).answer == "no_match"


def test_without_evaluation_runs_it_is_too_little() -> None:
    assert answer(9, _evaluated(0.6, 0.9, runs=False)).answer == "not_enough_data"


# 10 retrograde accuracy


def _grown(share: float, fall: float, facet: str = "segment") -> PatternInput:
    def make(hours: float, dice: np.random.Generator) -> dict[str, Any]:
        hard = bool(dice.random() < (share if late(hours) else 0.1))
        base = 0.5 if hard else 0.93
        return {"facets": {facet: "hard" if hard else "easy"}, "rate": base - (fall if late(hours) else 0)}

    return world(make, count=4000)


def test_a_drop_that_is_the_mix_is_retrograde() -> None:
    found = answer(10, _grown(0.5, 0.0))
    assert found.answer == "match"
    assert found.evidence_for[1].startswith("hard from 10%")


def test_rates_that_fell_within_groups_are_not() -> None:
    assert answer(10, _grown(0.1, 0.25)).answer == "no_match"


def test_without_kinds_of_requests_it_is_too_little() -> None:
    assert answer(10, _grown(0.5, 0.0, facet="colour")).answer == "not_enough_data"


# 11 noisy neighbour


def _shared(queue: float, decode: float, tenants: bool = True) -> PatternInput:
    def make(hours: float, dice: np.random.Generator) -> dict[str, Any]:
        burst = late(hours) and int(hours * 2) % 2 == 0
        big = bool(dice.random() < 0.3)
        tokens = int(dice.integers(20_000, 30_000)) if big and burst else int(dice.integers(100, 400))
        wait = 0.3 + (queue if burst else 0.0) * float(dice.uniform(0.7, 1.3)) + float(dice.exponential(0.05))
        work = 1.0 + (decode if late(hours) else 0.0) + float(dice.exponential(0.1))
        return {
            "facets": {"tenant": "bulk" if big else "shop"} if tenants else {}, "input_tokens": tokens,
            "time_to_first_token_seconds": wait, "latency_seconds": wait + work,
        }  # fmt: skip

    return world(make, count=6000, signal="latency", worse="higher")


def test_short_requests_that_wait_for_others_match() -> None:
    assert answer(11, _shared(2.0, 0.0)).answer == "match"


def test_slower_decoding_is_another_problem() -> None:
    found = answer(11, _shared(2.0, 1.5))
    assert found.answer == "no_match"
    assert "decoding" in found.sentence


def test_without_tenants_it_is_too_little() -> None:
    found = answer(11, _shared(2.0, 0.0, tenants=False))
    assert found.answer == "not_enough_data"
    assert any("tenant" in line for line in found.missing)


# All of them


@pytest.mark.parametrize("number", range(1, 12))
def test_no_detector_matches_or_fails_on_nothing(number: int) -> None:
    empty = PatternInput(
        traces=(), changes=(), signal="success", worse="lower",
        baseline=(at(0), at(1)), incident=(at(1), at(2)),
    )  # fmt: skip
    assert DETECTORS[number - 1](empty).answer != "match"


@pytest.mark.parametrize("seed", range(6))
def test_quiet_traffic_matches_nothing(seed: int) -> None:
    def make(hours: float, dice: np.random.Generator) -> dict[str, Any]:
        facets = {
            "segment": str(dice.choice(["a", "b"])), "intent": str(dice.choice(["x", "y"])), "language": "de",
            "tenant": str(dice.choice(["t", "u"])), "model": "m", "model_served": "m-a", "prompt_version": "1",
        }  # fmt: skip
        return {"facets": facets, "user_id": f"u{int(dice.integers(90))}"}

    given = world(make, seed=seed, count=1500, mitigated_at=at(9 * DAY), suspected=Layer.MODEL)
    assert [one.pattern for _, one in detect_patterns(given) if one.answer == "match"] == []


def test_matches_come_first_and_every_pattern_answers_once() -> None:
    found = detect_patterns(_grown(0.5, 0.0))
    assert sorted(number for number, _ in found) == list(range(1, 12))
    assert found[0][1].answer == "match"


def test_false_discovery_rates_agree_with_statsmodels() -> None:
    harms = [(0.08, 0.02), (0.01, 0.02), (-0.03, 0.01), (0.05, 0.03)]
    chances = stats.norm.sf([harm / error for harm, error in harms])
    assert comparing.false_discovery_rates(harms) == pytest.approx(multipletests(chances, method="fdr_bh")[1])


def test_kitagawa_parts_add_up_and_their_intervals_hold_them() -> None:
    given = _grown(0.4, 0.1)
    split = comparing.kitagawa(given, given.facet("segment"), given.before, given.during)
    assert split is not None
    assert split.mix.estimate + split.within.estimate == pytest.approx(split.total)
    for part in (split.mix, split.within):
        assert part.interval[0] <= part.estimate <= part.interval[1]


def test_the_calendar_of_retirements_takes_a_file_of_ones_own(tmp_path: Any) -> None:
    own = tmp_path / "own.json"
    own.write_text('{"models": [{"model": "house-1", "retires_on": "2027-01-31"}]}')
    found = model_retirements(str(own))
    assert found["house-1"] == datetime(2027, 1, 31, tzinfo=UTC)
    assert "claude-2.1" in found
    broken = tmp_path / "broken.json"
    broken.write_text("[]")
    with pytest.raises(UserError, match=r"broken\.json"):
        model_retirements(str(broken))
