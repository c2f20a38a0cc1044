"""The layout of the swimlanes: which bar and which label stands in which row. Pure.

Bars are never dropped. Labels of changes with P of 0.03 and over are never dropped either: they open a row
where none has room. Other labels stand where they fit and are left out where they do not.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from postmortem.report.charts.data import LABELLED, ChangeMark
from postmortem.report.charts.svg import clean, shorten, text_width
from postmortem.report.charts.wording import p_text, probability

_ROWS_OF_BARS = 6  # a lane grows no further for bars alone


@dataclass(frozen=True, slots=True)
class LaneStyle:
    """Sizes of one variant. `labelled_from` is the least probability that is labelled at all."""

    left: float
    right: float
    size: float
    row: float
    cause_row: float
    bar: float
    least_bar: float
    gap: float
    soft_rows: int
    most_label: float
    labelled_from: float


@dataclass(frozen=True, slots=True)
class Label:
    """One or two lines at (x, y of the middle); `box` is (left, top, right, bottom) within the lane."""

    mark: ChangeMark
    x: float
    y: float
    anchor: str
    lines: tuple[str, ...]
    bold: bool
    box: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Bar:
    """A change's bar from `left` to `right` in a row whose middle is `y`."""

    mark: ChangeMark
    left: float
    right: float
    y: float
    height: float
    is_cause: bool


@dataclass(frozen=True)
class Lane:
    """One laid-out lane, measured from its own top."""

    layer: str
    height: float
    bars: tuple[Bar, ...]
    labels: tuple[Label, ...]


@dataclass
class _Row:
    taken: list[tuple[float, float]] = field(default_factory=list)

    def free(self, left: float, right: float) -> bool:
        return all(right <= start or left >= end for start, end in self.taken)

    def room_left(self, left: float) -> float:
        """Distance to whatever stands before `left`."""
        return left - max((end for _, end in self.taken if end <= left), default=float("-inf"))


@dataclass(frozen=True, slots=True)
class _Item:
    mark: ChangeMark
    left: float
    right: float
    lines: tuple[str, ...]
    width: float


# Where a label stands: left, right, anchor, lines.
_Side = tuple[float, float, str, tuple[str, ...]]


def lay_out_lane(
    layer: str,
    marks: Sequence[ChangeMark],
    *,
    place: Callable[[datetime], float],
    style: LaneStyle,
    cause: ChangeMark | None,
) -> Lane:
    """Lay out the marks of one layer; `place` gives the horizontal place of a moment."""
    items = [_item(mark, place, style, cause) for mark in sorted(marks, key=lambda mark: (mark.at, mark.id))]
    rows: list[_Row] = []
    where: dict[str, int] = {}
    sides: dict[str, _Side] = {}
    for item in sorted(items, key=lambda item: -item.mark.probability):
        if item.mark.probability >= LABELLED:
            _place_labelled(item, rows, where, sides, style)
    rest = [item for item in items if item.mark.id not in where]
    for item in rest:
        _place_bar(item, rows, where, style)
    wanted = [item for item in rest if item.mark.probability >= style.labelled_from]
    for item in sorted(wanted, key=lambda item: (-item.mark.probability, item.width)):
        _add_label(item, rows[where[item.mark.id]], sides, style)
    return _measured(layer, items, where, sides, style, cause)


def share_steps(mark: ChangeMark) -> list[tuple[datetime, float, str]]:
    """When the rollout reached which share of its scope, by the log: (moment, share 0 to 1, words)."""
    if mark.rollout == "canary" and mark.until > mark.at:
        share = 0.1 if mark.canary_share is None else mark.canary_share
        return [(mark.at, share, f"{100 * share:.3g}%"), (mark.until, 1.0, "100%")]
    if mark.rollout == "staged" and len(mark.stages) > 1 and mark.until > mark.at:
        gap = (mark.until - mark.at) / (len(mark.stages) - 1)
        count = len(mark.stages)
        return [
            (mark.at + place * gap, (place + 1) / count, clean(stage) if place == 0 else f"+ {clean(stage)}")
            for place, stage in enumerate(mark.stages)
        ]
    return [(mark.until, 1.0, "")]


def rollout_words(mark: ChangeMark) -> str:
    """ "canary 10%", "staged: eu-west, then us-east"; empty for an instant change."""
    if mark.rollout == "canary":
        return f"canary {100 * (0.1 if mark.canary_share is None else mark.canary_share):.3g}%, then all"
    if mark.rollout == "staged" and mark.stages:
        return "staged: " + ", then ".join(clean(stage) for stage in mark.stages[:3])
    return mark.rollout if mark.rollout != "instant" else ""


def _item(mark: ChangeMark, place: Callable[[datetime], float], style: LaneStyle, cause: ChangeMark | None) -> _Item:
    left, right = place(mark.at), place(mark.until)
    if mark is cause:
        right = place(mark.ends) if mark.ends else style.right
    if right - left < style.least_bar:
        middle = min(max((left + right) / 2, style.left + style.least_bar / 2), style.right - style.least_bar / 2)
        left, right = middle - style.least_bar / 2, middle + style.least_bar / 2
    text = clean(mark.summary)
    if not mark.reached:
        text = f"{shorten(text, style.most_label * 0.7, style.size)}: reached no trace"
    elif mark.probability >= LABELLED and mark is not cause:
        text = f"{shorten(text, style.most_label, style.size)}, {probability(mark.probability)}"
    elif mark is not cause:
        text = shorten(text, style.most_label, style.size)
    lines: tuple[str, ...] = (text,)
    width = text_width(text, style.size, bold=mark is cause)
    if mark is cause:
        lines = (text, ", ".join(part for part in (p_text(mark.probability), rollout_words(mark)) if part))
        width = max(width, text_width(lines[1], style.size))
    return _Item(mark, left, right, lines, width)


