"""The causal graph as mathematics: circles, orphans, paths that nothing cuts, an outline. No Django here.

Nodes are contributing factors, arrows run from cause to effect, and all of them end in the one impact.
A node is *cut* when an action item answers it or somebody accepted its risk.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice, pairwise

import networkx as nx

IMPACT = "impact"
# A drawn item: (node,), or (cause, effect, level) where an arrow passes a row.
_Item = tuple[int, ...]
MOST_PATHS = 20  # uncut paths that are listed; there may be exponentially many
_START = -1  # the node before all first causes; factors have positive ids
# Drawing, in widths of a node: space between two nodes, and what a passing arrow takes.
_GAP, _LANE = 0.2, 0.12
_SWEEPS = 8


@dataclass(frozen=True, slots=True)
class Node:
    """A contributing factor. `kind` and `layer` are the database's words; the impact's layer is ""."""

    id: int
    kind: str
    layer: str
    text: str


@dataclass(frozen=True, slots=True)
class Edge:
    """`cause` led to `effect`. `id` is the stored edge's, 0 when there is none."""

    cause: int
    effect: int
    claim: str = ""
    id: int = 0


@dataclass(frozen=True)
class CausalGraph:
    """Nodes and arrows; `cut` maps cut nodes to what cuts them ("A-1", "risk accepted by Priya Nair")."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    cut: Mapping[int, tuple[str, ...]] = field(default_factory=dict)

    @property
    def impact(self) -> Node | None:
        """The node where all ends."""
        return next((node for node in self.nodes if node.kind == IMPACT), None)

    def node(self, node_id: int) -> Node:
        """The node of that id. Raises KeyError."""
        for node in self.nodes:
            if node.id == node_id:
                return node
        raise KeyError(node_id)


@dataclass(frozen=True, slots=True)
class GraphCheck:
    """What the gate asks of a graph.

    `orphans` lead to no impact. `uncut_paths` run from a first cause to the impact past every cut, at most
    MOST_PATHS of them (`more_uncut_paths` says whether there are others); `open_nodes` lie on any of them.
    `cut_suggestion` is a smallest set
    of factors whose cutting would cut them all (minimum node cut), nearest to the first causes by id.
    """

    is_acyclic: bool
    has_impact: bool
    orphans: tuple[int, ...]
    connects_cause_to_impact: bool
    uncut_paths: tuple[tuple[int, ...], ...]
    more_uncut_paths: bool
    cut_suggestion: tuple[int, ...]
    open_nodes: frozenset[int] = frozenset()

    @property
    def is_cut(self) -> bool:
        """Whether every path from a cause to the impact is cut; a graph without such a path is not."""
        return self.is_acyclic and self.connects_cause_to_impact and not self.uncut_paths


@dataclass(frozen=True, slots=True)
class OutlineLine:
    """One line of the outline: `depth` 0 is the impact, deeper lines are causes of the line above them.

    `repeated` lines were unfolded before. `cut_by` says what cuts the node.
    """

    depth: int
    node: Node
    claim: str
    repeated: bool
    cut_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where to draw: x in widths of a node, y in rows, both from 0; causes above, the impact in the last row.

    `positions` gives each node's centre. `routes` gives, for each (cause, effect), the points between its two
    nodes through which the arrow passes without crossing a node. The drawing needs `width` by `rows`.
    """

    positions: Mapping[int, tuple[float, int]]
    routes: Mapping[tuple[int, int], tuple[tuple[float, int], ...]]
    width: float
    rows: int


def closes_circle(edges: Iterable[tuple[int, int]], cause: int, effect: int) -> bool:
    """Whether an arrow from `cause` to `effect` would close a circle among `edges`."""
    graph = nx.DiGraph(edges)
    if cause == effect:
        return True
    return cause in graph and effect in graph and bool(nx.has_path(graph, effect, cause))


def check_graph(graph: CausalGraph) -> GraphCheck:
    """Check everything at once. Arrows to unknown nodes are left out; an empty graph has nothing."""
    net = to_network(graph)
    impact = graph.impact
    acyclic = bool(nx.is_directed_acyclic_graph(net))
    leading = set(nx.ancestors(net, impact.id)) if impact else set()
    orphans = tuple(node.id for node in graph.nodes if node.kind != IMPACT and node.id not in leading)
    paths: tuple[tuple[int, ...], ...] = ()
    suggestion: tuple[int, ...] = ()
    more, uncut = False, frozenset[int]()
    if acyclic and impact:
        paths, more, suggestion, uncut = _uncut(net, impact.id, set(graph.cut) - {impact.id})
    return GraphCheck(acyclic, impact is not None, orphans, bool(leading), paths, more, suggestion, uncut)


