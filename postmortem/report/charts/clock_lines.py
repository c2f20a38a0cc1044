"""The five clocks on one axis of time: how long it lay hidden, took to be found, stopped and put right. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from postmortem.incidents.clocks import Clock
from postmortem.lib.clock import describe_duration
from postmortem.report.charts import wording
from postmortem.report.charts.axis import TimeScale, time_ticks
from postmortem.report.charts.svg import Drawing, text_width


@dataclass(frozen=True, slots=True)
class Style:
    """Sizes of one variant, in its own unit (px on screens, pt in print)."""

    width: float
    unit: str
    size: float
    row: float
    gutter: float


STYLES = {
    "screen": Style(620, "", 11.5, 24, 118),
    "narrow": Style(340, "", 11, 23, 104),
    "print": Style(493, "pt", 7.4, 14.5, 84),
}
# Fills that stay apart in black and white: the wait for detection is the darkest.
_FILLS = {"latent": "paper", "detect": "ink", "mitigate": "ink3", "recover": "raise", "users_recovered": "raise"}


def clocks_chart(clocks: Sequence[Clock], *, variant: str = "screen") -> str:
    """One bar a clock; a clock with a missing end is named and not drawn. "" when none has both ends."""
    known = [one for one in clocks if one.start and one.end and one.duration is not None]
    moments = [moment for one in known for moment in (one.start, one.end) if moment]
    if not moments or min(moments) == max(moments):
        return ""
    s = STYLES[variant]
    out = Drawing()
    scale = TimeScale(min(moments), max(moments), s.gutter, s.width - s.size * 4.5)
    bottom = s.size * 0.6 + s.row * len(clocks)
    edge = -1.0
    for tick in time_ticks(scale, s.size * 0.94):
        x, wide = scale.x(tick.at), text_width(tick.label, s.size * 0.94)
        out.line(x, s.size * 0.6, x, bottom, stroke="rule", stroke_width=0.5)
        if x > edge and x + wide < s.width:
            out.text(x, bottom + s.size * 1.3, tick.label, size=s.size * 0.94, fill="ink3")
            edge = x + wide + s.size * 0.5
    for place, clock in enumerate(clocks):
        _row(out, clock, scale, s.size * 0.6 + s.row * (place + 0.5), s)
    return out.svg(width=s.width, height=bottom + s.size * 1.9, unit=s.unit, title=alternative_text(clocks))


def alternative_text(clocks: Sequence[Clock]) -> str:
    """What the picture shows, in numbers."""
    parts = []
    for one in clocks:
        if one.duration is None:
            parts.append(f"{one.label}: {one.sentence}")
        else:
            parts.append(f"{one.label} {describe_duration(one.duration)} ({_ends(one.start, one.end)})")
    return "Clocks of the incident, UTC. " + "; ".join(parts) + "."


def _ends(start: datetime | None, end: datetime | None) -> str:
    return f"{wording.moment(start)} to {wording.moment(end)}" if start and end else ""


def _row(out: Drawing, clock: Clock, scale: TimeScale, y: float, s: Style) -> None:
    out.text(0, y + s.size * 0.35, clock.label, size=s.size, fill="ink", bold=clock.key == "detect")
    if clock.duration is None or not clock.start or not clock.end:
        _words(out, s.gutter, y, clock.sentence, s, fill="ink3", bold=False)
        return
    left, right = sorted((scale.x(clock.start), scale.x(clock.end)))
    height = s.row * 0.5
    out.rect(
        left, y - height / 2, max(right - left, 1.5), height, fill=_FILLS.get(clock.key, "raise"), stroke="ink",
        stroke_width=0.8, stroke_dasharray="2 1.5" if clock.key == "latent" else None,
    )  # fmt: skip
    words = describe_duration(clock.duration)
    wide = text_width(words, s.size, bold=True)
    after = right + s.size * 0.5
    x = after if after + wide <= s.width else left - s.size * 0.5 - wide
    _words(out, x, y, words, s, fill="ink", bold=True)


def _words(out: Drawing, x: float, y: float, text: str, s: Style, *, fill: str, bold: bool) -> None:
    """Words beside a bar, on paper of their own: the lines of the axis run behind them."""
    wide = text_width(text, s.size, bold=bold)
    out.rect(x - s.size * 0.2, y - s.size * 0.6, wide + s.size * 0.4, s.size * 1.2, fill="paper")
    out.text(x, y + s.size * 0.35, text, size=s.size, fill=fill, bold=bold)
