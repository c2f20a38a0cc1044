"""Levels side by side with their intervals: before and after, exposed and not, one pair a line. Pure."""

from collections.abc import Mapping
from typing import Any

from postmortem.report.charts.svg import Drawing, shorten, text_width

WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 560.0, 168.0, 404.0, 34.0, 26.0
_SIZE = 11.5
_LEGEND = 172.0  # two labels of this width fit right of _LEFT


def levels_chart(picture: Mapping[str, Any], title: str) -> str:
    """An SVG of `picture` (first, second, unit, rows of label, before, after); empty without rows.

    The hollow mark is the first side, the filled one the second, so it reads without colour.
    """
    rows = [row for row in picture["rows"] if row["before"] or row["after"]]
    if not rows:
        return ""
    unit = str(picture["unit"])
    levels = [level for row in rows for level in (row["before"], row["after"]) if level]
    low: float = min(min(level["interval"][0], level["mean"]) for level in levels)
    high: float = max(max(level["interval"][1], level["mean"]) for level in levels)
    span = (high - low) or 1.0
    out = Drawing()

    def x(value: float) -> float:
        return float(_LEFT + (value - low) / span * (_RIGHT - _LEFT))

    out.element("circle", cx=_LEFT + 5, cy=10.0, r=4.0, fill="none", stroke="#474b54", **{"class": "stroke-ink2"})
    first, second = (shorten(str(picture[side]), _LEGEND, _SIZE) for side in ("first", "second"))
    other = _LEFT + max(125.0, 14 + text_width(first, _SIZE) + 18)
    out.text(_LEFT + 14, 14, first, size=_SIZE, fill="ink2")
    out.element("circle", cx=other, cy=10.0, r=4.0, fill="#1b1d22", **{"class": "fill-ink"})
    out.text(other + 9, 14, second, size=_SIZE, fill="ink2")
    told = []
    for place, row in enumerate(rows):
        middle = _TOP + place * _ROW + _ROW / 2
        out.line(0, middle + _ROW / 2, WIDTH, middle + _ROW / 2, stroke="rule")
        out.text(0, middle + 4, shorten(str(row["label"]), _LEFT - 12, _SIZE), size=_SIZE, fill="ink")
        words = []
        for level, offset, filled in ((row["before"], -5.0, False), (row["after"], 5.0, True)):
            if not level:
                words.append("–")
                continue
            y = middle + offset
            out.line(x(level["interval"][0]), y, x(level["interval"][1]), y, stroke="ink" if filled else "ink2")
            if filled:
                out.element("circle", cx=x(level["mean"]), cy=y, r=4.0, fill="#1b1d22", **{"class": "fill-ink"})
            else:
                out.element(
                    "circle", cx=x(level["mean"]), cy=y, r=4.0, fill="#ffffff", stroke="#474b54",
                    **{"class": "fill-paper stroke-ink2"},
                )  # fmt: skip
            words.append(_amount(level["mean"], unit))
        told.append(f"{row['label']}: {words[0]} and {words[1]}")
        out.text(WIDTH, middle + 4, f"{words[0]} → {words[1]}", size=_SIZE, fill="ink2", anchor="end")
    bottom = _TOP + len(rows) * _ROW
    out.text(_LEFT, bottom + 16, _amount(low, unit), size=10.5, fill="ink3")
    out.text(_RIGHT, bottom + 16, _amount(high, unit), size=10.5, fill="ink3", anchor="end")
    alternative = f"{title}, {picture['first']} and {picture['second']}. {'; '.join(told)}."
    return out.svg(width=WIDTH, height=bottom + 22, title=alternative)


def _amount(value: float, unit: str) -> str:
    if unit == "share":
        return f"{100 * value:.1f}%"
    text = f"{value:.4f}" if unit == "USD" else f"{value:.2f}" if abs(value) < 100 else f"{value:,.0f}"
    return (text + (f" {unit}" if unit in ("s", "USD") else "")).replace("-", "−")
