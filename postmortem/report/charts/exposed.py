"""Exposed against unexposed traces over the same hours: the picture behind one row of arithmetic. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from postmortem.report.charts import wording
from postmortem.report.charts.axis import TimeScale, ValueScale, time_ticks, value_scale, value_ticks
from postmortem.report.charts.data import ExposedBin, ExposedData, Level
from postmortem.report.charts.svg import Drawing, paint, text_width


@dataclass(frozen=True, slots=True)
class Style:
    """Sizes of one variant, in its own unit (px on screens, pt in print)."""

    width: float
    unit: str
    plot: float
    size: float
    line: float


STYLES = {
    "screen": Style(620, "", 150, 11.5, 1.6),
    "narrow": Style(340, "", 120, 11, 1.5),
    "print": Style(493, "pt", 77, 7.4, 1.0),
}


def exposed_chart(data: ExposedData, *, width: float | None = None, variant: str = "screen") -> str:
    """The picture as SVG text: exposed in the layer's hue and solid, unexposed in ink and dashed, each with its band.

    Raises ValueError when there are no bins.
    """
    if not data.bins:
        raise ValueError("a picture of exposed and unexposed needs at least one bin")
    style = STYLES[variant]
    if width is not None:
        style = Style(width, style.unit, style.plot, style.size, style.line)
    return _draw(data, style)


def alternative_text(data: ExposedData) -> str:
    """What the picture shows, in numbers."""
    first, last = data.bins[0].start, data.bins[-1].end
    text = f"{data.label} of traces on “{data.title}” against others, {wording.moment(first)} to {wording.moment(last)}"
    for name, level in (("exposed", data.exposed), ("not exposed", data.unexposed)):
        if level:
            text += f"; {name} {wording.level(level.mean, data.unit)} "
            text += f"({wording.interval((level.low, level.high), data.unit)}), n {level.count:,}"
    if data.difference:
        text += f"; difference {wording.change(data.difference[0], data.unit)} "
        text += f"({wording.interval(data.difference[1:], data.unit)})"
    return text + "."


def _draw(data: ExposedData, s: Style) -> str:
    out = Drawing()
    hue = data.layer or "ink"
    gutter, names = s.size * 3.6, s.size * 8.2
    top, bottom = s.size * 0.8, s.size * 0.8 + s.plot
    time = TimeScale(data.bins[0].start, data.bins[-1].end, gutter, s.width - names)
    scale = _scale(data, top, bottom)
    ticks = value_ticks(scale.low, scale.high, 3)
    for tick, label in zip(ticks, wording.axis_levels(ticks, data.unit), strict=True):
        y = scale.y(tick)
        out.line(gutter, y, s.width - names, y, stroke="rule", stroke_width=s.line * 0.5)
        out.text(gutter - s.size * 0.5, y + s.size * 0.34, label, size=s.size * 0.94, fill="ink3", anchor="end")
    ends: list[tuple[float, str, str]] = []
    for words, pick, role, dash in (
        ("not exposed", _unexposed, "ink2", f"{s.line * 3:.2g} {s.line * 2:.2g}"),
        ("exposed", _exposed, hue, None),
    ):
        place = _line(out, data.bins, pick, time, scale, role=role, dash=dash, line=s.line)
        if place is not None:
            ends.append((place, words, role))
    _names(out, ends, s.width - names + s.size * 0.6, s.size, (top, bottom))
    out.line(gutter, bottom, s.width - names, bottom, stroke="rule2", stroke_width=s.line * 0.6)
    edge = -1.0
    for mark in time_ticks(time, s.size * 0.94):
        x, width_of = time.x(mark.at), text_width(mark.label, s.size * 0.94)
        out.line(x, bottom, x, bottom + s.size * 0.35, stroke="rule2", stroke_width=s.line * 0.6)
        if x > edge and x + width_of < s.width:
            out.text(x, bottom + s.size * 1.4, mark.label, size=s.size * 0.94, fill="ink3")
            edge = x + width_of + s.size * 0.5
    return out.svg(width=s.width, height=bottom + s.size * 2, unit=s.unit, title=alternative_text(data))


def _exposed(part: ExposedBin) -> Level | None:
    return part.exposed


def _unexposed(part: ExposedBin) -> Level | None:
    return part.unexposed


def _scale(data: ExposedData, top: float, bottom: float) -> ValueScale:
    levels = [level for part in data.bins for level in (part.exposed, part.unexposed) if level]
    bounds = sorted([level.low for level in levels] + [level.high for level in levels])
    cut = len(bounds) // 20
    kept = bounds[cut : len(bounds) - cut] or bounds
    values = [level.mean for level in levels] + [kept[0], kept[-1]]
    limits = (0.0, 1.0) if data.unit == "share" else (float("-inf"), float("inf"))
    return value_scale(values, top=top, bottom=bottom, bounds=limits)


def _line(
    out: Drawing,
    bins: Sequence[ExposedBin],
    pick: Callable[[ExposedBin], Level | None],
    time: TimeScale,
    scale: ValueScale,
    *,
    role: str,
    dash: str | None,
    line: float,
) -> float | None:
    """Draw one group's band and line, broken where it has no traces; gives the height of its last point."""
    last = None
    run: list[tuple[float, Level]] = []
    for part in [*bins, None]:
        level = pick(part) if part else None
        if part and level:
            run.append((time.x(part.middle), level))
            last = scale.y(level.mean)
            continue
        if len(run) > 1:
            upper = [(x, scale.y(one.high)) for x, one in run]
            lower = [(x, scale.y(one.low)) for x, one in run]
            out.path(upper + lower[::-1], fill=role, close=True, fill_opacity=0.16)
            points = [(x, scale.y(one.mean)) for x, one in run]
            out.path(points, stroke=role, stroke_width=line, stroke_dasharray=dash, stroke_linejoin="round")
        elif run:
            x, one = run[0]
            out.line(x, scale.y(one.high), x, scale.y(one.low), stroke=role, stroke_width=line * 0.6)
            out.element("circle", cx=x, cy=scale.y(one.mean), r=line * 1.4, **paint(fill=role))
        run = []
    return last


def _names(
    out: Drawing, ends: list[tuple[float, str, str]], x: float, size: float, limits: tuple[float, float]
) -> None:
    """The groups' names at the ends of their lines, pushed apart when the lines meet."""
    ordered = sorted(ends)
    if len(ordered) == 2 and ordered[1][0] - ordered[0][0] < size * 1.3:
        middle = (ordered[0][0] + ordered[1][0]) / 2
        middle = min(max(middle, limits[0] + size * 0.7), limits[1] - size * 0.7)
        ordered = [(middle - size * 0.65, *ordered[0][1:]), (middle + size * 0.65, *ordered[1][1:])]
    for y, words, role in ordered:
        out.text(x, y + size * 0.35, words, size=size, fill=role, bold=words == "exposed")
