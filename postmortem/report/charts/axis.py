"""Scales and their ticks. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from postmortem.report.charts.svg import text_width

_HOURS = (1, 2, 3, 6, 12)
_MOST_HOUR_TICKS, _MOST_BARE_DAYS = 16, 24
_DAYS = (1, 2, 3, 7, 14, 28)


@dataclass(frozen=True, slots=True)
class TimeScale:
    """Moments to horizontal places."""

    start: datetime
    end: datetime
    left: float
    right: float

    def x(self, moment: datetime) -> float:
        """Place of `moment`, held within the scale."""
        share = (moment - self.start) / (self.end - self.start)
        return self.left + (self.right - self.left) * min(max(share, 0.0), 1.0)

    def holds(self, moment: datetime) -> bool:
        """Whether `moment` lies on the scale."""
        return self.start <= moment <= self.end


@dataclass(frozen=True, slots=True)
class ValueScale:
    """Values to vertical places, larger values higher."""

    low: float
    high: float
    top: float
    bottom: float

    def y(self, value: float) -> float:
        """Place of `value`, held within the scale."""
        share = (value - self.low) / (self.high - self.low)
        return self.bottom - (self.bottom - self.top) * min(max(share, 0.0), 1.0)


@dataclass(frozen=True, slots=True)
class TimeTick:
    """A tick; `strong` ones begin a day on an axis of hours, or a month."""

    at: datetime
    label: str
    strong: bool


def value_scale(values: Sequence[float], *, top: float, bottom: float, bounds: tuple[float, float]) -> ValueScale:
    """A scale over `values` with a little air, never past `bounds`."""
    low, high = min(values), max(values)
    air = max((high - low) * 0.08, abs(high) * 0.01, 1e-9)
    return ValueScale(max(low - air, bounds[0]), min(high + air, bounds[1]), top, bottom)


def value_ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Up to about `count` round values within the range, two at least."""
    rough = (high - low) / max(count, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    steps = [power * factor for factor in (0.5, 1, 2, 2.5, 5, 10)]
    wide_enough = next(place for place, step in enumerate(steps) if step >= rough)
    ticks: list[float] = []
    for step in reversed(steps[: wide_enough + 1]):
        first = math.ceil(low / step - 1e-9)
        ticks = [round(place * step, 12) for place in range(first, math.floor(high / step + 1e-9) + 1)]
        if len(ticks) > 1:
            break
    return ticks


def time_ticks(scale: TimeScale, size: float) -> list[TimeTick]:
    """Ticks at full hours or days (UTC), as dense as labels of `size` allow."""
    days = (scale.end - scale.start).total_seconds() / 86_400
    per_day = (scale.right - scale.left) / days
    hour_room = text_width("00:00", size) + 10
    for hours in _HOURS:
        if per_day * hours / 24 >= hour_room and days * 24 / hours <= _MOST_HOUR_TICKS:
            return _hour_ticks(scale, hours)
    day_room = text_width("28 Mar", size) + 8
    step = next((count for count in _DAYS if per_day * count >= day_room), 28 * math.ceil(day_room / per_day / 28))
    if step > 1 and days <= _MOST_BARE_DAYS and per_day >= text_width("28", size) + 8:
        step = 1  # bare numbers fit even where months do not
    ticks = _day_ticks(scale, step, bare=per_day * step < day_room)
    # A month's name may need the room of its neighbour.
    if len(ticks) > 1 and per_day * step < text_width(ticks[0].label, size) + size * 0.7:
        del ticks[1]
    return ticks


def _hour_ticks(scale: TimeScale, hours: int) -> list[TimeTick]:
    at = scale.start.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    ticks = []
    while at <= scale.end:
        if at >= scale.start:
            midnight = at.hour == 0
            ticks.append(TimeTick(at, f"{at.day} {at:%b}" if midnight else f"{at:%H:%M}", midnight))
        at += timedelta(hours=hours)
    return ticks


def _day_ticks(scale: TimeScale, step: int, *, bare: bool) -> list[TimeTick]:
    at = scale.start.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if at < scale.start:
        at += timedelta(days=1)
    ticks: list[TimeTick] = []
    while at <= scale.end:
        month = not ticks or at.month != ticks[-1].at.month
        ticks.append(TimeTick(at, f"{at.day} {at:%b}" if month or not bare else str(at.day), month and bool(ticks)))
        at += timedelta(days=step)
    return ticks
