"""The pictures: well-formed, themed without style attributes, labels that keep clear of each other."""

import random
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import timedelta
from itertools import combinations

import pytest

from postmortem.changes.records import ChangeRecord
from postmortem.lib.clock import parse_moment
from postmortem.lib.layers import LAYERS, Layer
from postmortem.report.charts import axis, wording
from postmortem.report.charts.captions import alternative_text
from postmortem.report.charts.data import ChangeMark, SignatureData, exposed_data, signature_data
from postmortem.report.charts.exposed import exposed_chart
from postmortem.report.charts.graph import graph_chart
from postmortem.report.charts.signature import lane_labels, signature_chart
from postmortem.report.charts.styles import step_of
from postmortem.report.charts.svg import shorten, text_width
from postmortem.review.causal_graph import CausalGraph, Edge, Node
from tests.report.builders import CAUSE, DETECTED, MITIGATED, ONSET, START, finding_result

VARIANTS = ["screen", "narrow", "print", "compact"]
SVG = "{http://www.w3.org/2000/svg}"


def example() -> SignatureData:
    changes = [
        ChangeRecord(
            CAUSE, Layer.RETRIEVAL, ONSET, ONSET + timedelta(hours=45), rollout="staged", facet="encoder",
            from_version="helix-2", to_version="helix-3", stage_facet="region", stage_order=("eu-west", "us-east"),
            summary="Query encoder helix-2 → helix-3",
        ),
        ChangeRecord("retrieval-4", Layer.RETRIEVAL, MITIGATED, MITIGATED, facet="encoder", to_version="helix-2",
                     from_version="helix-3", summary="Encoder rolled back", is_rollback=True),
        ChangeRecord("retrieval-5", Layer.RETRIEVAL, MITIGATED, MITIGATED, summary="Filter acl-9"),
        ChangeRecord("model-2", Layer.MODEL, ONSET, ONSET + timedelta(hours=20), rollout="canary", canary_share=0.25),
    ]  # fmt: skip
    return signature_data(finding_result(), changes, onset=ONSET, detected=DETECTED, mitigated=MITIGATED)


def crowded(count: int = 60, seed: int = 1) -> SignatureData:
    """`count` changes at random times, five of which must keep their labels."""
    rng = random.Random(seed)
    probabilities = [0.93, 0.2, 0.06, 0.04, 0.03]
    marks = []
    for place in range(count):
        at = START + timedelta(days=14 * rng.random())
        rollout = rng.choice(["instant", "instant", "ramp", "canary"])
        marks.append(
            ChangeMark(
                id=f"c{place}", layer=LAYERS[place % 4].value,
                summary=f"{rng.choice(['Answer prompt', 'Query encoder', 'Release 2026.10', 'Cache'])} "
                f"v{place} → v{place + 1}",
                at=at, until=at if rollout == "instant" else at + timedelta(hours=rng.choice([2, 9, 30])),
                rollout=rollout, is_rollback=place % 11 == 0, reached=place % 13 != 5,
                probability=probabilities[place] if place < len(probabilities) else rng.random() * 0.02,
            )
        )  # fmt: skip
    return replace(example(), changes=tuple(marks))


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("data", [example(), crowded()], ids=["example", "crowded"])
def test_the_signature_picture_is_well_formed_and_needs_no_inline_style(variant, data):
    root = parsed(signature_chart(data, variant=variant))
    assert root.tag == f"{SVG}svg"
    assert root[0].tag == f"{SVG}title"
    assert root[0].text == alternative_text(data)
    for element in root.iter():
        assert "style" not in element.attrib
        assert element.tag.removeprefix(SVG) in {"svg", "title", "rect", "line", "path", "text", "circle"}
        assert not any(name.startswith("on") for name in element.attrib)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("seed", range(6))
