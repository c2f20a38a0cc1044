"""Folding a large graph: every path stays a path, nothing new leads anywhere."""

import networkx as nx
from hypothesis import given, settings
from hypothesis import strategies as st

from postmortem.review.causal_graph import check_graph, to_network
from postmortem.review.folding import GraphView, folded, kept_nodes
from tests.review.test_causal_graph import graph


def pairs(shown):
    return {(edge.cause, edge.effect, edge.id, edge.claim) for edge in shown.edges}


def test_a_folded_factor_is_bridged_and_told():
    whole = graph([(1, 2), (2, 3), (3, 9), (1, 9)])
    shown = folded(whole, {1, 9})
    assert pairs(shown) == {(1, 9, 0, "")}, "a stored arrow needs no bridge"
    assert pairs(folded(whole, {1, 3, 9})) == {(1, 3, 0, "through 1 folded away"), (3, 9, 0, ""), (1, 9, 0, "")}
    assert pairs(folded(graph([(1, 2), (2, 3), (3, 9)]), {1, 9})) == {(1, 9, 0, "through 2 folded away")}


def test_views_keep_the_impact_and_what_they_name():
    whole = graph([(1, 2), (2, 9), (3, 9)], cut={3: ("A-1",)})
    still_open = check_graph(whole).open_nodes
    assert still_open == {1, 2, 9}
    assert kept_nodes(whole, GraphView(only_open=True), still_open) == {1, 2, 9}
    assert kept_nodes(whole, GraphView(around=2), still_open) == {1, 2, 9}
    assert kept_nodes(whole, GraphView(around=77), still_open) == {1, 2, 3, 9}
    assert kept_nodes(whole, GraphView(hidden=frozenset({"retrieval"})), still_open) == {9}
    assert GraphView().is_whole and not GraphView(around=2).is_whole


@settings(max_examples=60, deadline=None)
@given(
    st.sets(st.tuples(st.integers(1, 8), st.integers(1, 8)).filter(lambda pair: pair[0] < pair[1]), max_size=16),
    st.sets(st.integers(1, 9)),
)
def test_what_led_to_what_is_the_same_among_those_that_are_shown(edges, keep):
    keep = {*keep, 9}
    whole = graph([*edges, (8, 9)], nodes=range(1, 9))
    before, after = to_network(whole), to_network(folded(whole, keep))
    assert set(after) == keep and nx.is_directed_acyclic_graph(after)
    for cause in keep:
        assert nx.descendants(after, cause) == nx.descendants(before, cause) & keep
