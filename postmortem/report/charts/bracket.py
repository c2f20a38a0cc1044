"""The bracket between the expected level and the one seen, with the size of the drop in words. Pure."""

from itertools import product

from postmortem.report.charts import wording
from postmortem.report.charts.axis import TimeScale, ValueScale
from postmortem.report.charts.captions import interval_words
from postmortem.report.charts.data import SignatureData
from postmortem.report.charts.styles import Style
from postmortem.report.charts.svg import Drawing, text_width


def draw_bracket(
    out: Drawing, data: SignatureData, *, time: TimeScale, scale: ValueScale, top: float, style: Style
) -> None:
    """Draw it at the start of the incident; its words go where they cover least of the signal."""
    s = style
    if not (data.incident and data.baseline and data.drop):
        return
    left, right = time.x(data.incident.start), time.x(data.incident.end)
    expected, seen = scale.y(data.baseline.level.mean), scale.y(data.incident.level.mean)
    out.line(left, seen, right, seen, stroke="alert", stroke_width=s.line * 0.8)
    x = min(left + s.size * 0.7, (left + right) / 2)
    half = s.size * 0.22
    out.path(
        [(x - half, expected), (x + half, expected), (x, expected), (x, seen)],
        stroke="alert", stroke_width=s.line * 1.1,
    )  # fmt: skip
    text = wording.change(data.drop[0], data.unit)
    if not s.heads:
        text += f" ({interval_words(data, data.drop)})"
    size = s.size
    width = text_width(text, size, bold=True)
    y_inside = (top + size * 1.25, (expected + seen) / 2 + size * 0.35, top + s.plot - size * 0.6)
    places = [
        (x + size * 0.7 if anchor == "start" else left - size * 0.6 - width, y)
        for anchor, y in product(("start", "end"), y_inside)
    ]
    fitting = [(px, y) for px, y in places if px >= s.gutter and px + width <= s.width - s.pad] or places[:1]
    px, y = min(fitting, key=lambda place: _crossed(data, place[0], width, place[1], size, time, scale))
    out.rect(
        px - 2, y - size * 0.95, width + 4, size * 1.25, fill="raise" if px > left else "paper", fill_opacity=0.85,
    )  # fmt: skip
    out.text(px, y, text, size=size, fill="alert", bold=True)


def _crossed(  # noqa: PLR0917
    data: SignatureData, x: float, width: float, y: float, size: float, time: TimeScale, scale: ValueScale
) -> float:
    """How much of the drawn signal a line of text at (x, y) would cover."""
    top, bottom = y - size, y + size * 0.3
    covered = 0.0
    for span in data.series:
        if x - 4 <= time.x(span.middle) <= x + width + 4:
            high, low = scale.y(span.level.high), scale.y(span.level.low)
            covered += max(0.0, min(bottom, low) - max(top, high)) / size
            covered += 3.0 * (top <= scale.y(span.level.mean) <= bottom)
    expected = scale.y(data.baseline.level.mean) if data.baseline else -99
    return covered + 2.0 * (top <= expected <= bottom)
