"""Draws one laid-out lane: bars by rollout, shaded by probability, and their labels. Pure."""

from postmortem.report.charts.axis import TimeScale
from postmortem.report.charts.lanes import Bar, Label, Lane, share_steps
from postmortem.report.charts.styles import Style, step_of
from postmortem.report.charts.svg import Drawing, text_width

_LAST_STEP = 2.5


def draw_lane(out: Drawing, lane: Lane, top: float, *, time: TimeScale, style: Style) -> None:
    """Draw `lane` with its upper edge at `top`; probable changes over the others."""
    for bar in sorted(lane.bars, key=lambda bar: bar.mark.probability):
        _bar(out, bar, top, time, style)
    for label in lane.labels:
        _label(out, label, top, style)


def _bar(out: Drawing, bar: Bar, top: float, time: TimeScale, style: Style) -> None:
    s, mark = style, bar.mark
    bottom = top + bar.y + bar.height / 2
    outline = _outline(bar, time, bottom)
    thin = s.line * 0.6
    if not mark.reached:
        dash = f"{s.line * 1.1:.2g} {s.line * 1.1:.2g}"
        out.path(outline, stroke=mark.layer, close=True, stroke_width=thin, stroke_dasharray=dash)
    elif mark.is_rollback and not bar.is_cause:
        out.path(outline, fill="paper", stroke=mark.layer, close=True, stroke_width=s.line * 0.9)
    else:
        out.path(
            outline, fill=mark.layer, stroke=mark.layer, close=True, stroke_width=thin,
            fill_opacity=step_of(mark.probability), stroke_opacity=max(step_of(mark.probability), 0.55),
        )  # fmt: skip
    if bar.is_cause:
        _shares(out, bar, bottom, time, style)


def _shares(out: Drawing, bar: Bar, bottom: float, time: TimeScale, style: Style) -> None:
    """Words inside the cause's bar: how far its rollout had come."""
    steps = share_steps(bar.mark)
    ends = [*(time.x(at) for at, _, _ in steps[1:]), bar.right]
    for (at, share, words), end in zip(steps, ends, strict=True):
        room = end - time.x(at) - style.size
        if words and room >= text_width(words, style.small) and bar.height * share >= style.small * 1.05:
            y = bottom - bar.height * share / 2 + style.small * 0.36
            out.text(time.x(at) + style.size * 0.5, y, words, size=style.small, fill="paper")


def _label(out: Drawing, label: Label, top: float, style: Style) -> None:
    s, mark = style, label.mark
    left, box_top, right, box_bottom = label.box
    out.rect(left - 1, top + box_top, right - left + 2, box_bottom - box_top, fill="paper", fill_opacity=0.92)
    quiet = mark.probability < 0.05
    if not label.bold:
        y = top + label.y + s.lane.size * 0.36
        out.text(label.x, y, label.lines[0], size=s.lane.size, fill="ink3" if quiet else "ink2", anchor=label.anchor)
        return
    y = top + label.y - s.lane.size * 0.22
    out.text(label.x, y, label.lines[0], size=s.lane.size, fill=mark.layer, bold=True, anchor=label.anchor)
    out.text(label.x, y + s.lane.size * 1.2, label.lines[1], size=s.lane.size, fill="ink2", anchor=label.anchor)


def _outline(bar: Bar, time: TimeScale, bottom: float) -> list[tuple[float, float]]:
    """The bar as a polygon whose height is the share of traffic that the rollout had reached."""
    mark, full = bar.mark, bar.height
    rollout = mark.until > mark.at and time.x(mark.until) - time.x(mark.at) >= 3
    if not rollout or mark.rollout == "instant":
        return [(bar.left, bottom), (bar.left, bottom - full), (bar.right, bottom - full), (bar.right, bottom)]
    if mark.rollout == "ramp":
        reached = time.x(mark.until)
        return [(bar.left, bottom), (reached, bottom - full), (bar.right, bottom - full), (bar.right, bottom)]
    points = [(bar.left, bottom)]
    height = 0.0
    right = max(bar.right, time.x(mark.until) + _LAST_STEP)  # so that the last step is seen as one
    for at, share, _ in share_steps(mark):
        x = min(max(time.x(at), bar.left), bar.right)
        points += [(x, bottom - height), (x, bottom - full * share)]
        height = full * share
    return [*points, (right, bottom - height), (right, bottom)]
