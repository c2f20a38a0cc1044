"""The actions on a calendar: who owes what by when, and what is done already. Pure."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from postmortem.report.charts.svg import Drawing, paint, shorten, text_width

_MOST_ROWS, _OWNER_SHARE = 40, 0.34
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_STATES = {"open": "open", "done": "done, not verified", "verified": "verified"}


@dataclass(frozen=True, slots=True)
class DueAction:
    """One action item; `status` is open, done or verified."""

    ref: str
    title: str
    owner: str
    layer: str
    due: date
    status: str


@dataclass(frozen=True, slots=True)
class Style:
    """Sizes of one variant, in its own unit (px on screens, pt in print)."""

    width: float
    unit: str
    size: float
    row: float
    gutter: float


STYLES = {
    "screen": Style(760, "", 11.5, 21, 330),
    "narrow": Style(340, "", 10.5, 20, 130),
    "print": Style(493, "pt", 7.3, 12.5, 248),
}


def calendar_chart(actions: Sequence[DueAction], *, start: date | None = None, variant: str = "screen") -> str:
    """A line an action, a mark on its day; `start` is where the calendar begins, else a week before the first.

    "" without actions; of more than forty the first are drawn and the rest are counted.
    """
    if not actions:
        return ""
    s = STYLES[variant]
    rows = sorted(actions, key=lambda one: (one.due, one.ref))
    shown = rows[:_MOST_ROWS]
    first = min(start or shown[0].due - timedelta(days=7), shown[0].due)
    last = max(shown[-1].due + timedelta(days=3), first + timedelta(days=14))
    left, right = s.gutter + s.size, s.width - s.size * 4.2

    def x(day: date) -> float:
        return left + (right - left) * ((day - first).days / (last - first).days)

    out = Drawing()
    top = s.size * 2
    bottom = top + s.row * len(shown)
    _weeks(out, first, last, x_of=x, top=top, bottom=bottom, s=s)
    if start:
        out.line(x(start), top - s.size * 0.4, x(start), bottom, stroke="ink", stroke_width=1)
    for place, one in enumerate(shown):
        y = top + s.row * (place + 0.5)
        words = f"{one.ref} {one.title}"
        owner = shorten(one.owner, s.gutter * _OWNER_SHARE, s.size) if variant != "narrow" else ""
        room = s.gutter - (text_width(owner, s.size) + s.size if owner else 0.0)
        out.text(0, y + s.size * 0.35, shorten(words, max(room, s.size * 8), s.size), size=s.size, fill="ink")
        out.text(s.gutter, y + s.size * 0.35, owner, size=s.size, fill="ink3", anchor="end")
        out.line(left, y, x(one.due), y, stroke="rule2", stroke_width=0.5, stroke_dasharray="1 2")
        _mark(out, one, x(one.due), y, s.size)
        out.text(x(one.due) + s.size * 0.8, y + s.size * 0.35, _day(one.due), size=s.size, fill="ink", bold=True)
    more = len(rows) - len(shown)
    if more:
        out.text(0, bottom + s.size * 1.1, f"and {more} more, due later", size=s.size, fill="ink3")
    height = bottom + s.size * (1.8 if more else 0.6)
    return out.svg(width=s.width, height=height, unit=s.unit, title=alternative_text(rows))


def alternative_text(actions: Sequence[DueAction]) -> str:
    """What the picture shows, in numbers."""
    listed = "; ".join(
        f"{one.ref} {one.owner} by {_day(one.due)} {one.due.year} ({_STATES.get(one.status, one.status)})"
        for one in actions[:_MOST_ROWS]
    )
    count = f"{len(actions)} action{'' if len(actions) == 1 else 's'}"
    more = f"; {len(actions) - _MOST_ROWS} more" if len(actions) > _MOST_ROWS else ""
    return f"{count} by due date. {listed}{more}."


def _weeks(
    out: Drawing, first: date, last: date, *, x_of: Callable[[date], float], top: float, bottom: float, s: Style
) -> None:
    """Lines on Mondays, every so many with its day and month; fewer lines for long calendars."""
    step = 7 * max(1, (last - first).days // 140)
    size = s.size * 0.94
    begin = first + timedelta(days=(7 - first.weekday()) % 7)
    room = x_of(begin + timedelta(days=step)) - x_of(begin)
    every = math.ceil((text_width("28 Mar", size) + s.size * 0.6) / room) if room > 0 else 1
    for place in range((last - begin).days // step + 1):
        day = begin + timedelta(days=step * place)
        at = x_of(day)
        out.line(at, top, at, bottom, stroke="rule", stroke_width=0.5)
        label = _day(day)
        if place % every == 0 and at + text_width(label, size) <= s.width:
            out.text(at, top - s.size * 0.6, label, size=size, fill="ink3")


def _mark(out: Drawing, one: DueAction, x: float, y: float, size: float) -> None:
    """Hollow: open; half: done; whole: verified."""
    radius = size * 0.38
    filled = one.status == "verified"
    out.element("circle", cx=x, cy=y, r=radius, **paint(fill="ink" if filled else "paper", stroke="ink"))
    if one.status == "done":
        out.rect(x - radius, y, radius * 2, radius * 0.7, fill="ink")


def _day(day: date) -> str:
    return f"{day.day} {_MONTHS[day.month - 1]}"
