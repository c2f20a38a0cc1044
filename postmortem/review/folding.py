"""Less of a large causal graph at a time: what is folded away is bridged, so that no path is lost. No Django here."""

from collections.abc import Collection
from dataclasses import dataclass

import networkx as nx

from postmortem.review.causal_graph import CausalGraph, Edge, to_network


@dataclass(frozen=True, slots=True)
class GraphView:
    """What of the graph is shown: without the layers `hidden`, only what led to or came of the factor `around`
    (0: of all), only what lies on a path that nothing cuts."""

    hidden: frozenset[str] = frozenset()
    around: int = 0
    only_open: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether nothing is folded away."""
        return not (self.hidden or self.around or self.only_open)


def kept_nodes(graph: CausalGraph, view: GraphView, open_nodes: Collection[int]) -> set[int]:
    """Ids of the factors that `view` shows; the impact always, a factor `around` that is gone hides nothing."""
    kept = {node.id for node in graph.nodes if node.layer not in view.hidden}
    net = to_network(graph)
    if view.around in net:
        kept &= nx.ancestors(net, view.around) | nx.descendants(net, view.around)
        kept.add(view.around)
    if view.only_open:
        kept &= set(open_nodes)
    if graph.impact is not None:
        kept.add(graph.impact.id)
    return kept


def folded(graph: CausalGraph, keep: Collection[int]) -> CausalGraph:
    """The graph of the factors in `keep`. Where a path runs through others, an arrow of id 0 bridges them.

    A bridge's claim says how many factors are folded on its shortest path. An acyclic graph stays acyclic.
    """
    kept = set(keep)
    net = to_network(graph)
    edges = [edge for edge in graph.edges if edge.cause in kept and edge.effect in kept]
    there = {(edge.cause, edge.effect) for edge in edges}
    for cause in net:
        if cause not in kept:
            continue
        passed: set[int] = set()
        near, steps = [one for one in net.successors(cause) if one not in kept], 1
        while near:
            further: list[int] = []
            for hidden in near:
                if hidden in passed:
                    continue
                passed.add(hidden)
                for effect in net.successors(hidden):
                    if effect not in kept:
                        further.append(effect)
                    elif effect != cause and (cause, effect) not in there:
                        there.add((cause, effect))
                        edges.append(Edge(cause, effect, f"through {steps} folded away"))
            near, steps = further, steps + 1
    nodes = tuple(node for node in graph.nodes if node.id in kept)
    return CausalGraph(nodes, tuple(edges), graph.cut)