def outline(graph: CausalGraph) -> tuple[OutlineLine, ...]:
    """The graph as indented lines, from the impact back to its causes, then the orphans; circles end."""
    parents: dict[int, list[Edge]] = {}
    for edge in graph.edges:
        parents.setdefault(edge.effect, []).append(edge)
    by_id = {node.id: node for node in graph.nodes}
    lines: list[OutlineLine] = []
    seen: set[int] = set()
    effects = {edge.cause for edge in graph.edges if edge.effect in by_id}
    tops = sorted(graph.nodes, key=lambda node: (node.kind != IMPACT, node.id in effects, node.id))
    for top in tops:
        if top.id in seen:
            continue
        stack = [(0, top, "")]
        while stack:
            depth, node, claim = stack.pop()
            repeated = node.id in seen
            lines.append(OutlineLine(depth, node, claim, repeated, tuple(graph.cut.get(node.id, ()))))
            if not repeated:
                seen.add(node.id)
                causes = [edge for edge in parents.get(node.id, []) if edge.cause in by_id]
                stack += [(depth + 1, by_id[edge.cause], edge.claim) for edge in reversed(causes)]
    return tuple(lines)


def outline_text(graph: CausalGraph) -> str:
    """The outline as plain text, two blanks a level, e.g. "  ← Trigger, retrieval: … [cut: A-1]"."""
    rows = []
    for line in outline(graph):
        where = f", {line.node.layer}" if line.node.layer else ""
        row = f"{'  ' * line.depth}{'← ' if line.depth else ''}{line.node.kind.replace('_', ' ').capitalize()}{where}: "
        row += line.node.text + (f" ({line.claim})" if line.claim else "")
        row += f" [cut: {', '.join(line.cut_by)}]" if line.cut_by else ""
        rows.append(row + (" (see above)" if line.repeated else ""))
    return "\n".join(rows)


def to_network(graph: CausalGraph) -> "nx.DiGraph[int]":
    """The graph for networkx, nodes and arrows in stored order so that answers do not change from run to run."""
    net: nx.DiGraph[int] = nx.DiGraph()
    net.add_nodes_from(node.id for node in graph.nodes)
    net.add_edges_from((edge.cause, edge.effect) for edge in graph.edges if edge.cause in net and edge.effect in net)
    return net


def _uncut(
    net: "nx.DiGraph[int]", impact: int, cut: set[int]
) -> tuple[tuple[tuple[int, ...], ...], bool, tuple[int, ...], frozenset[int]]:
    """Paths past the cuts, the fewest nodes that would cut them too, and all nodes on such paths.

    First causes are those without a cause in the whole graph: what only follows from a cut node is cut with it.
    """
    firsts = [node for node in net if net.in_degree(node) == 0 and node != impact]
    rest = net.subgraph([node for node in net if node not in cut]).copy()
    # Only what lies on a way to the impact: all_simple_paths must not wander.
    rest = rest.subgraph(nx.ancestors(rest, impact) | {impact}).copy()
    starts = [node for node in firsts if node in rest]
    if not starts:
        return (), False, (), frozenset()
    rest.add_edges_from((_START, node) for node in starts)
    found = [tuple(path[1:]) for path in islice(nx.all_simple_paths(rest, _START, impact), MOST_PATHS + 1)]
    suggestion = tuple(sorted(nx.minimum_node_cut(rest, _START, impact)))
    on_paths = frozenset(nx.descendants(rest, _START))
    return tuple(found[:MOST_PATHS]), len(found) > MOST_PATHS, suggestion, on_paths


def layout(graph: CausalGraph, *, per_row: int = 4) -> Layout:
    """Layered drawing (Sugiyama): rows by distance from the impact, at most `per_row` nodes in each.

    Rows are filled from the impact upwards (Coffman and Graham 1972), ordered by barycentres with the fewest
    crossings kept, then set at the mean of their neighbours as far as the gaps allow. Same graph, same drawing.
    """
    net = to_network(graph)
    while not nx.is_directed_acyclic_graph(net):
        net.remove_edge(*nx.find_cycle(net)[-1][:2])
    if not net:
        return Layout({}, {}, 0.0, 0)
    level = _levels(net, graph.impact.id if graph.impact else None, max(1, per_row))
    rows_count = max(level.values()) + 1
    rows: list[list[_Item]] = [[] for _ in range(rows_count)]
    for node in net:
        rows[rows_count - 1 - level[node]].append((node,))
    links: list[tuple[_Item, _Item]] = []
    for cause, effect in net.edges:
        chain: list[_Item] = [(cause,)]
        for between in range(level[cause] - 1, level[effect], -1):
            chain.append((cause, effect, between))
            rows[rows_count - 1 - between].append(chain[-1])
        chain.append((effect,))
        links += pairwise(chain)
    rows = _ordered(rows, links)
    x = _placed(rows, links)
    y = {item: row for row, items in enumerate(rows) for item in items}
    routes = {
        (cause, effect): tuple(
            (x[cause, effect, between], y[cause, effect, between])
            for between in range(level[cause] - 1, level[effect], -1)
        )
        for cause, effect in net.edges
    }
    width = max((value + _half(item) for item, value in x.items()), default=0.0)
    return Layout({node: (x[node,], y[node,]) for node in net}, routes, round(width, 4), rows_count)


