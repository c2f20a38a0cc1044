"""Mix, clocks, calendar and causal graph: what they say in numbers, without colour, in every variant."""

import json
import re
from datetime import date
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from postmortem.incidents.clocks import five_clocks
from postmortem.lib.clock import parse_moment
from postmortem.report import picture_data, present
from postmortem.report.charts.calendar import DueAction, calendar_chart
from postmortem.report.charts.clock_lines import clocks_chart
from postmortem.report.charts.graph import graph_bands, graph_chart
from postmortem.report.charts.mix import mix_chart, mix_data
from postmortem.review.causal_graph import CausalGraph, Edge, Node
from tests.report.big_record import big_record

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def record():
    return json.loads((Path(__file__).parent / "record-1-sample.json").read_text())


def title(svg):
    return ElementTree.fromstring(svg).find(f"{SVG}title").text


def actions(count, status="open"):
    return [
        DueAction(f"A-{n}", f"Title {n} <b>", "Ana", "model", date(2026, 3, 1 + n % 28), status) for n in range(count)
    ]


@pytest.mark.parametrize("variant", ["screen", "narrow", "print"])
def test_the_split_is_told_in_numbers(record, variant):
    svg = mix_chart(mix_data(record["finding"]["result"]), variant=variant)
    assert "changed by −10.1 points: −0.3 points from the traffic mix, −9.8 points from within" in title(svg)
    assert "refund 91.0% to 74.0%, share 21% to 24%" in title(svg)
    assert "style=" not in svg and mix_data({"mix": None}) is None


def test_a_group_without_traces_on_one_side_has_one_mark(record):
    result = json.loads(json.dumps(record["finding"]["result"]))
    result["mix"]["groups"][0]["mean_before"] = None
    circles = mix_chart(mix_data(result)).count("<circle")
    assert circles == 2 + 3
    result["mix"]["groups"] = []
    assert "Traffic mix" in mix_chart(mix_data(result))


@pytest.mark.parametrize("variant", ["screen", "narrow", "print"])
def test_clocks_are_told_in_numbers_and_missing_ends_are_named(record, variant):
    svg = clocks_chart(picture_data.clock_spans(record), variant=variant)
    assert "To detect 2 d 5 h (9 Mar 09:40 to 11 Mar 15:25)" in title(svg)
    at = parse_moment("2026-03-01T00:00Z"), parse_moment("2026-03-02T00:00Z")
    partly = clocks_chart(five_clocks(None, at[0], at[1], None, None, None), variant=variant)
    assert "no time of mitigation recorded" in title(partly) and "no time of mitigation" in partly.split("</title>")[1]
    assert clocks_chart(five_clocks(None, None, None, None, None, None)) == ""


def test_a_clock_that_runs_backwards_is_still_drawn():
    first, second = parse_moment("2026-03-01T00:00Z"), parse_moment("2026-03-03T00:00Z")
    svg = clocks_chart(five_clocks(None, first, second, first, None, None))
    assert "To mitigate −2 d" in title(svg)


@pytest.mark.parametrize("variant", ["screen", "narrow", "print"])
def test_the_calendar_names_owner_day_and_state(variant):
    svg = calendar_chart([*actions(3), *actions(1, "verified"), *actions(1, "done")], variant=variant)
    assert "5 actions by due date" in title(svg) and "A-1 Ana by 2 Mar 2026 (open)" in title(svg)
    assert "A-0 Ana by 1 Mar 2026 (verified)" in title(svg)
    assert "<b>" not in svg


def test_a_long_calendar_counts_what_it_does_not_draw():
    svg = calendar_chart(actions(45), start=date(2026, 2, 20))
    assert "and 5 more, due later" in svg and title(svg).startswith("45 actions")
    assert calendar_chart([]) == ""
    years = [DueAction("A-1", "x", "", "model", date(2026, 1, 1), "open"),
             DueAction("A-2", "y", "", "model", date(2029, 1, 1), "open")]  # fmt: skip
    assert calendar_chart(years).count("<line") < 60


@pytest.mark.parametrize("variant", ["screen", "print"])
def test_what_nothing_cuts_stands_out_without_colour(record, variant):
    graph = picture_data.graph_of(record)
    whole = graph_chart(graph, variant=variant)
    nodes = {node.kind: node.id for node in graph.nodes}
    opened = graph_chart(graph, [(nodes["trigger"], nodes["impact"])], variant=variant)
    assert "stroke-dasharray" not in whole and "stroke-dasharray" in opened
    assert "1 path from a cause to the impact is without" in title(opened)
    assert "Trigger: Query encoder moved to helix-3" in title(opened) and "cut by A-1" in title(opened)


def test_every_text_stays_within_its_picture(record):
    pictures = [
        mix_chart(mix_data(record["finding"]["result"]), variant="print"),
        clocks_chart(picture_data.clock_spans(record), variant="print"),
        picture_data.calendar_of(record),
        graph_chart(picture_data.graph_of(record)),
    ]
    for svg in pictures:
        root = ElementTree.fromstring(svg)
        width, height = map(float, root.get("viewBox").split()[2:])
        for text in root.iter(f"{SVG}text"):
            assert -1 <= float(text.get("x")) <= width + 1, text.text
            assert 0 <= float(text.get("y")) <= height, text.text
        assert re.search(r'role="img"', svg)


def test_a_graph_of_sixty_factors_shows_numbers_of_the_list():
    big = big_record(factors=60)
    causes = present.causes(big)
    assert sorted({line["number"] for line in causes["lines"]}) == list(range(1, 61))
    drawn = graph_chart(picture_data.graph_of(big), causes["uncut"], numbers=causes["numbers"])
    shown = re.findall(r"<text[^>]*>(\d+)</text>", drawn)
    assert sorted(map(int, shown)) == list(range(1, 61))
    width, height = map(float, re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', drawn).groups())
    assert height < 1.6 * width


def test_a_tall_graph_is_cut_into_bands_that_hold_every_box_once():
    big = big_record()
    causes = present.causes(big)
    bands = graph_bands(picture_data.graph_of(big), causes["uncut"], numbers=causes["numbers"])
    tops = [tuple(map(float, re.search(r'viewBox="0 ([\d.]+) [\d.]+ ([\d.]+)"', one).groups())) for one in bands]
    assert len(bands) > 2 and tops[0][0] == 0
    for (top, height), (following, _) in pairwise(tops):
        assert following == pytest.approx(top + height, abs=0.02) and height < 250
    boxes = sum(one.count("<rect") for one in bands)
    assert boxes == len(big["factors"])
    assert title(bands[0]).startswith("Causal graph of 18 factors") and "continued" in title(bands[1])
    small = CausalGraph((Node(1, "trigger", "model", "A"), Node(2, "impact", "", "B")), (Edge(1, 2, ""),))
    assert graph_bands(small) == [graph_chart(small)]