def test_labels_of_sixty_changes_never_overlap(variant, seed):
    data = crowded(seed=seed)
    boxes = []
    for label, top in lane_labels(data, variant=variant):
        left, box_top, right, bottom = label.box
        boxes.append((label.mark.id, left, box_top + top, right, bottom + top))
    for (one, l1, t1, r1, b1), (other, l2, t2, r2, b2) in combinations(boxes, 2):
        touches = l1 < r2 - 0.01 and l2 < r1 - 0.01 and t1 < b2 - 0.01 and t2 < b1 - 0.01
        assert not touches, f"{one} and {other} overlap"


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("seed", range(6))
def test_probable_changes_keep_their_labels_in_any_crowd(variant, seed):
    labelled = {label.mark.id for label, _ in lane_labels(crowded(seed=seed), variant=variant)}
    assert {"c0", "c1", "c2", "c3", "c4"} <= labelled


@pytest.mark.parametrize("variant", VARIANTS)
def test_labels_stay_inside_the_picture(variant):
    data = crowded()
    width = float(parsed(signature_chart(data, variant=variant)).attrib["viewBox"].split()[2])
    for label, _ in lane_labels(data, variant=variant):
        assert label.box[0] >= 0 and label.box[2] <= width + 0.5, label.mark.id


def test_every_change_has_a_bar_and_only_the_cause_is_opaque():
    root = parsed(signature_chart(example(), variant="screen"))
    bars = [
        path for path in root.iter(f"{SVG}path")
        if path.attrib.get("class", "").startswith(("fill-retrieval stroke", "fill-model stroke"))
    ]  # fmt: skip
    assert [bar.attrib["fill-opacity"] for bar in bars].count("1") == 1
    dotted = [path for path in root.iter(f"{SVG}path") if "stroke-dasharray" in path.attrib]
    assert any(path.attrib.get("stroke") == "#006f66" for path in dotted)  # reached no trace


def test_the_words_name_the_cause_its_rollout_and_the_drop():
    words = " ".join(parsed(signature_chart(example(), variant="screen")).itertext())
    for text in ("Query encoder helix-2 → helix-3", "P 0.97, staged: eu-west, then us-east", "−10.1 points",
                 "92.2% (91.8 to 92.5), n 21,729", "Onset", "9 Mar 09:40", "Detected", "Mitigated",
                 "reached no trace", "rollback", "0.9 and over"):  # fmt: skip
        assert text in words, text


def test_the_alternative_text_says_it_in_numbers():
    text = alternative_text(example())
    assert "Baseline 92.2% (91.8 to 92.5), n 21,729" in text
    assert "Most probable cause: Query encoder helix-2 → helix-3, P 0.97" in text
    assert "4 logged changes: model 1, prompt 0, retrieval 3, infrastructure 0" in text


def test_words_of_the_three_markers_never_overlap_however_close_they_are():
    for minutes in (1, 30, 90, 300, 900, 2000):
        step = timedelta(minutes=minutes)
        data = replace(example(), onset=ONSET, detected=ONSET + step, mitigated=ONSET + 2 * step)
        for variant in VARIANTS:
            texts = [
                text for text in parsed(signature_chart(data, variant=variant)).iter(f"{SVG}text")
                if text.text in ("Onset", "Detected", "Mitigated")
            ]  # fmt: skip
            assert len(texts) == 3
            spans = []
            for text in texts:
                size = float(text.attrib["font-size"])
                width, x = text_width(text.text, size, bold=True), float(text.attrib["x"])
                left = x - width if text.attrib.get("text-anchor") == "end" else x
                spans.append((left, left + width, float(text.attrib["y"])))
            for (l1, r1, y1), (l2, r2, y2) in combinations(spans, 2):  # in order of time
                assert y1 != y2 or l1 < l2, (minutes, variant)
                assert y1 != y2 or r1 <= l2 or r2 <= l1, (minutes, variant)


def test_a_picture_without_changes_or_windows_is_still_drawn():
    bare = replace(
        example(), changes=(), baseline=None, incident=None, drop=None, onset=None, detected=None, mitigated=None
    )
    for variant in VARIANTS:
        assert "Model" in " ".join(parsed(signature_chart(bare, variant=variant)).itertext())
    with pytest.raises(ValueError, match="needs a series"):
        signature_chart(replace(bare, series=()))