def _half(item: _Item) -> float:
    return 0.5 if len(item) == 1 else _LANE / 2


def _levels(net: "nx.DiGraph[int]", impact: int | None, per_row: int) -> dict[int, int]:
    """Rows counted from the impact (0): each node above all its effects, in the lowest row with room."""
    stored = {node: position for position, node in enumerate(net)}
    level: dict[int, int] = {}
    filled: dict[int, int] = {}
    for node in reversed(list(nx.lexicographical_topological_sort(net, key=stored.__getitem__))):
        lowest = 1 + max((level[effect] for effect in net.successors(node)), default=0 if impact is not None else -1)
        at = 0 if node == impact else lowest
        while node != impact and filled.get(at, 0) >= per_row:
            at += 1
        level[node] = at
        filled[at] = filled.get(at, 0) + 1
    return level


def _ordered(rows: list[list[_Item]], links: list[tuple[_Item, _Item]]) -> list[list[_Item]]:
    above: dict[_Item, list[_Item]] = {}
    below: dict[_Item, list[_Item]] = {}
    for upper, lower in links:
        above.setdefault(lower, []).append(upper)
        below.setdefault(upper, []).append(lower)
    best, fewest = [list(row) for row in rows], _crossings(rows, below)
    for sweep in range(_SWEEPS):
        downwards = sweep % 2 == 0
        neighbours = above if downwards else below
        for index in range(1, len(rows)) if downwards else range(len(rows) - 2, -1, -1):
            beside = {item: place for place, item in enumerate(rows[index - 1 if downwards else index + 1])}
            own = {item: place for place, item in enumerate(rows[index])}

            def barycentre(item: _Item, beside: dict[_Item, int] = beside, own: dict[_Item, int] = own) -> float:
                near = [beside[each] for each in neighbours.get(item, []) if each in beside]  # noqa: B023
                return sum(near) / len(near) if near else float(own[item])

            rows[index] = sorted(rows[index], key=barycentre)
        crossings = _crossings(rows, below)
        if crossings < fewest:
            best, fewest = [list(row) for row in rows], crossings
    return best


def _crossings(rows: list[list[_Item]], below: dict[_Item, list[_Item]]) -> int:
    total = 0
    for upper, lower in pairwise(rows):
        place = {item: index for index, item in enumerate(lower)}
        ends = [place[end] for item in upper for end in sorted(below.get(item, []), key=place.__getitem__)]
        total += sum(left > right for index, left in enumerate(ends) for right in ends[index + 1 :])
    return total


def _placed(rows: list[list[_Item]], links: list[tuple[_Item, _Item]]) -> dict[_Item, float]:
    near: dict[_Item, list[_Item]] = {}
    for upper, lower in links:
        near.setdefault(upper, []).append(lower)
        near.setdefault(lower, []).append(upper)
    offsets = []
    x: dict[_Item, float] = {}
    for row in rows:
        offset = [0.0]
        for left, right in pairwise(row):
            offset.append(offset[-1] + _half(left) + _half(right) + _GAP)
        offsets.append(offset)
        x |= {item: place - offset[-1] / 2 for item, place in zip(row, offset, strict=True)}
    for _ in range(_SWEEPS):
        for row, offset in zip(rows, offsets, strict=True):
            wanted = [
                sum(x[each] for each in near[item]) / len(near[item]) if item in near else x[item] for item in row
            ]
            level = _not_falling([want - place for want, place in zip(wanted, offset, strict=True)])
            x |= {item: base + place for item, base, place in zip(row, level, offset, strict=True)}
    left_edge = min(value - _half(item) for item, value in x.items())
    return {item: round(value - left_edge, 4) for item, value in x.items()}


def _not_falling(values: list[float]) -> list[float]:
    """The nearest sequence that never falls (least squares, pool adjacent violators)."""
    pools: list[tuple[float, int]] = []
    for value in values:
        pools.append((value, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (right, many), (left, few) = pools.pop(), pools.pop()
            pools.append(((right * many + left * few) / (many + few), many + few))
    return [value for value, count in pools for _ in range(count)]
