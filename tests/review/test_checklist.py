"""The questions and what fills them in beforehand, without a database."""

import copy
from dataclasses import replace
from datetime import timedelta

import pytest

from postmortem.lib.layers import LAYERS, Layer
from postmortem.review.checklist import load_checklist, parse_checklist, prefill
from postmortem.review.facts import ChangeFact, FacetFact, MoveFact, ReviewFacts, WindowFact
from postmortem.review.prefill import prefill_for, share_text, wilson_interval
from tests.review.builders import START, finding_result

ONSET = START + timedelta(hours=9)
INDEX = ChangeFact(
    "retrieval-1", Layer.RETRIEVAL, "Encoder helix-2 → helix-3", ONSET, ONSET, facet="encoder",
    from_version="helix-2", to_version="helix-3", exposed_count=3092, state="observed",
)  # fmt: skip
UNSEEN = ChangeFact("retrieval-2", Layer.RETRIEVAL, "Index kb-9", ONSET, ONSET, state="never observed")
FACTS = ReviewFacts(
    trace_count=6000,
    changes=(INDEX, UNSEEN),
    never_observed={"retrieval-2": "No trace meets its scope and time."},
    facets={"encoder": FacetFact("encoder", 5800, (("helix-3", 3092), ("helix-2", 2708)))},
    finding=finding_result(),
    finding_number=4,
)


def question(question_id):
    found = load_checklist().question(question_id)
    assert found is not None
    return found


def test_every_layer_asks_at_least_eight_and_all_eleven_patterns_are_covered():
    checklist = load_checklist("2026-1")
    assert checklist.version == "2026-1" and tuple(checklist.sections) == LAYERS
    for layer, questions in checklist.sections.items():
        assert len(questions) >= 8
        assert any(q.id == f"{layer}-unlogged-change" for q in questions)
        assert any(q.id == f"{layer}-somebody-told" for q in questions)
    asked = [q for questions in checklist.sections.values() for q in questions]
    assert len({q.id for q in asked}) == len(asked) == len({q.text for q in asked})
    assert {pattern for q in asked for pattern in q.patterns} == set(range(1, 12))
    assert all(q.text.endswith("?") and q.why.endswith(".") for q in asked)


def test_every_question_can_be_filled_in_with_all_nothing_or_only_traces():
    for facts in (FACTS, ReviewFacts(), ReviewFacts(trace_count=10), ReviewFacts(finding={})):
        for questions in load_checklist().sections.values():
            for each in questions:
                filled = prefill(each, facts)
                assert filled.known and all(label and value for label, value in filled.known)
                assert filled.suggested in ("yes", "no", "cannot_tell", None)


@pytest.mark.parametrize("version", ["2020-1", "../models", "", "2026-1.json"])
def test_unknown_version_is_refused(version):
    with pytest.raises(ValueError, match="no checklist version"):
        load_checklist(version)


