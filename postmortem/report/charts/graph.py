"""The causal graph as a picture: causes above, the impact below, what cuts each box, what nothing cuts. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from postmortem.attribution.wording import plural
from postmortem.report.charts.svg import Drawing, shorten, text_width
from postmortem.review.causal_graph import CausalGraph, Node, layout

_MOST_NODES = 60
_LEADING, _PAD = 1.21, 0.8
# Width of a box in type sizes from which so many lines hold what it says.
_LINES = ((13, 2), (10, 3), (8, 4))
_LEAST_BOX = 7.5  # in type sizes
_TALLEST = 1.3  # times the picture's width: what a page holds
# In print, from this height on a picture is cut into bands of that height, so that it need not start a new page.
_WHOLE, _BAND = 0.66, 0.36


@dataclass(frozen=True, slots=True)
class Style:
    """Sizes of one variant, in its own unit (px on screens, pt in print); `box` is the most a box is wide."""

    width: float
    unit: str
    row: float
    height: float
    size: float
    gap: float
    box: float


STYLES = {
    "screen": Style(780, "", 122, 84, 12, 18, 236),
    "print": Style(493, "pt", 76, 54, 7.6, 12, 150),
}


def graph_chart(
    graph: CausalGraph,
    uncut: Sequence[tuple[int, ...]] = (),
    *,
    variant: str = "print",
    numbers: Mapping[int, int] | None = None,
) -> str:
    """The whole picture as SVG text; "" when the graph is empty or too large to read. `uncut`: paths nothing cuts.

    `numbers`: those that the nodes have in a list beside the picture; a picture too broad or too tall for words then
    shows numbers alone. What nothing cuts is drawn thick and broken, so that it stands out without colour too.
    """
    return "".join(_pictures(graph, uncut, STYLES[variant], numbers, in_bands=False))


def graph_bands(
    graph: CausalGraph, uncut: Sequence[tuple[int, ...]] = (), *, numbers: Mapping[int, int] | None = None
) -> list[str]:
    """The picture for print; a tall one as bands of a few rows each, which join without a gap or break over pages."""
    return _pictures(graph, uncut, STYLES["print"], numbers, in_bands=True)


def _pictures(
    graph: CausalGraph,
    uncut: Sequence[tuple[int, ...]],
    s: Style,
    numbers: Mapping[int, int] | None,
    *,
    in_bands: bool,
) -> list[str]:
    if not graph.nodes or len(graph.nodes) > _MOST_NODES:
        return []
    plan = layout(graph)
    unit = min(s.width / max(plan.width, 1.0), s.box)
    left = (s.width - unit * plan.width) / 2
    box = unit - s.gap
    # Narrow boxes get more lines, so that a broad graph can still be read.
    lines = next((count for least, count in _LINES if box >= least * s.size), 5)
    # Fewer lines where a page would not hold that many rows of them: half a sentence tells more than a number.
    fitting = [count for count in range(lines, 0, -1) if plan.rows * _row(s, count) <= _TALLEST * s.width]
    tall, lines = not fitting, (fitting or [lines])[0]
    s = replace(s, row=_row(s, lines), height=s.height + _row(s, lines) - s.row)
    room = box - 2 * s.size * _PAD
    if any(len(_lines(node.text, room, s.size, most=lines + 1)) > lines for node in graph.nodes):
        # The last line would touch the words that say what cuts the box.
        s = replace(s, row=s.row + s.size * 0.4, height=s.height + s.size * 0.4)
    if numbers and (tall or box < _LEAST_BOX * s.size):
        lines, s = 0, replace(s, row=s.size * 6, height=s.size * 3.9)
        unit = min(unit, s.box * 0.55)
        left, box = (s.width - unit * plan.width) / 2, unit - s.gap * 0.6
    tip = s.size * 0.66
    open_pairs = {pair for path in uncut for pair in pairwise(path)}
    open_nodes = {node for path in uncut for node in path}

    def place(x: float, row: float) -> tuple[float, float]:
        return left + x * unit, row * s.row

    edges, boxes = Drawing(), []
    for edge in graph.edges:
        if edge.cause not in plan.positions or edge.effect not in plan.positions:
            continue
        is_open = (edge.cause, edge.effect) in open_pairs
        x, y = place(*plan.positions[edge.cause])
        points = [(x, y + s.height)]
        for at in plan.routes.get((edge.cause, edge.effect), ()):
            x, y = place(*at)
            points += [(x, y), (x, y + s.height)]
        x, y = place(*plan.positions[edge.effect])
        points.append((x, y - tip * 0.8))
        hue = "alert" if is_open else "ink3"
        dash = f"{s.size * 0.5:.1f} {s.size * 0.3:.1f}" if is_open else None
        edges.path(points, stroke=hue, stroke_width=s.size * (0.2 if is_open else 0.1), stroke_dasharray=dash)
        edges.path([(x - tip * 0.6, y - tip), (x + tip * 0.6, y - tip), (x, y)], fill=hue, close=True)
    for node in graph.nodes:
        x, y = place(*plan.positions[node.id])
        boxes.append((plan.positions[node.id][1], node, Drawing()))
        _draw_box(
            boxes[-1][2],
            node,
            (x - box / 2, y, box),
            graph.cut.get(node.id, ()),
            s,
            number=(numbers or {}).get(node.id),
            lines=lines,
            is_open=node.id in open_nodes,
        )
    title = (
        f"Causal graph of {plural(len(graph.nodes), 'factor')} and {plural(len(graph.edges), 'connection')}; "
        f"{len(uncut) or 'no'} path{'' if len(uncut) == 1 else 's'} from a cause to the impact "
        f"{'is' if len(uncut) == 1 else 'are'} without an action or an accepted risk."
    )
    gap = s.row - s.height
    height = plan.rows * s.row - gap + 2
    most = max(1, int(_BAND * s.width / s.row)) if in_bands and height > _WHOLE * s.width else plan.rows
    found = []
    for first in range(0, plan.rows, most):
        top = max(0.0, first * s.row - gap / 2)
        bottom = min(height, (first + most) * s.row - gap / 2)
        shown = [(node, drawn) for row, node, drawn in boxes if first <= row < first + most]
        listed = "; ".join(_in_words(node, graph.cut.get(node.id, ()), node.id in open_nodes) for node, _ in shown)
        out = Drawing()
        for part in (edges, *(drawn for _, drawn in shown)):
            out.add(part)
        begun = title if first == 0 else "Causal graph, continued."
        found.append(out.svg(width=s.width, height=bottom - top, title=f"{begun} {listed}.", unit=s.unit, top=top))
    return found


def _row(s: Style, lines: int) -> float:
    return s.row + (lines - 2) * s.size * _LEADING


def _in_words(node: Node, cut_by: Sequence[str], is_open: bool) -> str:
    state = f", cut by {', '.join(cut_by)}" if cut_by else ", not cut" if is_open and node.kind != "impact" else ""
    return f"{node.kind.replace('_', ' ').capitalize()}: {node.text}{state}"


def _draw_box(
    out: Drawing,
    node: Node,
    place: tuple[float, float, float],
    cut_by: Sequence[str],
    s: Style,
    *,
    number: int | None,
    lines: int,
    is_open: bool,
) -> None:
    x, y, width = place
    impact = node.kind == "impact"
    pad, small = s.size * _PAD, s.size * 0.87
    out.rect(
        x, y, width, s.height, fill="ink" if impact else "paper",
        stroke="ink" if impact else "alert" if is_open else "rule2", stroke_width=1.2 if is_open else 0.8,
    )  # fmt: skip
    ink, quiet = ("paper", "paper") if impact else ("ink", "ink3")
    kind = node.kind.replace("_", " ").capitalize()
    if not lines:
        kind, pad, small = "", s.size * 0.45, s.size * 0.8
    start = x + pad
    if node.layer:
        out.glyph(node.layer, start + s.size * 0.33, y + s.size * 1.05, s.size * 0.66)
        start += s.size * 1.18
    if number is not None:
        out.text(start, y + s.size * 1.4, str(number), size=small * 1.1, fill=ink, bold=True)
        start += text_width(f"{number} ", small * 1.1, bold=True)
    out.text(start, y + s.size * 1.4, shorten(kind, width - (start - x) - 2, small), size=small, fill=quiet)
    if cut_by:
        # Who accepted it stands in the list.
        refs = ", ".join("accepted risk" if one.startswith("risk accepted") else one for one in cut_by)
        refs = f"cut by {refs}" if lines and text_width(f"cut by {refs}", small, bold=True) < width - 2 * pad else refs
        words = shorten(refs[:1].upper() + refs[1:] if not lines else refs, width - 2 * pad, small, bold=True)
        out.text(x + pad, y + s.height - s.size * 0.66, words, size=small, fill=ink, bold=True)
    elif is_open and not impact:
        out.text(x + pad, y + s.height - s.size * 0.66, "not cut", size=small, fill="alert", bold=True)
    for row, line in enumerate(_lines(node.text, width - 2 * pad, s.size, most=lines + 1 if lines else 0)):
        out.text(x + pad, y + s.size * 2.83 + s.size * _LEADING * row, line, size=s.size, fill=ink)


def _lines(text: str, width: float, size: float, most: int) -> list[str]:
    """`text` broken at words into at most `most` lines, the last one shortened."""
    lines: list[str] = []
    words = text.split()
    while words and len(lines) < most:
        if len(lines) == most - 1:
            lines.append(shorten(" ".join(words), width, size))
            break
        line = words.pop(0)
        while words and text_width(f"{line} {words[0]}", size) <= width:
            line += " " + words.pop(0)
        lines.append(shorten(line, width, size))
    return lines
