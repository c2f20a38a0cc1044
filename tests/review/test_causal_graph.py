"""The causal graph without a database: circles, orphans, paths and cuts, outline, drawing."""

import pytest

from postmortem.review.causal_graph import (
    CausalGraph,
    Edge,
    Node,
    check_graph,
    closes_circle,
    layout,
    outline,
    outline_text,
)  # fmt: skip


def graph(edges, *, nodes=(), cut=None, impact=9):
    ids = sorted({end for edge in edges for end in edge} | set(nodes) | {impact})
    return CausalGraph(
        tuple(
            Node(i, "impact" if i == impact else "trigger", "" if i == impact else "retrieval", f"F{i}") for i in ids
        ),
        tuple(Edge(cause, effect) for cause, effect in edges),
        cut or {},
    )


def test_empty_graph_has_nothing():
    check = check_graph(CausalGraph((), ()))
    assert check.is_acyclic and not check.has_impact and not check.connects_cause_to_impact and not check.is_cut


def test_lone_impact_connects_nothing_and_counts_as_uncut():
    check = check_graph(graph([]))
    assert check.has_impact and not check.connects_cause_to_impact and not check.is_cut


def test_orphans_do_not_lead_to_the_impact():
    check = check_graph(graph([(1, 2), (3, 9)], nodes=[4]))
    assert check.orphans == (1, 2, 4) and check.connects_cause_to_impact


def test_every_uncut_path_is_named():
    check = check_graph(graph([(1, 3), (2, 3), (3, 9), (4, 9)]))
    assert set(check.uncut_paths) == {(1, 3, 9), (2, 3, 9), (4, 9)}
    assert check.cut_suggestion == (3, 4)


def test_a_cut_node_cuts_what_only_follows_from_it():
    check = check_graph(graph([(1, 2), (2, 9)], cut={1: ("A-1",)}))
    assert check.is_cut and check.cut_suggestion == ()


def test_a_cut_on_one_way_leaves_the_other():
    check = check_graph(graph([(1, 2), (2, 9), (1, 3), (3, 9)], cut={2: ("A-1",)}))
    assert check.uncut_paths == ((1, 3, 9),) and not check.is_cut


def test_impact_cannot_be_cut():
    assert not check_graph(graph([(1, 9)], cut={9: ("A-1",)})).is_cut


def test_circle_is_reported_and_never_passes_as_cut():
    check = check_graph(graph([(1, 2), (2, 1), (1, 9)], cut={1: ("A-1",)}))
    assert not check.is_acyclic and not check.is_cut


def test_paths_are_bounded_on_a_dense_graph():
    edges = [(i, j) for i in range(1, 31) for j in range(i + 1, 31)] + [(30, 99)]
    check = check_graph(graph(edges, impact=99))
    assert len(check.uncut_paths) == 20 and check.more_uncut_paths
    assert len(check.cut_suggestion) == 1


@pytest.mark.parametrize(("cause", "effect", "closes"), [(3, 1, True), (1, 3, False), (2, 2, True), (7, 8, False)])
def test_closes_circle(cause, effect, closes):
    assert closes_circle([(1, 2), (2, 3)], cause, effect) is closes


def test_outline_reads_from_the_impact_back_and_repeats_by_reference():
    lines = outline(graph([(1, 2), (1, 3), (2, 9), (3, 9)], nodes=[5], cut={3: ("A-2",)}))
    assert [(line.depth, line.node.id, line.repeated) for line in lines] == [
        (0, 9, False), (1, 2, False), (2, 1, False), (1, 3, False), (2, 1, True), (0, 5, False),
    ]  # fmt: skip
    assert lines[3].cut_by == ("A-2",)


def test_outline_text_names_cuts_and_ends_on_circles():
    text = outline_text(graph([(1, 2), (2, 1), (2, 9)], cut={2: ("A-2",)}))
    assert "  ← Trigger, retrieval: F2 [cut: A-2]" in text and "(see above)" in text


def test_layout_puts_causes_above_effects_and_the_impact_alone_below():
    edges = [(1, 3), (2, 3), (3, 9), (4, 5), (5, 9), (1, 9)]
    drawn = layout(graph(edges))
    for cause, effect in edges:
        assert drawn.positions[cause][1] < drawn.positions[effect][1]
    assert [node for node, (_, y) in drawn.positions.items() if y == drawn.rows - 1] == [9]
    assert len(drawn.routes[1, 9]) == drawn.positions[9][1] - drawn.positions[1][1] - 1


def test_layout_keeps_nodes_apart_and_inside():
    edges = [(i, 40 + i % 7) for i in range(1, 40)] + [(40 + i, 99) for i in range(7)] + [(3, 99), (20, 99)]
    drawn = layout(graph(edges, impact=99), per_row=6)
    assert len(drawn.positions) == 47
    rows = {}
    for x, y in drawn.positions.values():
        rows.setdefault(y, []).append(x)
        assert 0.5 <= x <= drawn.width - 0.5 + 1e-6
    for places in rows.values():
        assert len(places) <= 6
        assert all(right - left >= 1.19 for left, right in zip(sorted(places), sorted(places)[1:], strict=False))
    for route in drawn.routes.values():
        for x, y in route:
            assert all(abs(x - place) > 0.5 for place in rows.get(y, []))


def test_layout_of_orphans_and_nothing():
    assert layout(CausalGraph((), ())).rows == 0
    drawn = layout(graph([(1, 2)], nodes=[3]))
    assert drawn.positions[9][1] == drawn.rows - 1 and drawn.positions[2][1] < drawn.rows - 1


def test_layout_untangles_crossings():
    edges = [(1, 6), (2, 5), (3, 4), (4, 9), (5, 9), (6, 9)]
    drawn = layout(graph(edges))
    order = lambda ids: sorted(ids, key=lambda node: drawn.positions[node][0])  # noqa: E731
    pair = {1: 6, 2: 5, 3: 4}
    assert [pair[node] for node in order([1, 2, 3])] == order([4, 5, 6])
