"""The tree of a trace's observations, whatever the source left out. No Django here."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from postmortem.traces.records import ObservationRecord


@dataclass(frozen=True, slots=True)
class ObservationNode:
    """An observation with its place: `depth` is 0 for roots; children come in order of time."""

    observation: ObservationRecord
    depth: int
    children: tuple["ObservationNode", ...] = ()


def build_tree(observations: Iterable[ObservationRecord]) -> list[ObservationNode]:
    """Roots of the tree, in order of time; every observation given appears exactly once.

    An observation whose parent is not in the list is a root (an application's root often has a parent
    in another service). A cycle of parents is cut at its earliest observation, which becomes a root.
    """
    items = sorted(observations, key=lambda item: (item.start, not item.is_root, item.external_id))
    first_with_id: dict[str, int] = {}
    for position, item in enumerate(items):
        first_with_id.setdefault(item.external_id, position)
    parent = [first_with_id.get(item.parent_id) if item.parent_id else None for item in items]
    _cut_cycles(parent)
    children: list[list[int]] = [[] for _ in items]
    for position, above in enumerate(parent):
        if above is not None:
            children[above].append(position)
    return [_node(root, items, children) for root, above in enumerate(parent) if above is None]


def flatten(roots: Iterable[ObservationNode]) -> Iterator[ObservationNode]:
    """Every node, parents before children, as a page lists them."""
    waiting = list(roots)[::-1]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(reversed(node.children))


def _cut_cycles(parent: list[int | None]) -> None:
    """Make the earliest member of each cycle a root, in place."""
    settled = [False] * len(parent)
    for start in range(len(parent)):
        path: list[int] = []
        on_path: set[int] = set()
        position: int | None = start
        while position is not None and not settled[position] and position not in on_path:
            path.append(position)
            on_path.add(position)
            position = parent[position]
        if position is not None and position in on_path:
            parent[min(path[path.index(position) :])] = None
        for seen in path:
            settled[seen] = True


def _node(root: int, items: list[ObservationRecord], children: list[list[int]]) -> ObservationNode:
    """Built from the leaves up without recursion: agents nest thousands of steps deep."""
    order, depth = [root], {root: 0}
    for position in order:
        for child in children[position]:
            depth[child] = depth[position] + 1
            order.append(child)
    built: dict[int, ObservationNode] = {}
    for position in reversed(order):
        below = tuple(built.pop(child) for child in children[position])
        built[position] = ObservationNode(items[position], depth[position], below)
    return built[root]
