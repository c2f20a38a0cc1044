"""Mix against within-segment: what the change of the traffic explains, and what happened inside each group. Pure.

The two bars are Kitagawa's parts (1955); below them every group goes from its level before (hollow) to its level
after (filled), with its share of the traffic before and after in figures.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from postmortem.report.charts import wording
from postmortem.report.charts.axis import ValueScale, value_scale, value_ticks
from postmortem.report.charts.svg import Drawing, paint, shorten

_MOST_GROUPS = 12


@dataclass(frozen=True, slots=True)
class MixGroup:
    """One group of the facet: shares 0 to 1, means in the signal's unit, None where it had no traces."""

    value: str
    share_before: float
    share_after: float
    mean_before: float | None
    mean_after: float | None


@dataclass(frozen=True, slots=True)
class MixData:
    """The split of the whole change, `total` = `mix` + `within`, in the signal's unit."""

    facet: str
    label: str
    unit: str
    total: float
    mix: float
    within: float
    groups: tuple[MixGroup, ...]


@dataclass(frozen=True, slots=True)
class Style:
    """Sizes of one variant, in its own unit (px on screens, pt in print)."""

    width: float
    unit: str
    size: float
    row: float
    gutter: float
    shares: float


STYLES = {
    "screen": Style(620, "", 11.5, 22, 150, 120),
    "narrow": Style(340, "", 11, 21, 92, 92),
    "print": Style(493, "pt", 7.4, 13.5, 112, 84),
}


def mix_data(result: Mapping[str, Any]) -> MixData | None:
    """From a finding's JSON; None where it kept no split. The largest groups come first, twelve at most."""
    mix = result.get("mix")
    if not mix:
        return None
    groups = tuple(
        MixGroup(
            str(one["value"]), float(one["share_before"]), float(one["share_after"]),
            _number(one.get("mean_before")), _number(one.get("mean_after")),
        )
        for one in mix.get("groups", [])
    )  # fmt: skip
    ordered = sorted(groups, key=lambda one: (-max(one.share_before, one.share_after), one.value))
    signal = result["signal"]
    return MixData(
        mix["facet"], wording.label(signal["label"]), signal["unit"],
        float(mix["total"]), float(mix["mix"]), float(mix["within"]), tuple(ordered[:_MOST_GROUPS]),
    )  # fmt: skip


def mix_chart(data: MixData, *, variant: str = "screen") -> str:
    """The picture as SVG text."""
    s = STYLES[variant]
    out = Drawing()
    right = s.width - s.shares
    y = s.row * 0.75
    most = max(abs(data.mix), abs(data.within), abs(data.total), 1e-12)
    # The bars end where the longest figure still fits beside them.
    room = (right - s.gutter) * 0.72
    for name, value, hue in (
        ("Whole change", data.total, "ink"),
        ("Traffic mix", data.mix, "rule2"),
        ("Within the groups", data.within, "ink2"),
    ):
        out.text(0, y + s.size * 0.35, name, size=s.size, fill="ink", bold=hue == "ink")
        length = max(abs(value) / most * room, 0.8)
        out.rect(
            s.gutter, y - s.row * 0.28, length, s.row * 0.56, fill="paper" if hue == "rule2" else hue, stroke=hue,
            stroke_width=0.8, stroke_dasharray="2 1.5" if hue == "rule2" else None,
        )  # fmt: skip
        words = wording.change(value, data.unit)
        out.text(s.gutter + length + s.size * 0.5, y + s.size * 0.35, words, size=s.size, fill="ink", bold=hue == "ink")
        y += s.row
    if not data.groups:
        return out.svg(width=s.width, height=y, unit=s.unit, title=alternative_text(data))
    y += s.row * 0.5
    head = s.size * 0.94
    out.text(0, y, shorten(f"By {data.facet}", s.gutter, head), size=head, fill="ink3")
    out.text(s.width, y, "share of traffic", size=head, fill="ink3", anchor="end")
    out.element("circle", cx=s.gutter + 3, cy=y - s.size * 0.3, r=s.size * 0.3, **paint(fill="paper", stroke="ink"))
    out.text(s.gutter + s.size, y, "before", size=head, fill="ink3")
    middle = s.gutter + s.size * 5
    out.element("circle", cx=middle, cy=y - s.size * 0.3, r=s.size * 0.3, **paint(fill="ink"))
    out.text(middle + s.size * 0.7, y, "after", size=head, fill="ink3")
    top = y + s.row * 0.35
    bottom = top + s.row * len(data.groups)
    scale = _scale(data)
    ticks = value_ticks(scale.low, scale.high, 4)
    for tick, words in zip(ticks, wording.axis_levels(ticks, data.unit), strict=True):
        x = _x(scale, tick, s.gutter + s.size, right - s.size)
        out.line(x, top, x, bottom, stroke="rule", stroke_width=0.5)
        out.text(x, bottom + s.size * 1.1, words, size=head, fill="ink3", anchor="middle")
    for place, group in enumerate(data.groups):
        _group(out, group, scale=scale, y=top + s.row * (place + 0.5), s=s)
    return out.svg(width=s.width, height=bottom + s.size * 1.6, unit=s.unit, title=alternative_text(data))


def _group(out: Drawing, group: MixGroup, *, scale: ValueScale, y: float, s: Style) -> None:
    left, right = s.gutter + s.size, s.width - s.shares - s.size
    name = shorten(group.value or "not stated", s.gutter - 4, s.size)
    out.text(0, y + s.size * 0.35, name, size=s.size, fill="ink")
    share = f"{group.share_before:.0%} → {group.share_after:.0%}"
    out.text(s.width, y + s.size * 0.35, share, size=s.size, fill="ink2", anchor="end")
    before, after = group.mean_before, group.mean_after
    if before is not None and after is not None:
        out.line(_x(scale, before, left, right), y, _x(scale, after, left, right), y, stroke="ink2", stroke_width=1)
    if before is not None:
        ring = paint(fill="paper", stroke="ink")
        out.element("circle", cx=_x(scale, before, left, right), cy=y, r=s.size * 0.36, **ring)
    if after is not None:
        out.element("circle", cx=_x(scale, after, left, right), cy=y, r=s.size * 0.36, **paint(fill="ink"))


def alternative_text(data: MixData) -> str:
    """What the picture shows, in numbers."""
    text = (
        f"{data.label} changed by {wording.change(data.total, data.unit)}: {wording.change(data.mix, data.unit)} from "
        f"the traffic mix, {wording.change(data.within, data.unit)} from within the groups of {data.facet}"
    )
    for one in data.groups:
        before = wording.level(one.mean_before, data.unit) if one.mean_before is not None else "no traces"
        after = wording.level(one.mean_after, data.unit) if one.mean_after is not None else "no traces"
        text += f"; {one.value} {before} to {after}, share {one.share_before:.0%} to {one.share_after:.0%}"
    return text + "."


def _scale(data: MixData) -> ValueScale:
    means = [mean for one in data.groups for mean in (one.mean_before, one.mean_after) if mean is not None] or [
        0.0,
        1.0,
    ]
    limits = (0.0, 1.0) if data.unit == "share" else (float("-inf"), float("inf"))
    return value_scale(means, top=0.0, bottom=1.0, bounds=limits)


def _x(scale: ValueScale, value: float, left: float, right: float) -> float:
    share = (value - scale.low) / (scale.high - scale.low)
    return left + (right - left) * min(max(share, 0.0), 1.0)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