def test_hostile_words_stay_words():
    mark = ChangeMark("x", "prompt", "<script>alert(1)</script>\x00\u202e&\"'", ONSET, ONSET, probability=0.9)
    svg = signature_chart(replace(example(), changes=(mark,), label="</title><script>"), variant="screen")
    root = parsed(svg)
    assert not list(root.iter(f"{SVG}script"))
    assert "\u202e" not in svg and "\x00" not in svg


def test_without_a_confirmed_onset_the_estimate_is_shown_as_one():
    data = signature_data(finding_result(), [], detected=DETECTED)
    assert data.onset_is_estimate
    assert data.onset == parse_moment("2026-03-09T09:20:00Z")
    assert "Onset, estimated" in signature_chart(data)


def test_a_change_ends_where_the_log_takes_it_back():
    cause = next(mark for mark in example().changes if mark.id == CAUSE)
    assert cause.ends == MITIGATED


@pytest.mark.parametrize(
    ("probability", "opacity"), [(0.0, 0.08), (0.01, 0.22), (0.049, 0.22), (0.05, 0.42), (0.5, 0.7), (0.97, 1.0)]
)
def test_shading_has_five_steps(probability, opacity):
    assert step_of(probability) == opacity


@pytest.mark.parametrize("variant", ["screen", "narrow", "print"])
def test_exposed_against_unexposed_is_drawn_with_gaps_where_there_was_no_trace(variant):
    result = finding_result()
    data = exposed_data(result, result["hypotheses"][0])
    assert data is not None
    root = parsed(exposed_chart(data, variant=variant))
    assert "difference −13.0 points" in root[0].text
    dashed = [
        path for path in root.iter(f"{SVG}path") if "stroke-dasharray" in path.attrib and path.attrib["fill"] == "none"
    ]
    assert len(dashed) == 2  # unexposed traces before and after the time when everybody was exposed
    assert exposed_data(result, result["hypotheses"][-1]) is None


def test_the_causal_graph_says_what_cuts_each_factor():
    graph = CausalGraph(
        nodes=(Node(1, "trigger", "retrieval", "Encoder <moved>"), Node(2, "amplifier", "infrastructure", "Cache"),
               Node(3, "impact", "", "Wrong answers")),
        edges=(Edge(1, 3), Edge(2, 3)), cut={1: ("A-1",)},
    )  # fmt: skip
    words = " ".join(parsed(graph_chart(graph, [(2, 3)])).itertext())
    assert "cut by A-1" in words
    assert "not cut" in words
    assert "1 path from a cause to the impact is without" in words
    assert graph_chart(CausalGraph((), ())) == ""


@pytest.mark.parametrize("days", [0.2, 1, 3, 14, 45, 200, 900])
def test_time_ticks_are_few_and_their_labels_do_not_meet(days):
    scale = axis.TimeScale(START, START + timedelta(days=days), 100, 1100)
    ticks = axis.time_ticks(scale, 11)
    assert 2 <= len(ticks) <= 40
    labelled = [(scale.x(tick.at), tick.label) for tick in ticks]
    assert all(scale.holds(tick.at) for tick in ticks)
    assert len({label for _, label in labelled}) > 1


@pytest.mark.parametrize(
    ("low", "high"), [(0.72, 0.95), (0.0, 1.0), (1.2, 1.31), (0.0001, 0.0009), (5, 50_000), (0.02, 0.98)]
)
def test_value_ticks_are_round_and_inside(low, high):
    ticks = axis.value_ticks(low, high, 4)
    assert 2 <= len(ticks) <= 7
    assert all(low <= tick <= high for tick in ticks)


def test_numbers_are_written_as_people_read_them():
    assert wording.level(0.7931, "share") == "79.3%"
    assert wording.level(1.834, "s") == "1.83 s"
    assert wording.change(-0.101, "share") == "−10.1 points"
    assert wording.change(0.84, "s") == "+0.84 s"
    assert wording.change(-0.0001, "share") == "0.0 points"
    assert wording.p_text(0.0001) == "P < 0.01"
    assert wording.p_text(0.9999) == "P > 0.99"


def test_shortened_text_fits_and_says_so():
    text = "A rather long summary of a change"
    cut = shorten(text, 80, 11)
    assert cut.endswith("…")
    assert text_width(cut, 11) <= 80
    assert shorten(text, 1000, 11) == text
