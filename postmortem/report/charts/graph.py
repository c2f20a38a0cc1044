"""The causal graph as a picture: causes above, the impact below, what cuts each box, what nothing cuts. Pure."""

from collections.abc import Sequence
from itertools import pairwise

from postmortem.report.charts.svg import Drawing, shorten, text_width
from postmortem.review.causal_graph import CausalGraph, Node, layout

WIDTH_PT = 493.0
_MOST_NODES = 60
_ROW, _BOX, _SIZE = 80.0, 54.0, 7.6
_GAP = 12.0


def graph_chart(graph: CausalGraph, uncut: Sequence[tuple[int, ...]] = ()) -> str:
    """SVG in print sizes; "" when the graph is empty or too large to read. `uncut` are paths that nothing cuts."""
    if not graph.nodes or len(graph.nodes) > _MOST_NODES:
        return ""
    plan = layout(graph)
    unit = min(WIDTH_PT / max(plan.width, 1.0), 150.0)
    left = (WIDTH_PT - unit * plan.width) / 2
    box = unit - _GAP
    open_pairs = {pair for path in uncut for pair in pairwise(path)}
    open_nodes = {node for path in uncut for node in path}
    out = Drawing()

    def place(x: float, row: float) -> tuple[float, float]:
        return left + x * unit, row * _ROW

    for edge in graph.edges:
        if edge.cause not in plan.positions or edge.effect not in plan.positions:
            continue
        is_open = (edge.cause, edge.effect) in open_pairs
        x, y = place(*plan.positions[edge.cause])
        points = [(x, y + _BOX)]
        for at in plan.routes.get((edge.cause, edge.effect), ()):
            x, y = place(*at)
            points += [(x, y), (x, y + _BOX)]
        x, y = place(*plan.positions[edge.effect])
        points.append((x, y - 4))
        hue = "alert" if is_open else "ink3"
        out.path(points, stroke=hue, stroke_width=1.4 if is_open else 0.8)
        out.path([(x - 3, y - 5), (x + 3, y - 5), (x, y)], fill=hue, close=True)
    for node in graph.nodes:
        x, y = place(*plan.positions[node.id])
        _draw_box(out, node, x - box / 2, y, box, graph.cut.get(node.id, ()), node.id in open_nodes)
    title = (
        f"Causal graph of {len(graph.nodes)} factors and {len(graph.edges)} connections; "
        f"{len(uncut) or 'no'} path{'' if len(uncut) == 1 else 's'} from a cause to the impact "
        f"{'is' if len(uncut) == 1 else 'are'} without an action or an accepted risk."
    )
    return out.svg(width=WIDTH_PT, height=plan.rows * _ROW - (_ROW - _BOX) + 2, title=title, unit="pt")


def _draw_box(  # noqa: PLR0917
    out: Drawing, node: Node, x: float, y: float, width: float, cut_by: Sequence[str], is_open: bool
) -> None:
    impact = node.kind == "impact"
    out.rect(
        x, y, width, _BOX, fill="ink" if impact else "paper",
        stroke="ink" if impact else "alert" if is_open else "rule2", stroke_width=1.2 if is_open else 0.8,
    )  # fmt: skip
    ink, quiet = ("paper", "paper") if impact else ("ink", "ink3")
    kind = node.kind.replace("_", " ").capitalize()
    start = x + 6
    if node.layer:
        out.glyph(node.layer, start + 2.5, y + 8, 5)
        start += 9
    out.text(start, y + 10.5, kind, size=6.6, fill=quiet)
    if cut_by:
        words = shorten("cut by " + ", ".join(cut_by), width - 12, 6.6, bold=True)
        out.text(x + 6, y + _BOX - 5, words, size=6.6, fill=ink, bold=True)
    elif is_open and not impact:
        out.text(x + 6, y + _BOX - 5, "not cut", size=6.6, fill="alert", bold=True)
    for number, line in enumerate(_lines(node.text, width - 12, most=3 if impact else 2)):
        out.text(x + 6, y + 21.5 + 9.2 * number, line, size=_SIZE, fill=ink)


def _lines(text: str, width: float, most: int) -> list[str]:
    """`text` broken at words into at most `most` lines, the last one shortened."""
    lines: list[str] = []
    words = text.split()
    while words and len(lines) < most:
        if len(lines) == most - 1:
            lines.append(shorten(" ".join(words), width, _SIZE))
            break
        line = words.pop(0)
        while words and text_width(f"{line} {words[0]}", _SIZE) <= width:
            line += " " + words.pop(0)
        lines.append(shorten(line, width, _SIZE))
    return lines