def _broken(change):
    entry = {
        "id": "model-x", "text": "?", "why": "w", "evidence": "e", "rules_in": "i", "rules_out": "o", "in_if": "yes",
        "prefill": "leading",
    }  # fmt: skip
    data = {"version": "t", "sections": {layer.value: [entry | {"id": f"{layer.value}-x"}] for layer in LAYERS}}
    parse_checklist(copy.deepcopy(data))
    change(data)
    return data


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda d: d["sections"]["model"][0].update(in_if="maybe"), "in_if"),
        (lambda d: d["sections"]["model"][0].update(prefill="guess"), "no prefill"),
        (lambda d: d["sections"]["model"][0].pop("rules_out"), "lacks one of"),
        (lambda d: d["sections"]["model"][0].update(id="other"), "starts with"),
        (lambda d: d["sections"]["model"].append(d["sections"]["model"][0]), "there twice"),
        (lambda d: d["sections"].pop("prompt"), "no questions for prompt"),
        (lambda d: d.pop("sections"), "is an object"),
    ],
)
def test_broken_checklist_names_what_is_wrong(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        parse_checklist(_broken(change))


def test_wilson_interval_against_published_values():
    # Newcombe 1998, table I, method 3: 81 of 263.
    low, high = wilson_interval(81, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert share_text(81, 263) == "30.8% (25.5 to 36.6), n 263"


def test_leading_change_shows_the_arithmetic_and_suggests():
    filled = prefill(question("retrieval-follows-exposure"), FACTS)
    known = dict(filled.known)
    assert known["Most probable here"] == "Encoder helix-2 → helix-3, P 0.97"
    assert known["Exposed"] == "79.3% (77.8 to 80.7), n 3,092"
    assert known["Difference"] == "−8.8 (−10.7 to −6.9) points"
    assert (filled.suggested, filled.source) == ("yes", "run 4")
    assert prefill(question("model-follows-exposure"), FACTS).suggested == "no"
    assert prefill(question("prompt-follows-exposure"), FACTS).suggested == "cannot_tell"
    assert prefill(question("model-follows-exposure"), ReviewFacts()).suggested is None


def test_exposure_counts_what_reached_no_trace():
    filled = prefill(question("retrieval-reached-traffic"), FACTS)
    known = dict(filled.known)
    assert known["Encoder helix-2 → helix-3"] == "Exposed 51.5% (50.3 to 52.8), n 6,000, observed"
    assert known["Logged, not observed"] == "1 of 2 changes reached no trace"
    assert filled.suggested == "yes"
    only_unseen = replace(FACTS, changes=(UNSEEN,))
    assert prefill(question("retrieval-reached-traffic"), only_unseen).suggested == "no"


def test_unlogged_move_is_named_and_silence_without_the_facet_is_not_no():
    ask = question("model-unlogged-change")
    move = MoveFact(
        "model_served", Layer.MODEL, "gpt-x-0301", "gpt-x-0415", START + timedelta(hours=5, minutes=10), 812
    )
    found = prefill(ask, replace(FACTS, moves=(move,)))
    assert found.known == (("model_served moved", "gpt-x-0301 → gpt-x-0415 on 9 Mar 05:10, no log, 812 traces"),)
    assert found.suggested == "yes"
    unrecorded = prefill(ask, FACTS)
    assert unrecorded.suggested == "cannot_tell" and "model_served" in unrecorded.missing
    assert "not recorded in these traces; log the facet" in unrecorded.known[0][1]
    facets = {name: FacetFact(name, 6000, (("a", 6000),)) for name in ("model", "model_served", "model_version")}
    assert prefill(ask, replace(FACTS, facets=facets)).suggested == "no"
    assert prefill(ask, replace(FACTS, facets={"model": facets["model"]})).suggested is None


def test_encoder_that_moves_without_its_index_speaks_for_disagreement():
    ask = question("retrieval-encoder-agrees")
    still = FacetFact("index_version", 6000, (("kb-131", 6000),))
    assert ask.in_if == "no"
    assert prefill(ask, replace(FACTS, facets={**FACTS.facets, "index_version": still})).suggested == "no"
    assert prefill(ask, FACTS).suggested is None  # index_version unrecorded: it may have moved along
    assert prefill(ask, FACTS).missing == ("index_version",)
    both = (INDEX, replace(INDEX, id="r3", facet="index_version", to_version="kb-132"))
    assert prefill(ask, replace(FACTS, changes=both, facets={**FACTS.facets, "index_version": still})).suggested is None
    calm = replace(FACTS, changes=(), facets={**FACTS.facets, "index_version": still})
    assert prefill(ask, calm).suggested == "yes"
    assert prefill(ask, replace(calm, facets={})).suggested == "cannot_tell"
    half = prefill(ask, replace(calm, facets={"index_version": still}))
    assert (half.suggested, half.missing) == ("cannot_tell", ("encoder",))
    assert half.known[0] == ("encoder", "not recorded in these traces; log this facet")
    assert half.known[1] == ("index_version", "kb-131 100%; recorded in 6,000 of 6,000 traces")


def test_mix_says_which_group_grew():
    filled = prefill(question("infrastructure-traffic-mix"), FACTS)
    assert filled.suggested == "no" and dict(filled.known)["Grew most: trial"] == "20.0% → 31.0% of traces"
    assert dict(filled.known)["Within groups"] == "−7.0 points"
    result = finding_result()
    result["mix"] |= {"mix": -0.07, "within": -0.01}
    assert prefill(question("infrastructure-traffic-mix"), replace(FACTS, finding=result)).suggested == "yes"
    result["mix"] = None
    assert prefill(question("infrastructure-traffic-mix"), replace(FACTS, finding=result)).suggested is None


def test_hidden_harm_is_held_against_a_quarter_of_the_drop():
    assert prefill(question("model-hidden-harm"), FACTS).suggested == "no"
    assert prefill_for("hidden_harm", Layer.PROMPT, FACTS).suggested == "yes"
    assert prefill(question("retrieval-hidden-harm"), FACTS).suggested == "cannot_tell"


def test_other_explanations_answer_whether_the_model_is_needed():
    assert prefill(question("model-not-needed"), FACTS).suggested == "yes"
    assert prefill_for("others", Layer.RETRIEVAL, FACTS).suggested == "no"
    assert ("Retrieval", "P 0.97") in prefill(question("model-not-needed"), FACTS).known


def test_near_onset_uses_the_estimate_until_an_onset_is_set():
    label = replace(INDEX, id="p", layer=Layer.PROMPT, summary="Label production → 12")
    facts = replace(FACTS, changes=(label,))
    assert prefill(question("prompt-label-near-onset"), facts).suggested == "yes"
    late = replace(facts, onset_at=ONSET + timedelta(days=3))
    filled = prefill(question("prompt-label-near-onset"), late)
    assert filled.suggested == "no" and filled.source == "the incident's times"
    assert prefill(question("model-sampling-parameters"), facts).suggested is None


def test_windows_compare_errors_tokens_and_latency():
    facts = replace(FACTS, baseline=WindowFact(1000, 10, 900.4, None), incident=WindowFact(500, 50, 1200.0, None))
    known = dict(prefill(question("prompt-crowds-context"), facts).known)
    assert known["Failed, incident"] == "10.0% (7.7 to 12.9), n 500"
    assert known["Input tokens, mean"] == "900 → 1200"
    assert known["Latency, mean"] == "not recorded in these traces"


def test_detection_says_how_long_it_stood():
    facts = replace(FACTS, onset_at=ONSET, detected_at=ONSET + timedelta(days=2, hours=5))
    assert ("Undetected for", "2 d 5 h") in prefill(question("infrastructure-somebody-told"), facts).known
