"""How often the detectors are wrong: chance finds nothing, more data find more, a bystander is not blamed."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postmortem.attribution.patterns import compare as comparing
from postmortem.attribution.patterns.detectors import DETECTORS, detect_patterns
from postmortem.attribution.patterns.shapes import PatternInput, finding_to_json
from postmortem.lib.layers import Layer
from postmortem.traces.records import TraceRecord
from tests.attribution.test_patterns import DAY, answer, at, change, late, world

SWAP = change(
    Layer.MODEL, 7 * DAY, facet="model_version", from_version="fp16", to_version="int4",
    summary="serve the int4 build", details={"precision": "int4"},
)  # fmt: skip


def sliced(count: int, seed: int, *, slice_fall: float, rest_fall: float) -> PatternInput:
    """One slice of a tenth of the traffic, and the rest; both may fall once the cheaper build is there."""

    def make(hours: float, dice: np.random.Generator) -> dict[str, Any]:
        segment = str(dice.choice(["plain", "other", "tables"], p=[0.6, 0.3, 0.1]))
        fall = slice_fall if segment == "tables" else rest_fall
        facets = {"segment": segment, "model_version": "int4" if late(hours) else "fp16"}
        return {"facets": facets, "rate": 0.9 - (fall if late(hours) else 0.0)}

    return world(make, changes=(SWAP,), count=count, seed=seed)


@pytest.mark.parametrize("count", [2_000, 8_000, 20_000])
def test_a_slice_that_falls_alone_is_found_the_more_surely_the_more_traces_there_are(count: int) -> None:
    found = [answer(1, sliced(count, seed, slice_fall=0.35, rest_fall=0.0)).answer for seed in range(4)]
    assert found == ["match"] * 4


def test_a_fall_of_everything_alike_is_no_slippage_however_many_traces_there_are() -> None:
    found = [answer(1, sliced(12_000, seed, slice_fall=0.2, rest_fall=0.2)) for seed in range(4)]
    assert [one.answer for one in found] == ["no_match"] * 4
    assert "whatever else began then" in found[0].sentence


def test_a_canary_that_did_no_harm_is_not_blamed_for_what_hit_everybody() -> None:
    """The cheaper build grows from a fifth of the traffic to all of it while something else hits one segment."""

    def make(hours: float, dice: np.random.Generator) -> dict[str, Any]:
        on = hours > 5 * DAY and bool(dice.random() < min(1.0, 0.2 + 0.2 * (hours / DAY - 5)))
        segment = str(dice.choice(["a", "b"]))
        facets = {"segment": segment, "model_version": "int4" if on else "fp16"}
        return {"facets": facets, "rate": 0.9 - (0.35 if late(hours) and segment == "b" else 0.0)}

    canary = change(
        Layer.MODEL, 5 * DAY, facet="model_version", from_version="fp16", to_version="int4", summary="int4",
        details={"precision": "int4"},
    )  # fmt: skip
    found = [answer(1, world(make, changes=(canary,), count=4_000, seed=seed)) for seed in range(6)]
    assert "match" not in {one.answer for one in found}
    assert sum("at the same time" in one.sentence for one in found) == 6


@pytest.mark.parametrize("dates", [2, 10, 25])
def test_many_embedding_dates_match_no_more_often_by_chance(dates: int) -> None:
    def make(_: float, dice: np.random.Generator) -> dict[str, Any]:
        facets = {"encoder": "e1", "query_encoder": "e1", "embedding_date": f"d{dice.integers(dates):02d}"}
        return {"facets": facets, "rate": 0.8}

    found = Counter(answer(7, world(make, seed=seed, count=3_000)).answer for seed in range(12))
    assert found["match"] <= 2


def test_documents_embedded_on_one_day_that_fail_since_the_incident_match() -> None:
    def make(hours: float, dice: np.random.Generator) -> dict[str, Any]:
        date = f"d{dice.integers(10):02d}"
        facets = {"encoder": "e1", "query_encoder": "e1", "embedding_date": date}
        return {"facets": facets, "rate": 0.4 if late(hours) and date == "d03" else 0.85}

    found = answer(7, world(make, count=5_000))
    assert found.answer == "match"
    assert "d03" in found.sentence
    assert found.picture is not None
    assert found.traces


def test_documents_that_failed_before_the_incident_already_are_no_churn() -> None:
    def make(_: float, dice: np.random.Generator) -> dict[str, Any]:
        date = f"d{dice.integers(4):02d}"
        facets = {"encoder": "e1", "query_encoder": "e1", "embedding_date": date}
        return {"facets": facets, "rate": 0.4 if date == "d03" else 0.85}

    assert answer(7, world(make, count=5_000)).answer == "no_match"


def test_a_pilot_that_covered_everything_leaves_no_gap() -> None:
    def make(hours: float, dice: np.random.Generator) -> dict[str, Any]:
        where = "pilot" if hours < 3 * DAY else "production"
        intent = str(dice.choice(["simple", "legal"]))
        return {"facets": {"intent": intent}, "environment": where, "rate": 0.6 if late(hours) else 0.9}

    found = answer(8, world(make))
    assert found.answer == "no_match"
    assert "100% of production" in found.sentence


def test_one_trace_of_a_kind_does_not_make_it_tested() -> None:
    def make(hours: float, dice: np.random.Generator) -> dict[str, Any]:
        tested = hours < 3 * DAY
        rare = bool(dice.random() < 0.001)
        intent = "legal" if rare or (not tested and dice.random() < 0.5) else "simple"
        rate = 0.92 if tested or intent == "simple" else 0.5
        return {"facets": {"intent": intent}, "environment": "pilot" if tested else "production", "rate": rate}

    assert answer(8, world(make, count=3_000)).answer == "match"


def test_short_requests_that_wait_for_their_own_tenants_load_are_no_neighbours_victims() -> None:
    def make(hours: float, dice: np.random.Generator) -> dict[str, Any]:
        burst = late(hours) and int(hours * 2) % 2 == 0
        tenant = str(dice.choice(["shop", "bulk"], p=[0.8, 0.2]))
        big = burst and bool(dice.random() < 0.4)
        tokens = int(dice.integers(20_000, 30_000)) if big else int(dice.integers(100, 400))
        wait = 0.3 + (2.0 if burst else 0.0) + float(dice.exponential(0.05))
        return {
            "facets": {"tenant": tenant}, "input_tokens": tokens,
            "time_to_first_token_seconds": wait, "latency_seconds": wait + 1.0 + float(dice.exponential(0.1)),
        }  # fmt: skip

    found = answer(11, world(make, count=6_000, signal="latency", worse="higher"))
    assert found.answer == "no_match"
    assert "own load rose" in found.sentence


def test_the_split_knows_the_sides_of_a_higher_is_worse_signal() -> None:
    def make(hours: float, dice: np.random.Generator) -> dict[str, Any]:
        slow = bool(dice.random() < (0.6 if late(hours) else 0.1))
        facets = {"segment": "slow" if slow else "fast"}
        return {"facets": facets, "latency_seconds": (5.0 if slow else 1.0) + float(dice.normal(0, 0.2))}

    given_input = world(make, signal="latency", worse="higher")
    split = comparing.kitagawa(given_input, given_input.facet("segment"), given_input.before, given_input.during)
    assert split is not None
    assert split.mix.interval[0] > 1.5
    assert split.within.interval[0] < 0 < split.within.interval[1]


FACET = st.sampled_from(
    ["segment", "intent", "model", "model_served", "encoder", "query_encoder", "language", "tenant"]
)
ROW = st.tuples(
    st.floats(0, 12 * 24), st.dictionaries(FACET, st.sampled_from(["a", "b", "é"]), max_size=4),
    st.sampled_from([0.0, 1.0, 0.3]) | st.none(), st.none() | st.floats(0, 9),
    st.sampled_from(["", "pilot", "evaluation"]),
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.lists(ROW, max_size=60), st.sampled_from(["lower", "higher"]), st.sampled_from([None, *Layer]))
def test_any_traces_get_eleven_answers_that_can_be_stored(
    rows: list[tuple[Any, ...]], worse: str, suspected: Layer | None
) -> None:
    traces = [
        TraceRecord(
            external_id=f"t{number}", timestamp=at(hours), facets=facets,
            scores={} if value is None else {"success": value, "top_similarity": value},
            latency_seconds=wait, time_to_first_token_seconds=wait, environment=place, user_id="u" * (number % 3),
        )
        for number, (hours, facets, value, wait, place) in enumerate(sorted(rows, key=lambda row: row[0]))
    ]  # fmt: skip
    found = detect_patterns(
        PatternInput(
            traces=traces, changes=(SWAP,), signal="success", worse=worse, baseline=(at(0), at(7 * DAY)),
            incident=(at(7 * DAY), at(10 * DAY)), mitigated_at=at(9 * DAY), suspected=suspected,
        )
    )  # fmt: skip
    assert sorted(number for number, _ in found) == list(range(1, len(DETECTORS) + 1))
    for number, one in found:
        assert finding_to_json(one, number)["sentence"]
        assert one.missing or one.answer != "not_enough_data"
