"""When an unfinished item is reminded of, and when others are told. No Django here."""

from dataclasses import dataclass
from datetime import date, timedelta

SOON, OVERDUE, ESCALATED = "soon", "overdue", "escalated"
LEVELS = [(SOON, "Due soon"), (OVERDUE, "Overdue"), (ESCALATED, "Escalated")]
_AHEAD = timedelta(days=3)
_AGAIN = timedelta(days=7)
_PATIENCE_DAYS = {"sev1": 2, "sev2": 5, "sev3": 10, "sev4": 20}  # overdue for longer goes to the facilitators


@dataclass(frozen=True, slots=True)
class Sent:
    """A reminder that went out: its level and the day (UTC)."""

    level: str
    on: date


def level_on(due_on: date, today: date, severity: str) -> str:
    """ "soon" from three days before the due date, "overdue" after it, "escalated" when nobody moved; else ""."""
    if today > due_on + timedelta(days=_PATIENCE_DAYS.get(severity, 10)):
        return ESCALATED
    if today > due_on:
        return OVERDUE
    return SOON if today >= due_on - _AHEAD else ""


def is_due(level: str, last: Sent | None, today: date) -> bool:
    """Whether a reminder of `level` goes out: at once on a new level, then once a week until the item is verified."""
    if not level:
        return False
    return last is None or last.level != level or (level != SOON and today >= last.on + _AGAIN)
