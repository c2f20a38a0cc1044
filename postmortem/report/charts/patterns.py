"""Pictures of the failure patterns: levels side by side, or the parts of a whole against zero. Pure."""

from collections.abc import Mapping
from typing import Any

from postmortem.report.charts.levels import levels_chart
from postmortem.report.charts.svg import Drawing, shorten
from postmortem.report.charts.wording import change, interval

_WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 560.0, 152.0, 400.0, 30.0, 22.0
_SIZE = 11.5


def pattern_chart(picture: Mapping[str, Any], title: str) -> str:
    """An SVG of a stored picture of whatever kind; empty when it has no rows."""
    return parts_chart(picture, title) if picture.get("kind") == "parts" else levels_chart(picture, title)


def parts_chart(picture: Mapping[str, Any], title: str) -> str:
    """Bars from zero with their 95 % intervals: what goes with each part, harm to the right.

    A part whose interval holds zero is hollow, so it reads without colour.
    """
    rows = [row for row in picture["rows"] if row["after"]]
    if not rows:
        return ""
    unit = str(picture["unit"])
    bounds = [bound for row in rows for bound in (*row["after"]["interval"], row["after"]["mean"], 0.0)]
    low, high = float(min(bounds)), float(max(bounds))
    span = (high - low) or 1.0
    out = Drawing()

    def x(value: float) -> float:
        return float(_LEFT + (value - low) / span * (_RIGHT - _LEFT))

    bottom = _TOP + len(rows) * _ROW
    out.text(0, 13, "harm, with 95% interval", size=_SIZE, fill="ink2")
    out.line(x(0.0), _TOP - 4, x(0.0), bottom, stroke="rule2")
    out.text(x(0.0), bottom + 14, "0", size=10.5, fill="ink3", anchor="middle")
    told = []
    for place, row in enumerate(rows):
        part = row["after"]
        middle = _TOP + place * _ROW + _ROW / 2
        lower, upper = float(part["interval"][0]), float(part["interval"][1])
        sure = lower > 0 or upper < 0
        left, right = sorted((x(0.0), x(float(part["mean"]))))
        out.rect(
            left,
            middle - 7,
            max(right - left, 1.0),
            14,
            fill="ink3" if sure else "paper",
            stroke="ink3",
            stroke_width=1,
        )
        out.line(x(lower), middle, x(upper), middle, stroke="ink", stroke_width=1.5)
        for end in (lower, upper):
            out.line(x(end), middle - 4, x(end), middle + 4, stroke="ink", stroke_width=1.5)
        out.text(0, middle + 4, shorten(str(row["label"]), _LEFT - 12, _SIZE), size=_SIZE, fill="ink")
        amount, around = change(float(part["mean"]), unit), interval((lower, upper), unit)
        out.text(_WIDTH, middle - 1, amount, size=_SIZE, fill="ink", anchor="end", bold=sure)
        out.text(_WIDTH, middle + 11, around, size=10.0, fill="ink2", anchor="end")
        told.append(f"{row['label']}: {amount} ({around})")
    alternative = f"{title}, parts of the harm with 95% intervals. {'; '.join(told)}."
    return out.svg(width=_WIDTH, height=bottom + 20, title=alternative)
