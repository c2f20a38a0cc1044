"""The causal graph as a picture: causes above, the impact below, what nothing cuts in alert. No Django here.

Layers by the longest way to the impact, order within a layer by the mean place of the neighbours
(Sugiyama, Tagawa and Toda 1981); arrows that pass a layer get a place of their own in it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from textwrap import shorten, wrap

from postmortem.lib.layers import Layer
from postmortem.review.causal_graph import CausalGraph, Node

BOX_WIDTH, BOX_HEIGHT = 176, 66
_GAP_X, _GAP_Y = 20, 52
_LANE = 14  # width that a passing arrow takes
_MOST_NODES = 60
_SWEEPS = 6
_LETTERS = 25


@dataclass
class _Slot:
    """A place in a layer: a box, or an arrow passing by (`node` None)."""

    node: Node | None
    layer: int
    x: float = 0.0

    @property
    def width(self) -> int:
        """Room that it takes in its layer."""
        return BOX_WIDTH if self.node else _LANE


def draw_graph(graph: CausalGraph, uncut: Sequence[tuple[int, ...]] = ()) -> str:
    """An SVG of the graph, "" when it is empty or too large to read; `uncut` are the paths that nothing cuts.

    The outline beside it says the same in words, so the picture is hidden from screen readers' detail
    and carries one sentence as its title.
    """
    if not graph.nodes or len(graph.nodes) > _MOST_NODES:
        return ""
    known = {node.id for node in graph.nodes}
    pairs = [(edge.cause, edge.effect) for edge in graph.edges if {edge.cause, edge.effect} <= known]
    depth = _depths(graph, pairs)
    if depth is None:
        return ""
    slots = {node.id: _Slot(node, depth[node.id]) for node in graph.nodes}
    chains = [_chain(slots[cause], slots[effect]) for cause, effect in pairs]
    rows = _rows(list(slots.values()), chains)
    width = _place(rows, chains)
    deepest = len(rows) - 1
    height = (deepest + 1) * BOX_HEIGHT + deepest * _GAP_Y + 4
    open_pairs = {pair for path in uncut for pair in pairwise(path)}
    open_nodes = {node for path in uncut for node in path}

    def top(layer: int) -> float:
        return 2 + (deepest - layer) * (BOX_HEIGHT + _GAP_Y)

    parts = [
        _arrow(chain, top, pair in open_pairs)
        for pair, chain in sorted(zip(pairs, chains, strict=True), key=lambda item: item[0] in open_pairs)
    ]
    parts += [
        _box(slot, top(slot.layer), graph.cut.get(node_id, ()), uncut=node_id in open_nodes)
        for node_id, slot in slots.items()
    ]
    title = f"{len(graph.nodes)} factors, {len(pairs)} connections, {len(uncut)} paths that nothing cuts"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{title}" width="{width:.0f}" '
        f'height="{height}" viewBox="0 0 {width:.0f} {height}">{"".join(parts)}</svg>'
    )


def _depths(graph: CausalGraph, pairs: list[tuple[int, int]]) -> dict[int, int] | None:
    """Longest way down to a node without effects; None if the arrows go in a circle."""
    effects: dict[int, list[int]] = {node.id: [] for node in graph.nodes}
    waiting: dict[int, int] = {node.id: 0 for node in graph.nodes}
    causes: dict[int, list[int]] = {node.id: [] for node in graph.nodes}
    for cause, effect in pairs:
        effects[cause].append(effect)
        causes[effect].append(cause)
        waiting[cause] += 1
    ready = [node for node, count in waiting.items() if not count]
    depth: dict[int, int] = {}
    while ready:
        node = ready.pop()
        depth[node] = max((depth[effect] + 1 for effect in effects[node]), default=0)
        for cause in causes[node]:
            waiting[cause] -= 1
            if not waiting[cause]:
                ready.append(cause)
    if len(depth) < len(graph.nodes):
        return None
    impact = graph.impact
    # What leads nowhere yet stands above the impact and not beside it.
    return {node: max(depth[node], 1) if impact and node != impact.id else depth[node] for node in depth}


def _chain(cause: _Slot, effect: _Slot) -> list[_Slot]:
    passing = [_Slot(None, layer) for layer in range(cause.layer - 1, effect.layer, -1)]
    return [cause, *passing, effect]


def _rows(slots: list[_Slot], chains: list[list[_Slot]]) -> list[list[_Slot]]:
    rows: list[list[_Slot]] = [[] for _ in range(max(slot.layer for slot in slots) + 1)]
    for slot in [*slots, *(slot for chain in chains for slot in chain[1:-1])]:
        rows[slot.layer].append(slot)
    above: dict[int, list[_Slot]] = {}
    below: dict[int, list[_Slot]] = {}
    for chain in chains:
        for upper, lower in pairwise(chain):
            above.setdefault(id(lower), []).append(upper)
            below.setdefault(id(upper), []).append(lower)
    for sweep in range(_SWEEPS):
        neighbours = above if sweep % 2 else below
        for row in rows[::-1] if sweep % 2 else rows:
            place = {id(slot): index for each in rows for index, slot in enumerate(each)}

            def mean(slot: _Slot, place: dict[int, int] = place, near: dict[int, list[_Slot]] = neighbours) -> float:
                found = near.get(id(slot), [])
                return sum(place[id(each)] for each in found) / len(found) if found else place[id(slot)]

            row.sort(key=mean)
    return rows


def _place(rows: list[list[_Slot]], chains: list[list[_Slot]]) -> float:
    """Give every slot its centre; returns the width of the picture."""
    widths = [sum(slot.width for slot in row) + _GAP_X * (len(row) - 1) for row in rows]
    widest = max(widths)
    for row, width in zip(rows, widths, strict=True):
        x = (widest - width) / 2
        for slot in row:
            slot.x = x + slot.width / 2
            x += slot.width + _GAP_X
    return widest + 4


def _arrow(chain: list[_Slot], top: Callable[[int], float], is_open: bool) -> str:
    x, y = chain[0].x + 2, top(chain[0].layer) + BOX_HEIGHT
    path = f"M{x:.1f} {y:.1f}"
    for slot in chain[1:]:
        last = slot is chain[-1]
        nx, ny = slot.x + 2, top(slot.layer) - (7 if last else 0)
        path += f"C{x:.1f} {y + _GAP_Y / 2:.1f} {nx:.1f} {ny - _GAP_Y / 2:.1f} {nx:.1f} {ny:.1f}"
        x, y = nx, ny
        if not last:
            path += f"V{y + BOX_HEIGHT:.1f}"
            y += BOX_HEIGHT
    mark = " open" if is_open else ""
    tip = f"M{x - 4:.1f} {y:.1f}h8l-4 7z"
    return f'<path class="edge{mark}" d="{path}"/><path class="tip{mark}" d="{tip}"/>'


def _box(slot: _Slot, y: float, cut_by: tuple[str, ...], *, uncut: bool) -> str:
    node = slot.node
    if node is None:
        return ""
    x = slot.x - BOX_WIDTH / 2 + 2
    kind = node.kind.replace("_", " ").capitalize()
    glyph = f'<tspan class="glyph-{node.layer}">{Layer(node.layer).glyph}</tspan> ' if node.layer else ""
    lines = wrap(node.text, _LETTERS) or [""]
    if len(lines) > 2:
        lines = [lines[0], shorten(" ".join(lines[1:]), _LETTERS, placeholder="…")]
    state = "impact" if node.kind == "impact" else "uncut" if uncut else ""
    text = "".join(
        f'<text class="title" x="{x + 8:.1f}" y="{y + 32 + 15 * index:.1f}">{escape(line)}</text>'
        for index, line in enumerate(lines)
    )
    tag = ""
    if cut_by:
        words = escape(shorten("cut: " + ", ".join(cut_by), _LETTERS + 3, placeholder="…"))
        tag = f'<text class="cut" x="{x + BOX_WIDTH - 8:.1f}" y="{y + 15:.1f}" text-anchor="end">{words}</text>'
        kind = "" if len(words) > 16 else kind
    return (
        f'<g class="{state}"><title>{escape(node.text)}</title>'
        f'<rect class="box" x="{x:.1f}" y="{y:.1f}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}"/>'
        f'<text x="{x + 8:.1f}" y="{y + 15:.1f}">{glyph}{escape(kind)}</text>{text}{tag}</g>'
    )
