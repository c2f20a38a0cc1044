"""What a leader reads first: why, how sure, what is open, and what a draft still lacks; in pictures and words alike."""

import json
from pathlib import Path

import pytest

from postmortem.report import picture_data, present
from postmortem.report.certainty import how_sure
from postmortem.report.charts import wording
from postmortem.report.charts.captions import alternative_text
from postmortem.report.charts.signature import signature_chart
from postmortem.report.external import for_outside
from postmortem.report.pattern_rows import pattern_rows
from postmortem.report.unfinished import unfinished

MOVE = {"facet": "model_served", "layer": "model", "from": "orion-1", "to": "orion-2",
        "at": "2026-03-09T09:24:00.000Z", "count": 791, "scope": "model orion"}  # fmt: skip


@pytest.fixture
def record():
    return json.loads((Path(__file__).parent / "record-1-sample.json").read_text())


def result(record):
    return record["finding"]["result"]


def unlogged(record):
    """The record with an unlogged version as its likeliest cause."""
    one = next(one for one in result(record)["hypotheses"] if one["kind"] == "unlogged")
    one |= {"probability": 0.98, "layer": "model", "title": "Served model orion-1 → orion-2, in no log"}
    result(record)["hypotheses"].sort(key=lambda one: -one["probability"])
    result(record)["reconciliation"]["never_logged"] = [MOVE]
    return record


def test_probabilities_are_said_in_words_and_rivals_are_named(record):
    sure, doubt = how_sure(record)
    assert sure.startswith("One change explains the drop: Query encoder helix-2 → helix-3, probability 0.97.")
    assert doubt.startswith("What could still be wrong: “") and "(probability 0.0" in doubt
    assert "Several can be true at once" in doubt  # as they add up to more than 1
    assert "P 0" not in sure + doubt


def test_explanations_that_round_to_nothing_are_no_rivals(record):
    for one in result(record)["hypotheses"][1:]:
        one["probability"] = 0.004
    assert how_sure(record)[1].startswith(
        "No other explanation reaches a probability of 0.01. The traffic mix accounts"
    )


def test_a_mix_that_moved_is_told_with_what_grew(record):
    mix = next(one for one in result(record)["hypotheses"] if one["kind"] == "mix")
    result(record)["hypotheses"] = [mix | {"probability": 0.89}]
    result(record)["headline"] = "Probably the traffic mix, P 0.89"
    [sure, *_] = how_sure(record)
    assert "probability 0.89. Traffic mix." in sure
    assert "What grew: intent refund, from 21% to 24% of the traffic. Its level was 91.0% before" in sure
    assert "that of all traffic 92.2%" in sure and "accounts for" not in " ".join(how_sure(record))


def test_an_unlogged_cause_is_drawn_named_once_and_counted_as_no_logged_change(record):
    before = picture_data.picture_of(record)
    told = how_sure(unlogged(record))
    assert "in no log." not in told[1]  # the first paragraph has said it
    data = picture_data.picture_of(record)
    assert data.cause is not None and not data.cause.logged and data.cause.layer == "model"
    assert "Served model orion-1 → orion-2, in no log" in signature_chart(data, variant="print")
    assert f"{len(before.changes)} logged changes" in alternative_text(data)


def test_a_change_that_is_no_suspect_is_not_called_the_cause_in_the_alternative_text(record):
    assert "Most probable cause: Query encoder" in alternative_text(picture_data.picture_of(record))
    for one in result(record)["hypotheses"]:
        one["probability"] = min(one["probability"], 0.3)
    assert "Most probable change: Query encoder" in alternative_text(picture_data.picture_of(record))


def test_a_change_that_the_ledger_saw_is_not_said_to_have_reached_no_trace(record):
    one = result(record)["reconciliation"]["never_observed"][0]
    one["reason"] = "It came after the last trace compared (12 Mar 2026 16:38 UTC)."
    change = next(each for each in record["changes"] if each["id"] == one["change"])
    for count in (0, 12):
        change["exposed_count"] = count
        mark = next(mark for mark in picture_data.picture_of(record).changes if mark.id == one["change"])
        assert mark.reached is bool(count)
        assert len(present.reconciliation(record)["never_observed"]) == (not count)


def test_a_path_that_nothing_cuts_is_named_by_where_it_begins(record):
    assert "cut every path" in present.causes(record)["verdict"]
    for action in record["actions"]:
        action["cuts"] = None
    for factor in record["factors"]:
        factor["risk_accepted_by"] = ""
    verdict = present.causes(record)["verdict"]
    assert verdict.startswith("Still open: ") and "that no action or accepted risk cuts, from “" in verdict


def test_what_a_draft_lacks_is_listed_and_a_whole_one_lacks_nothing(record):
    assert unfinished(record) == []
    record["text"]["impact"] = " "
    record["incident"]["mitigated_at"] = None
    record["layers"][0] |= {"verdict": ""}
    record["actions"], record["facilitator_sign_off"] = [], None
    assert unfinished(record) == [
        "the impact",
        "the time of mitigation",
        "a verdict for model",
        "actions, each with one owner, a due date and a way to verify it",
        "the signature of the facilitator",
    ]


def test_what_was_open_past_its_day_at_publication_is_overdue(record):
    record["actions"][0] |= {"status": "open", "due_on": "2026-03-01"}
    del record["publication"]
    assert "Overdue" not in {one["status_label"] for one in present.actions(record)}
    record["publication"] = {"published_at": "2026-03-02T09:00:00.000Z"}
    assert [one["status_label"] for one in present.actions(record)].count("Overdue") == 1


def test_a_part_that_several_have_is_not_called_the_one(record):
    record["participants"] += [
        {"name": "Dana Levi", "team": "", "role": "reviewer", "layer": ""},
        {"name": "Kwame Mensah", "team": "", "role": "reviewer", "layer": ""},
    ]
    record["timeline"][0]["text"] = "Dana Levi opens it with Priya Nair. Kwame Mensah joins."
    copied = for_outside(record)
    assert copied["timeline"][0]["text"] == "A reviewer opens it with the retrieval lead. A reviewer joins."
    assert "the facilitator" in {one["name"] for one in copied["participants"]}


def test_a_pattern_says_each_number_once(record):
    number = {"label": "With the prompt", "estimate": 0.118, "interval": [0.099, 0.138], "count": 3988,
              "unit": "share", "about": "", "signed": True}  # fmt: skip
    result(record)["patterns"] = [
        {"number": 2, "pattern": "conflated_drift", "title": "Conflated drift", "layer": "prompt", "answer": "match",
         "sentence": "Of the harm, +11.8 points (9.9 to 13.8) go with the prompt.",
         "numbers": [number, number | {"label": "Whole change", "estimate": 0.149}], "missing": []},
    ]  # fmt: skip
    [row] = pattern_rows(record)
    assert row["numbers"].startswith("Whole change +14.9 points") and "With the prompt" not in row["numbers"]


@pytest.mark.parametrize(
    ("values", "unit", "texts"),
    [([2, 2.25, 2.5], "s", ["2.00 s", "2.25 s", "2.50 s"]), ([0.9, 0.925], "share", ["90.0%", "92.5%"]),
     ([1800, 2000], "", ["1,800", "2,000"]), ([-0.5, 0.0], "s", ["−0.5 s", "0.0 s"])],
)  # fmt: skip
def test_an_axis_has_the_same_decimals_throughout(values, unit, texts):
    assert wording.axis_levels(values, unit) == texts
