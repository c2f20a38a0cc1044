"""Where the words of onset, detection and mitigation stand beside their lines. Pure."""

from collections.abc import Sequence
from itertools import pairwise, product

# name, row of its words, anchor (start: right of the line, end: left of it), place of the line
PlacedMarker = tuple[str, int, str, float]


def place_markers(
    markers: Sequence[tuple[str, float, float]], *, gap: float, edges: tuple[float, float]
) -> list[PlacedMarker]:
    """Place the words of (name, place, width) in order of time so that none overlap: the cheapest of all ways.

    Few rows cost least; words beyond `edges`, in another order than their lines, or crossed by a line cost more.
    """
    best: tuple[float, list[PlacedMarker]] = (float("inf"), [])
    count = len(markers)
    for rows, anchors in product(product(range(count), repeat=count), product(("end", "start"), repeat=count)):
        cost = float(sum(rows)) * 3
        boxes: list[tuple[int, float, float]] = []
        placed: list[PlacedMarker] = []
        for (name, x, width), row, anchor in zip(markers, rows, anchors, strict=True):
            left = x - gap - width if anchor == "end" else x + gap
            cost += 50 * (left < edges[0]) + 50 * (left + width > edges[1])
            cost += 100 * sum(r == row and left < b + gap and a < left + width + gap for r, a, b in boxes)
            boxes.append((row, left, left + width))
            placed.append((name, row, anchor, x))
            cost += 0.2 * (anchor == ("start" if name == "onset" else "end" if name == "mitigated" else ""))
        cost += 30 * sum(r1 == r2 and l1 > l2 for (r1, l1, _), (r2, l2, _) in pairwise(boxes))
        cost += 2 * sum(r >= row and a - 2 < x < b + 2 for _, row, _, x in placed for r, a, b in boxes)
        if cost < best[0]:
            best = (cost, placed)
    return best[1]