def _label_spans(item: _Item, style: LaneStyle) -> list[tuple[float, float, str]]:
    gap = style.gap
    return [
        (item.right + gap, item.right + gap + item.width, "start"),
        (item.left - gap - item.width, item.left - gap, "end"),
    ]


def _place_labelled(
    item: _Item,
    rows: list[_Row],
    where: dict[str, int],
    sides: dict[str, _Side],
    style: LaneStyle,
) -> None:
    spans = _label_spans(item, style)
    fitting = [span for span in spans if span[0] >= style.left and span[1] <= style.right]
    lines = item.lines
    if not fitting:
        # Neither side has room for all of it: above the bar for the cause, else the wider side, cut.
        before, after = item.left - style.gap - style.left, style.right - item.right - style.gap
        lines = tuple(shorten(line, max(before, after), style.size, bold=True) for line in item.lines)
        width = max(text_width(line, style.size, bold=True) for line in lines)
        fitting = [(item.right + style.gap, item.right + style.gap + width, "start")]
        if before > after:
            fitting = [(item.left - style.gap - width, item.left - style.gap, "end")]
        if len(item.lines) > 1:
            room = style.right - style.left
            lines = tuple(shorten(line, room, style.size, bold=True) for line in item.lines)
            left = max(min(item.left, style.right - min(item.width, room)), style.left)
            fitting = [(left, left + min(item.width, room), "above")]
    for index in range(len(rows) + 1):
        if index == len(rows):
            rows.append(_Row())
        for left, right, anchor in fitting:
            low, high = min(left, item.left) - style.gap / 2, max(right, item.right) + style.gap / 2
            if rows[index].free(low, high):
                rows[index].taken.append((low, high))
                where[item.mark.id] = index
                sides[item.mark.id] = (left, right, anchor, lines)
                return


def _place_bar(item: _Item, rows: list[_Row], where: dict[str, int], style: LaneStyle) -> None:
    """The first row where the label of the bar before keeps its room, else the one with the most room."""
    margin = 2.0
    best, most = -1, float("-inf")
    for index in range(max(style.soft_rows, len(rows))):
        if index >= len(rows):
            rows.append(_Row())
        row = rows[index]
        if not row.free(item.left - margin, item.right + margin):
            continue
        room = row.room_left(item.left)
        if room >= style.most_label * 0.6:
            best = index
            break
        if room > most:
            best, most = index, room
    if best < 0:
        if len(rows) < _ROWS_OF_BARS:
            rows.append(_Row())
        best = len(rows) - 1
    rows[best].taken.append((item.left - margin, item.right + margin))
    where[item.mark.id] = best


def _add_label(item: _Item, row: _Row, sides: dict[str, _Side], style: LaneStyle) -> None:
    for left, right, anchor in _label_spans(item, style):
        # The label starts past its own bar's margin; a hair of tolerance lets it touch.
        low, high = (left - 0.9, right + style.gap) if anchor == "start" else (left - style.gap, right + 0.9)
        if low >= style.left - style.gap and high <= style.right + style.gap and row.free(low, high):
            row.taken.append((low, high))
            sides[item.mark.id] = (left, right, anchor, item.lines)
            return


def _measured(  # noqa: PLR0917
    layer: str,
    items: Sequence[_Item],
    where: dict[str, int],
    sides: dict[str, _Side],
    style: LaneStyle,
    cause: ChangeMark | None,
) -> Lane:
    used = sorted({where[item.mark.id] for item in items})
    heights = dict.fromkeys(used, style.row)
    if cause is not None and cause.id in where:
        heights[where[cause.id]] = style.cause_row
        if sides[cause.id][2] == "above":
            heights[where[cause.id]] += style.size * 2.6
    tops, top = {}, 0.0
    for row in used:
        tops[row] = top
        top += heights[row]
    bars, labels = [], []
    for item in items:
        row = where[item.mark.id]
        is_cause = item.mark is cause
        middle = tops[row] + heights[row] / 2
        height = style.bar
        if is_cause:
            height = style.cause_row - 4
            middle = tops[row] + heights[row] - style.cause_row / 2
        bars.append(Bar(item.mark, item.left, item.right, middle, height, is_cause))
        if item.mark.id in sides:
            labels.append(_label(item, sides[item.mark.id], middle, style, is_cause))
    return Lane(layer, max(top, style.row), tuple(bars), tuple(labels))


def _label(item: _Item, side: _Side, middle: float, style: LaneStyle, is_cause: bool) -> Label:
    left, right, anchor, lines = side
    if anchor == "above":
        middle -= style.cause_row / 2 + style.size * 1.3
    half = style.size * (1.25 if is_cause else 0.62)
    box = (left, middle - half, right, middle + half)
    return Label(
        item.mark,
        right if anchor == "end" else left,
        middle,
        "end" if anchor == "end" else "start",
        lines,
        is_cause,
        box,
    )
